// Compares each promise over the runs of a drill on this machine, from their reports: is a run worse than those before
// it?
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isRecord } from '@whereabouts/infra/local/state-file';
import { median } from '../median.js';
import type { DrillReport, Figure } from './report.js';

/** How many reports of each drill are kept, with their pages. */
export const KEPT_REPORTS = 50;
/** How many earlier runs a run is compared with, at most and at least. */
export const COMPARED_RUNS = 20;
export const FEWEST_RUNS = 3;
/** What distance from the median is usual: the spread of normal noise, and what no person would call worse. */
const SPREADS = 3;
const SCALED_MAD = 1.4826;
const LEAST_PART = 0.1;
const LEAST_STEP: Readonly<Record<Figure['unit'], number>> = { ms: 20, count: 1 };

export const HOW_JUDGED =
  `A figure is worse if it is above the median of the runs before it (${FEWEST_RUNS} to ${COMPARED_RUNS} of them) ` +
  `by more than ${SPREADS} times their scaled median absolute deviation, and by more than ${LEAST_PART * 100} % and ` +
  `${LEAST_STEP.ms} ms (or ${LEAST_STEP.count}).`;

export interface PastRun {
  /** RFC 3339 */
  startedAt: string;
  passed: boolean;
  /** Null: it is no number, or never came. */
  value: number | null;
}

/** `new`: there are too few runs to say. */
export type Standing = 'usual' | 'worse' | 'broken' | 'new';

export interface PromiseHistory {
  promise: string;
  unit: Figure['unit'] | null;
  /** In order of time. */
  runs: PastRun[];
  /** Over the runs that the last is compared with; null: too few. */
  median: number | null;
  /** Above this the last would be worse; null: too few. */
  limit: number | null;
  /** Of the last run. */
  standing: Standing;
}

export interface DrillHistory {
  drill: string;
  /** Budgets differ without it, so these runs are separate. */
  promoter: boolean;
  runs: { startedAt: string; passed: boolean; commit: string | null }[];
  promises: PromiseHistory[];
}

type PastReport = DrillReport & { facts?: { commit: string } };

const isReport = (value: unknown): value is PastReport =>
  isRecord(value) && value.format === 3 && Array.isArray(value.promises) && isRecord(value.stack);

function readReport(file: string): PastReport | null {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return isReport(value) ? value : null;
  } catch {
    return null; // a power cut, or a run that was killed while it wrote
  }
}

/** In order of time. */
export function readReports(dir: string): PastReport[] {
  const files = existsSync(dir) ? readdirSync(dir).filter((name) => name.endsWith('.json')) : [];
  const reports = files.map((name) => readReport(join(dir, name))).filter((report) => report !== null);
  return reports.sort((a, b) => Date.parse(a.startedAt) - Date.parse(b.startedAt));
}

/** Removes what is beyond the bound; names hold the time, so they are in its order. */
export function forgetOldReports(dir: string, drill: string): void {
  const isOf = new RegExp(`^${drill.replace(/[^\w-]/g, '.')}-\\d{4}-\\d\\d-\\d\\dT.*\\.json$`);
  const old = readdirSync(dir)
    .filter((name) => isOf.test(name))
    .sort()
    .slice(0, -KEPT_REPORTS);
  for (const name of old) {
    rmSync(join(dir, name), { force: true });
    rmSync(join(dir, name.replace(/json$/, 'html')), { force: true });
  }
}

/** Null: too few to say. */
export function usualOf(
  values: readonly number[],
  unit: Figure['unit'],
): { median: number; limit: number } | null {
  const compared = values.slice(-COMPARED_RUNS);
  if (compared.length < FEWEST_RUNS) return null;
  const middle = median(compared);
  const spread = SPREADS * SCALED_MAD * median(compared.map((value) => Math.abs(value - middle)));
  return { median: middle, limit: middle + Math.max(spread, LEAST_PART * middle, LEAST_STEP[unit]) };
}

function promiseHistory(promise: string, reports: readonly PastReport[]): PromiseHistory {
  let unit: Figure['unit'] | null = null;
  const runs: PastRun[] = [];
  for (const { startedAt, promises } of reports) {
    const verdict = promises.find((one) => one.promise === promise);
    if (verdict === undefined) continue;
    unit = verdict.figure?.unit ?? unit;
    runs.push({ startedAt, passed: verdict.passed, value: verdict.figure?.value ?? null });
  }
  const last = runs.at(-1);
  const before = runs.slice(0, -1).flatMap(({ value }) => value ?? []);
  const usual = unit === null ? null : usualOf(before, unit);
  const standing = last === undefined ? 'new' : standingOf(last, usual, runs.length);
  return { promise, unit, runs, median: usual?.median ?? null, limit: usual?.limit ?? null, standing };
}

function standingOf({ passed, value }: PastRun, usual: { limit: number } | null, runs: number): Standing {
  if (!passed) return 'broken';
  if (value === null) return runs > FEWEST_RUNS ? 'usual' : 'new';
  if (usual === null) return 'new';
  return value > usual.limit ? 'worse' : 'usual';
}

/** `reports` of one drill, in order of time. The promises are those of the last. */
export function historyOf(reports: readonly PastReport[]): DrillHistory | null {
  const last = reports.at(-1);
  if (last === undefined) return null;
  const alike = reports.filter(
    ({ drill, stack }) => drill === last.drill && stack.promoter === last.stack.promoter,
  );
  return {
    drill: last.drill,
    promoter: last.stack.promoter,
    runs: alike.map(({ startedAt, passed, facts }) => ({ startedAt, passed, commit: facts?.commit ?? null })),
    promises: last.promises.map(({ promise }) => promiseHistory(promise, alike)),
  };
}

/** Each drill once, with and without the promoter; `drill`: this one alone. */
export function allHistories(reports: readonly PastReport[], drill?: string): DrillHistory[] {
  const groups = new Map<string, PastReport[]>();
  for (const report of reports) {
    if (drill !== undefined && report.drill !== drill) continue;
    const key = `${report.drill} ${report.stack.promoter}`;
    groups.set(key, [...(groups.get(key) ?? []), report]);
  }
  return [...groups.values()].flatMap((group) => historyOf(group) ?? []);
}
