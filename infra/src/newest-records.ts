// Keeps the newest record of each driver, still packed. Most records are replaced by a later one, so only those that
// remain are unpacked. Heads are compared in place.

import { AT, type EntryId, readU48 } from './record.js';

/** A record in the bytes that it came in, and the entry that it came from. */
export interface PackedRecord {
  session: number;
  recordedAtMs: number;
  bytes: Buffer;
  bodyAt: number;
  bodyEnd: number;
  id: EntryId;
}

export class NewestRecords {
  readonly #newest = new Map<string, PackedRecord>();

  get size(): number {
    return this.#newest.size;
  }

  has(driverId: string): boolean {
    return this.#newest.has(driverId);
  }

  /** Among equals the later one counts. */
  add(driverId: string, bytes: Buffer, bodyAt: number, bodyEnd: number, id: EntryId): void {
    const session = readU48(bytes, bodyAt + AT.session);
    const recordedAtMs = readU48(bytes, bodyAt + AT.recordedAt);
    const held = this.#newest.get(driverId);
    if (held === undefined) {
      this.#newest.set(driverId, { session, recordedAtMs, bytes, bodyAt, bodyEnd, id });
      return;
    }
    const isOlder = session === held.session ? recordedAtMs < held.recordedAtMs : session < held.session;
    if (isOlder) return;
    held.session = session;
    held.recordedAtMs = recordedAtMs;
    held.bytes = bytes;
    held.bodyAt = bodyAt;
    held.bodyEnd = bodyEnd;
    held.id = id;
  }

  [Symbol.iterator](): IterableIterator<[driverId: string, record: PackedRecord]> {
    return this.#newest[Symbol.iterator]();
  }

  clear(): void {
    this.#newest.clear();
  }
}
