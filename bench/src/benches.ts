// Every bench by its name, in the order in which `npm run bench` runs them.
import type { Bench } from './bench.js';
import { COST } from './cost.js';
import { DURABILITY } from './durability.js';
import { K6 } from './k6.js';
import { MEMORY } from './memory.js';
import { NEAREST } from './nearest.js';
import { PERSISTED } from './persisted.js';
import { QUESTIONS } from './questions.js';
import { UPDATE } from './update.js';

export const BENCHES: Readonly<Record<string, Bench>> = {
  cost: COST,
  update: UPDATE,
  nearest: NEAREST,
  memory: MEMORY,
  questions: QUESTIONS,
  durability: DURABILITY,
  persisted: PERSISTED,
  k6: K6,
};
