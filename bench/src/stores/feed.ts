// The reports of a fleet, partition by partition: each driver in turn, a few metres from its last position.

import { fromE7, type Position } from '@whereabouts/infra/position';

/** About 10 m/s on the ground at one report in 2 s; there and back again, so that no driver crosses a border. */
const STEP_E7 = 1800;

export class Feed {
  readonly #lists: readonly Position[][];
  readonly #next: number[];

  /** `lists` as of each partition; they are moved in place. */
  constructor(lists: readonly Position[][]) {
    this.#lists = lists;
    this.#next = lists.map(() => 0);
  }

  /** One batch of each partition; valid until the next. A partition of fewer drivers gives all that it has. */
  batches(size: number, nowMs: number): Position[][] {
    return this.#lists.map((list, partition) => {
      const batch: Position[] = [];
      const first = this.#next[partition] as number;
      for (let i = 0; i < Math.min(size, list.length); i++) {
        const position = list[(first + i) % list.length] as Position;
        move(position, nowMs);
        batch.push(position);
      }
      this.#next[partition] = list.length > 0 ? (first + batch.length) % list.length : 0;
      return batch;
    });
  }
}

function move(position: Position, nowMs: number): void {
  const step = position.seq % 2 === 0 ? -STEP_E7 : STEP_E7;
  position.seq++;
  // Newer than before, even if a whole round took less than a millisecond.
  position.recordedAtMs = Math.max(nowMs, position.recordedAtMs + 1);
  position.latE7 += step;
  position.lonE7 += step;
}

export const latOf = ({ latE7 }: Position): number => fromE7(latE7);
export const lonOf = ({ lonE7 }: Position): number => fromE7(lonE7);
