// Every bench by its name, in the order in which `npm run bench` runs them.
import type { Bench } from './bench.js';
import { COST } from './cost.js';
import { K6 } from './k6.js';

export const BENCHES: Readonly<Record<string, Bench>> = {
  cost: COST,
  k6: K6,
};
