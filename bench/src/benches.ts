// Every bench by its name, in the order in which `npm run bench` runs them.
import type { Bench } from './bench.js';
import { COMMITS } from './commits.js';
import { COST } from './cost.js';
import { DURABILITY } from './durability.js';
import { FAILOVER } from './failover.js';
import { FLOOD } from './flood.js';
import { FLUSH } from './flush.js';
import { K6 } from './k6.js';
import { KNEE } from './knee.js';
import { MEMORY } from './memory.js';
import { MODES_BENCH } from './modes.js';
import { NEAREST } from './nearest.js';
import { PERSISTED } from './persisted.js';
import { PROFILE } from './profile.js';
import { QUESTIONS } from './questions.js';
import { STREAMS_BENCH } from './streams.js';
import { UPDATE } from './update.js';
import { VISIBILITY } from './visibility.js';

export const BENCHES: Readonly<Record<string, Bench>> = {
  cost: COST,
  knee: KNEE,
  profile: PROFILE,
  update: UPDATE,
  nearest: NEAREST,
  memory: MEMORY,
  flood: FLOOD,
  flush: FLUSH,
  commits: COMMITS,
  modes: MODES_BENCH,
  questions: QUESTIONS,
  streams: STREAMS_BENCH,
  visibility: VISIBILITY,
  failover: FAILOVER,
  durability: DURABILITY,
  persisted: PERSISTED,
  k6: K6,
};
