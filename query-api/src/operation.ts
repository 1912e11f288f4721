// One thing that callers can ask: how it is written, what it takes, what it answers, and how. The routes and
// /openapi.json are made of these.

import type { LiveStore } from '@whereabouts/infra/live-store/live-store';
import type { Static, TObject, TSchema } from 'typebox';
import type { Asking } from './asking.js';
import type { Density } from './density.js';
import type { Lanes } from './lanes.js';
import { type MissingPartition, type MissingRange, missingRanges } from './missing.js';
import type { QueryMetrics } from './query-metrics.js';

export const JSON_TYPE = 'application/json';
export const GEOJSON_TYPE = 'application/geo+json';

/** What the operations work with. */
export interface Ground {
  store: LiveStore;
  density: Density;
  lanes: Lanes;
  metrics: QueryMetrics;
  freshnessMs: number;
}

export interface Call<P> {
  /** Validated: from the query, or from the body of a POST. */
  parameters: P;
  /** Validated: from the path. */
  path: { id: string };
  type: string;
  asking: Asking;
}

export interface Operation {
  id: string;
  method: 'GET' | 'POST';
  /** `{id}` stands for a driver's id. */
  path: string;
  summary: string;
  description: string;
  parameters: TObject;
  /** By media type, the first where the caller does not care. */
  answers: Record<string, TSchema>;
  /** Statuses of its own, beside those that every operation has. */
  problems: Record<number, string>;
  /** Questions that it asks at once, against the limit of those in flight. */
  weight(parameters: unknown): number;
  answer(call: Call<unknown>): Promise<object>;
}

interface OperationParts<P extends TObject> extends Omit<Operation, 'parameters' | 'weight' | 'answer'> {
  parameters: P;
  weight?(parameters: Static<P>): number;
  answer(call: Call<Static<P>>): Promise<object>;
}

/** Parameters have the type of their schema here, and nowhere else is that assumed. */
export function operation<P extends TObject>(parts: OperationParts<P>): Operation {
  return {
    ...parts,
    weight: (parameters) => parts.weight?.(parameters as Static<P>) ?? 1,
    answer: (call) => parts.answer(call as Call<Static<P>>),
  };
}

export interface Coverage {
  complete: boolean;
  missing: MissingRange[];
}

export function coverageOf({ store, metrics }: Ground, missing: readonly MissingPartition[]): Coverage {
  for (const reason of new Set(missing.map((entry) => entry.reason))) metrics.incomplete.inc({ reason });
  return { complete: missing.length === 0, missing: missingRanges(store.map, missing) };
}
