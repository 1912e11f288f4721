// Folds entries of a log into values of a snapshot: the newest record of each driver, with the id of its entry.

import { NewestRecords } from '../newest-records.js';
import { type EntryId, eachRecord, FIRST_ID, snapshotValueOf } from '../record.js';
import type { Argument } from './command-bytes.js';
import { MAX_ENTRY_RECORDS, MAX_FOLDED } from './log-limits.js';

export class Fold {
  readonly #newest = new NewestRecords();
  #bytes = 0;
  #last: EntryId = FIRST_ID;

  get drivers(): number {
    return this.#newest.size;
  }

  /** Of the batches that were taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The entry that was taken last. */
  get last(): EntryId {
    return this.#last;
  }

  /** Another entry might be too much for one call. */
  get isFull(): boolean {
    return this.#newest.size > MAX_FOLDED - MAX_ENTRY_RECORDS;
  }

  /** Entries come in their order. Returns whether all of the batch could be read. */
  take(batch: Buffer, id: EntryId): boolean {
    this.#bytes += batch.length;
    this.#last = id;
    return eachRecord(batch, (driverId, bodyAt, bodyEnd) =>
      this.#newest.add(driverId, batch, bodyAt, bodyEnd, id),
    );
  }

  /** For each driver: id, value. */
  values(): Argument[] {
    return [...this.#newest].flatMap(([driverId, { bytes, bodyAt, bodyEnd, id }]) => [
      driverId,
      snapshotValueOf(bytes, bodyAt, bodyEnd, id),
    ]);
  }
}
