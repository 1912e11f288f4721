// Every bench by its name, in the order in which `npm run bench` runs them.
import type { Bench } from './bench.js';
import { COMMITS } from './commits.js';
import { COST } from './cost.js';
import { FLUSH } from './flush.js';
import { MODES_BENCH } from './modes.js';

export const BENCHES: Readonly<Record<string, Bench>> = {
  cost: COST,
  flush: FLUSH,
  commits: COMMITS,
  modes: MODES_BENCH,
};
