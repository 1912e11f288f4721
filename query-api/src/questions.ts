// The path of every question: it is admitted by its weight, answered from the index, and finally everything that it
// took is given back.

import type { Follower } from '@whereabouts/infra/follower/follower';
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import type { Admission } from './admission.js';
import type { PartitionViews } from './coverage.js';
import type { DriverIndex } from './driver-index.js';
import type { NearestSearch } from './nearest.js';
import type { QueryMetrics } from './query-metrics.js';
import type { Streams } from './streams.js';
import { expectedOf, type Weight, weightAfter } from './weight.js';

/** What questions are answered from. */
export interface Ground {
  /** For its map, its clock and its nodes; no question is sent to it. */
  store: LogStore;
  follower: Follower;
  index: DriverIndex;
  search: NearestSearch;
  views: PartitionViews;
  metrics: QueryMetrics;
  admission: Admission;
  freshnessMs: number;
  streams: Streams;
  /** Identifies what the index holds now: this process, and how many records it has read. */
  revision(): string;
}

export interface Question {
  /** A token's subject. */
  caller: string;
  /** For the metrics. */
  route: string;
  weight: Weight;
}

/** Points and cells of the index that a question looked at. */
export interface Looked {
  count: number;
}

export function askQuestion<Answer>(
  { admission, metrics }: Ground,
  { caller, route, weight }: Question,
  answer: (looked: Looked) => Answer,
): Answer {
  const leave = admission.enter(caller, expectedOf(weight));
  const looked = { count: 0 };
  try {
    return answer(looked);
  } finally {
    leave(weightAfter(weight, looked.count));
    metrics.looked.observe({ route }, looked.count);
  }
}

/** How long a question may block the others in one go. */
const TURN_MS = 2;

/** The same for a question in parts: others have their turn in between. */
export async function askInTurns<Part, Answer>(
  { admission, metrics }: Ground,
  { caller, route, weight }: Question,
  parts: readonly Part[],
  answer: (part: Part, looked: Looked) => Answer,
): Promise<Answer[]> {
  const leave = admission.enter(caller, expectedOf(weight));
  const looked = { count: 0 };
  const answers: Answer[] = [];
  try {
    let turnEndsAtMs = performance.now() + TURN_MS;
    for (const part of parts) {
      if (performance.now() > turnEndsAtMs) {
        await new Promise((resolve) => setImmediate(resolve));
        turnEndsAtMs = performance.now() + TURN_MS;
      }
      answers.push(answer(part, looked));
    }
    return answers;
  } finally {
    leave(weightAfter(weight, looked.count));
    metrics.looked.observe({ route }, looked.count);
  }
}
