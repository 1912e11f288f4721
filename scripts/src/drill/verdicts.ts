// Verdicts about what was measured, as people read them.
import type { Figure, PromiseVerdict } from './report.js';

export const ms = (value: number | null) => (value === null ? 'never' : `${Math.round(value)} ms`);
export const worst = (values: readonly (number | null)[]): number | null =>
  values.some((value) => value === null) ? null : Math.max(0, ...(values as number[]));

/** Empty if it never came. */
export const figureOf = (value: number | null, unit: Figure['unit']): { figure?: Figure } =>
  value === null ? {} : { figure: { value: Math.round(value), unit } };

export function within(
  promise: string,
  measuredMs: number | null,
  budgetMs: number,
  detail = '',
): PromiseVerdict {
  return {
    promise,
    passed: measuredMs !== null && measuredMs <= budgetMs,
    measured: ms(measuredMs),
    budget: `at most ${budgetMs} ms`,
    detail,
    ...figureOf(measuredMs, 'ms'),
  };
}

/** A budget that counts from the end of a fault: `at` counts from its beginning, like every time. */
export function withinAfter(
  promise: string,
  atMs: number | null,
  endedMs: number,
  budgetMs: number,
  detail = '',
): PromiseVerdict {
  const verdict = within(promise, atMs, endedMs + budgetMs, detail);
  if (endedMs === 0) return verdict;
  return {
    ...verdict,
    budget: `at most ${endedMs + budgetMs} ms: ${budgetMs} ms after the fault ended, at ${endedMs} ms`,
  };
}

export function none(promise: string, count: number, detail = ''): PromiseVerdict {
  const measured = String(count);
  return { promise, passed: count === 0, measured, budget: 'none', detail, ...figureOf(count, 'count') };
}
