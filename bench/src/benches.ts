// Every bench by its name, in the order in which `npm run bench` runs them.
import type { Bench } from './bench.js';
import { COST } from './cost.js';
import { DURABILITY } from './durability.js';
import { PERSISTED } from './persisted.js';
import { QUESTIONS } from './questions.js';

export const BENCHES: Readonly<Record<string, Bench>> = {
  cost: COST,
  questions: QUESTIONS,
  durability: DURABILITY,
  persisted: PERSISTED,
import { K6 } from './k6.js';

export const BENCHES: Readonly<Record<string, Bench>> = {
  k6: K6,
};
