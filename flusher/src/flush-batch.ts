// Rows on their way to Postgres, filled by several partitions at once.

import type { ToldState } from '@whereabouts/infra/live-store/log-state';
import { isNewer, type Position } from '@whereabouts/infra/position';
import type { EntryId } from '@whereabouts/infra/record';
import type { Progress } from './archive.js';
import type { ArchiveRow } from './archive-row.js';
import type { PartitionStatus } from './partition-status.js';

export interface FlushRow extends ArchiveRow {
  position: Position;
  /** Of the entry that it came from. */
  id: EntryId;
  /** Of this driver Postgres refused the record of that entry; null: none. */
  noted: EntryId | null;
}

/** One partition's way through a pass. */
export interface Flush {
  partition: number;
  /** As the look saw it that made it due. */
  seen: PartitionStatus;
  /** The state at begin: everything up to its term and revision is read. */
  began: ToldState;
  /** What Postgres refused before, by driver. */
  notes: ReadonlyMap<string, EntryId>;
  /** Unreadable records: as long as one is there, it is unknown whether Postgres has it. */
  unreadable: number;
}

export class Batch {
  readonly #rows = new Map<string, FlushRow>();
  /** Their last row is in this batch or an earlier one: their progress goes with it. */
  readonly finished: Flush[] = [];

  get size(): number {
    return this.#rows.size;
  }

  get rows(): FlushRow[] {
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

  /**
   * A driver stands in many entries, and in two partitions after crossing a border: the newest counts, then the later.
   * Returns the other one.
   */
  add(row: FlushRow): FlushRow | undefined {
    const held = this.#rows.get(row.position.driverId);
    if (held && isNewer(held.position, row.position)) return row;
    this.#rows.set(row.position.driverId, row);
    return held;
  }
}
