// The output of `k6 run --summary-export`, as figures. The scripts define the goals, once, as thresholds.
import type { Figure, Goal } from '../bench.js';

/** Aggregations by name (`p(99)`, `count`; of a rate `value`); `thresholds` by expression, true if crossed. */
export type K6Metric = Record<string, unknown> & { thresholds?: Record<string, boolean> };

export interface K6Summary {
  metrics: Record<string, K6Metric>;
}

interface Threshold {
  metric: string;
  expression: string;
  crossed: boolean;
}

const EXPRESSION = /^(\S+?)\s*(<=|>=|==|<|>)\s*([\d.]+)$/;
/** Of a rate as a part of 1; a counter's `rate` is one a second and is judged nowhere. */
const FAILED_RATE = 'http_req_failed';

export function aggregateOf({ metrics }: K6Summary, metric: string, aggregation: string): number {
  const values = metrics[metric] ?? {};
  const value = aggregation === 'rate' && 'value' in values ? values.value : values[aggregation];
  return typeof value === 'number' ? value : Number.NaN;
}

function thresholdsOf({ metrics }: K6Summary): Threshold[] {
  // k6 writes them in no particular order.
  return Object.keys(metrics)
    .sort()
    .flatMap((metric) =>
      Object.entries(metrics[metric]?.thresholds ?? {}).map(([expression, crossed]) => ({
        metric,
        expression,
        crossed,
      })),
    );
}

export function crossedThresholds(summary: K6Summary): string[] {
  return thresholdsOf(summary)
    .filter(({ crossed }) => crossed)
    .map(({ metric, expression }) => `${metric}: ${expression}`);
}

/** Limits of the 99th percentile and of failed requests; the other thresholds are counted in one figure. */
export function figuresOf(script: string, rounds: readonly K6Summary[]): Figure[] {
  const [first] = rounds;
  if (first === undefined) return [];
  const figure = (name: string, unit: string, goal: Goal, measured: number[]): Figure => ({
    name: `${script}: ${name}`,
    unit,
    measured,
    baseline: null,
    goal,
  });
  const judged = thresholdsOf(first).flatMap(({ metric, expression }) => {
    const [, aggregation = '', , limit] = EXPRESSION.exec(expression) ?? [];
    const isTime = aggregation === 'p(99)';
    if (!isTime && metric !== FAILED_RATE) return [];
    const measured = rounds.map((round) => aggregateOf(round, metric, aggregation));
    const name = isTime ? `${metric} p99` : metric;
    return [figure(name, isTime ? 'ms' : '', { atMost: Number(limit) }, measured)];
  });
  const crossed = rounds.map((round) => crossedThresholds(round).length);
  return [
    ...judged,
    figure('thresholds crossed', `of ${thresholdsOf(first).length}`, { atMost: 0 }, crossed),
  ];
}
