// What every question goes through, whichever it is: admitted by its weight, asked against one deadline, and in the
// end everything that it took is given back.

import type { LiveStore } from '@whereabouts/infra/live-store/live-store';
import type { Admission } from './admission.js';
import { Asking } from './asking.js';
import type { Density } from './density.js';
import type { Lanes } from './lanes.js';
import { type MissingPartition, type MissingRange, missingRanges } from './missing.js';
import type { QueryMetrics } from './query-metrics.js';
import { mostOf, type Weight, weightAfter } from './weight.js';

/** What questions are answered with. */
export interface Ground {
  store: LiveStore;
  density: Density;
  lanes: Lanes;
  metrics: QueryMetrics;
  admission: Admission;
  freshnessMs: number;
  requestDeadlineMs: number;
}

export interface Question<Answer> {
  /** A token's subject. */
  caller: string;
  /** For the metrics. */
  route: string;
  weight: Weight;
  answer(asking: Asking): Promise<Answer>;
}

export async function askQuestion<Answer>(ground: Ground, question: Question<Answer>): Promise<Answer> {
  const { admission, lanes, metrics, requestDeadlineMs } = ground;
  const { caller, route, weight, answer } = question;
  const leave = admission.enter(caller, mostOf(weight));
  const asking = new Asking(lanes, caller, requestDeadlineMs);
  try {
    return await answer(asking);
  } finally {
    asking.end();
    leave(weightAfter(weight, asking.asks));
    metrics.asks.observe({ route }, asking.asks);
  }
}

export interface Coverage {
  complete: boolean;
  missing: MissingRange[];
}

export function coverageOf({ store, metrics }: Ground, missing: readonly MissingPartition[]): Coverage {
  for (const reason of new Set(missing.map((entry) => entry.reason))) metrics.incomplete.inc({ reason });
  return { complete: missing.length === 0, missing: missingRanges(store.map, missing) };
}
