// Of many records the newest of each driver, still packed: most are overtaken by a later one, and only what is written
// is worth unpacking. Heads are compared where they lie.

import { DRIVER_ID, isNewer } from '@whereabouts/infra/position';
import { AT, decodeBody, type EntryId, isReadable } from '@whereabouts/infra/record';
import type { FlushRow } from './flush-batch.js';

/** A record that can be read, in the bytes that it came in. */
interface Packed {
  session: number;
  recordedAtMs: number;
  bytes: Buffer;
  bodyAt: number;
  bodyEnd: number;
  id: EntryId;
}

export class NewestRecords {
  readonly #partition: number;
  /** What Postgres refused before, by driver. */
  readonly #notes: ReadonlyMap<string, EntryId>;
  #newest = new Map<string, Packed>();

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
    const session = readU48(bytes, bodyAt + AT.session);
    const recordedAtMs = readU48(bytes, bodyAt + AT.recordedAt);
    const held = this.#newest.get(driverId);
    if (held === undefined) {
      if (!DRIVER_ID.test(driverId)) return false;
      this.#newest.set(driverId, { session, recordedAtMs, bytes, bodyAt, bodyEnd, id });
      return true;
    }
    if (isNewer(held, { session, recordedAtMs })) return true;
    held.session = session;
    held.recordedAtMs = recordedAtMs;
    held.bytes = bytes;
    held.bodyAt = bodyAt;
    held.bodyEnd = bodyEnd;
    held.id = id;
    return true;
  }

  /** Unpacks them, and begins anew. */
  take(): FlushRow[] {
    const rows: FlushRow[] = [];
    for (const [driverId, { bytes, bodyAt, bodyEnd, id }] of this.#newest) {
      const position = decodeBody(driverId, bytes.subarray(bodyAt, bodyEnd));
      rows.push({ partition: this.#partition, position, id, noted: this.#notes.get(driverId) ?? null });
    }
    this.#newest = new Map();
    return rows;
  }
}

/** `readUIntLE` looks at its arguments each time, which takes longer than the reading. */
function readU48(bytes: Buffer, at: number): number {
  const low = bytes.readUInt32LE(at);
  return low + ((bytes[at + 4] as number) | ((bytes[at + 5] as number) << 8)) * 2 ** 32;
}
