// Rows on their way to Postgres, filled by several partitions at once.

import type { PartitionState } from '@whereabouts/infra/live-store/answers';
import type { PartitionStatus } from '@whereabouts/infra/live-store/live-store';
import { isNewer, type StoredPosition } from '@whereabouts/infra/position';
import type { Progress } from './archive.js';
import type { ArchiveRow } from './archive-row.js';

/** One partition's way through a pass. */
export interface Flush {
  partition: number;
  /** As the look saw it that made it due. */
  seen: PartitionStatus;
  /** As of begin: what its scan covers. */
  began: PartitionState;
  staleIds: string[];
  /** Records that are none of ours: as long as there is one, nobody knows whether Postgres has it. */
  unreadable: number;
}

export class Batch {
  readonly #rows = new Map<string, ArchiveRow>();
  /** Their last row is in this batch or an earlier one: their progress goes with it. */
  readonly finished: Flush[] = [];

  get size(): number {
    return this.#rows.size;
  }

  get rows(): ArchiveRow[] {
    return [...this.#rows.values()];
  }

  get progress(): Progress[] {
    return this.finished.map(({ partition, began, seen }) => ({
      partition,
      asOfMs: began.nowMs,
      // Of the look before, so that the archive had committed that flush before we ask whether it knows of it.
      flushedAtMs: seen.flushedAtMs,
    }));
  }

  /** A driver that has crossed a border may stand in two partitions: the newer record counts. */
  add(partition: number, position: StoredPosition): void {
    const held = this.#rows.get(position.driverId);
    if (held && !isNewer(position, held.position)) return;
    this.#rows.set(position.driverId, { partition, position });
  }
}
