// The newest record of each driver that a pass has read of a partition, as rows for Postgres. Reports unreadable ones.

import { NewestRecords } from '@whereabouts/infra/newest-records';
import { DRIVER_ID } from '@whereabouts/infra/position';
import { decodeBody, type EntryId, isReadable } from '@whereabouts/infra/record';
import type { FlushRow } from './flush-batch.js';

export class UnflushedRecords {
  readonly #partition: number;
  /** What Postgres refused before, by driver. */
  readonly #notes: ReadonlyMap<string, EntryId>;
  readonly #newest = new NewestRecords();

  constructor(partition: number, notes: ReadonlyMap<string, EntryId>) {
    this.#partition = partition;
    this.#notes = notes;
  }

  get size(): number {
    return this.#newest.size;
  }

  /** Among equals the later one counts. False where this is no driver's id, or no body that can be read. */
  add(driverId: string, bytes: Buffer, bodyAt: number, bodyEnd: number, id: EntryId): boolean {
    if (!isReadable(bytes, bodyAt, bodyEnd)) return false;
    if (!this.#newest.has(driverId) && !DRIVER_ID.test(driverId)) return false;
    this.#newest.add(driverId, bytes, bodyAt, bodyEnd, id);
    return true;
  }

  /** Unpacks them, and starts empty again. */
  take(): FlushRow[] {
    const rows: FlushRow[] = [];
    for (const [driverId, { bytes, bodyAt, bodyEnd, id }] of this.#newest) {
      const position = decodeBody(driverId, bytes.subarray(bodyAt, bodyEnd));
      rows.push({ partition: this.#partition, position, id, noted: this.#notes.get(driverId) ?? null });
    }
    this.#newest.clear();
    return rows;
  }
}
