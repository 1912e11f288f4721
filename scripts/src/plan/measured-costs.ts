// What things cost on this machine, as the last run of each bench left it in bench/results.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../home.js';
import { UsageError } from '../usage-error.js';

export interface Cost {
  /** In the unit that its name ends with. */
  value: number;
  bench: string;
  commit: string;
  machine: string;
  /** RFC 3339 */
  measuredAt: string;
}

/** A cost that a plan is based on. */
export interface UsedCost extends Cost {
  name: string;
}

export type Costs = ReadonlyMap<string, Cost>;

/** The part that we read; bench/src/results.ts writes it. */
interface BenchResult {
  format: number;
  bench: string;
  startedAt: string;
  facts: { machine: string; commit: string };
  costs?: Record<string, number>;
}

const RESULTS_FORMAT = 1;
const RESULTS_DIR = join(root, 'bench', 'results');

/** Empty if no bench has run. A cost that is no number (nothing got through) counts as not measured. */
export function readCosts(dir = RESULTS_DIR): Costs {
  const costs = new Map<string, Cost>();
  const files = existsSync(dir) ? readdirSync(dir).filter((name) => name.endsWith('.json')) : [];
  for (const file of files.sort()) {
    const result = readResult(join(dir, file));
    const { bench, startedAt: measuredAt, facts } = result;
    for (const [name, value] of Object.entries(result.costs ?? {})) {
      if (Number.isFinite(value)) costs.set(name, { value, bench, measuredAt, ...factsOf(facts) });
    }
  }
  return costs;
}

const factsOf = ({ commit, machine }: BenchResult['facts']) => ({ commit, machine });

function readResult(path: string): BenchResult {
  let result: BenchResult;
  try {
    result = JSON.parse(readFileSync(path, 'utf8')) as BenchResult;
  } catch (cause) {
    throw new UsageError(`${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  if (result.format === RESULTS_FORMAT) return result;
  throw new UsageError(`${path} was written by another version: run that bench again.`);
}
