// What a bench is, and its results. A figure is judged as a ratio to its baseline of the same run, round by round, so
// that a machine that is slow for a while is slow for both.
import { median } from '@whereabouts/scripts/median';

export interface BenchContext {
  /** The user's values; undefined: the bench's own. */
  drivers: number | undefined;
  seconds: number | undefined;
  rounds: number | undefined;
  /** For long work: describes the current step. */
  say(text: string): void;
}

/** `atMost` and `atLeast` apply to the ratio if the figure has a baseline, else to its value. */
export type Goal = { atMost: number } | { atLeast: number };

export interface Figure {
  name: string;
  unit: string;
  /** One of each round. */
  measured: number[];
  /** One of each round, in the same order; null: the value itself is judged. */
  baseline: { name: string; measured: number[] } | null;
  /** null: reported, not judged. */
  goal: Goal | null;
}

export interface Table {
  title: string;
  heads: string[];
  rows: (string | number)[][];
}

/** Bars from 0, one below the other. */
export interface BarChart {
  title: string;
  unit: string;
  bars: { name: string; value: number }[];
}

export interface BenchOutcome {
  /** What was done, with seed, sizes and rates. */
  workload: string;
  figures: Figure[];
  tables?: Table[];
  charts?: BarChart[];
  notes?: string[];
  /** Measured costs by name, for `npm run plan`; names end with the unit. */
  costs?: Record<string, number>;
}

export interface Bench {
  about: string;
  run(context: BenchContext): Promise<BenchOutcome>;
}

/**
 * Something that a bench needs is not on this machine; the message says how to get it. The bench is skipped with a
 * message.
 */
export class NotInstalled extends Error {
  readonly code = 'not_installed';
}

export interface Judged extends Figure {
  /** Medians over the rounds. */
  value: number;
  baselineValue: number | null;
  ratio: number | null;
  /** Least and greatest of the judged ratios, or of the values. */
  spread: [number, number];
  /** null: there is no goal. */
  met: boolean | null;
}

export function judge(figure: Figure): Judged {
  const { measured, baseline, goal } = figure;
  const ratios = baseline?.measured.map((base, round) => (measured[round] ?? Number.NaN) / base) ?? null;
  const judgedOnes = ratios ?? measured;
  const judged = median(judgedOnes);
  return {
    ...figure,
    value: median(measured),
    baselineValue: baseline === null ? null : median(baseline.measured),
    ratio: ratios === null ? null : judged,
    spread: [Math.min(...judgedOnes), Math.max(...judgedOnes)],
    met: goal === null ? null : 'atMost' in goal ? judged <= goal.atMost : judged >= goal.atLeast,
  };
}

/** Runs two (or more) measurements in alternation: ABAB, BABA the next time, so that drift hits both. */
export async function alternate<Name extends string>(
  rounds: number,
  sides: Record<Name, (round: number) => Promise<void>>,
): Promise<void> {
  const names = Object.keys(sides) as Name[];
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : [...names].reverse()) await sides[name](round);
  }
}
