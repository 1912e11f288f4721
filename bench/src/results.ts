// The output of a run: bench/results/NAME.json for each bench, the latest of each, and one page made of all of them.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '@whereabouts/scripts/home';
import type { RunFacts } from '@whereabouts/scripts/report/run-facts';
import type { BenchOutcome, Goal, Judged } from './bench.js';

export interface BenchResult extends Omit<BenchOutcome, 'figures'> {
  format: 1;
  bench: string;
  about: string;
  /** RFC 3339 */
  startedAt: string;
  durationS: number;
  facts: RunFacts;
  figures: Judged[];
}

const RESULTS_DIR = join(root, 'bench', 'results');

export function writeResult(result: BenchResult): string {
  mkdirSync(RESULTS_DIR, { recursive: true });
  const file = join(RESULTS_DIR, `${result.bench}.json`);
  writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
  return file;
}

/** The latest of each bench, in the order of their names. */
export function readResults(): BenchResult[] {
  mkdirSync(RESULTS_DIR, { recursive: true });
  return readdirSync(RESULTS_DIR)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(RESULTS_DIR, name), 'utf8')) as BenchResult);
}

export function writePage(html: string): string {
  const file = join(RESULTS_DIR, 'index.html');
  writeFileSync(file, html);
  return file;
}

/** Three significant digits, as people read them: 0.0123, 1.43, 26,500. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return 'none';
  if (value === 0) return '0';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}

const goalText = (goal: Goal | null): string =>
  goal === null ? '' : 'atMost' in goal ? `at most ${shown(goal.atMost)}` : `at least ${shown(goal.atLeast)}`;

const spreadText = ({ spread: [least, greatest] }: Judged): string =>
  least === greatest ? '' : `${shown(least)} to ${shown(greatest)}`;

export const metText = ({ met }: Judged): string => (met === null ? '' : met ? 'met' : 'NOT MET');

export const FIGURE_HEADS = ['figure', 'measured', 'baseline', 'ratio', 'spread', 'goal', ''];

export function figureCells(figure: Judged): string[] {
  const { name, unit, value, baseline, baselineValue, ratio, goal } = figure;
  return [
    name,
    `${shown(value)} ${unit}`.trimEnd(),
    baseline === null || baselineValue === null ? '' : `${shown(baselineValue)} (${baseline.name})`,
    ratio === null ? '' : shown(ratio),
    spreadText(figure),
    goalText(goal),
    metText(figure),
  ];
}
