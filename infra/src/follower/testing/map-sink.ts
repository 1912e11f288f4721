// The simplest possible sink: the follower's contract on a Map. And a fold over everything in the store, to compare it with.

import type { LogStore } from '../../live-store/log-store.js';
import {
  decodeBody,
  type EntryId,
  eachRecord,
  FIRST_ID,
  isAfter,
  isReadable,
  splitValue,
} from '../../record.js';
import type { RecordSink } from '../record-sink.js';

export interface Held {
  session: number;
  recordedAtMs: number;
  partition: number;
  id: EntryId;
  mark: 'none' | 'lost' | 'unseen';
}

export class MapSink implements RecordSink {
  readonly held = new Map<string, Held>();
  /** In the order in which it was told. */
  readonly told: string[] = [];
  /** What is of other partitions is not held. */
  readonly #only: readonly number[];

  constructor(only: readonly number[]) {
    this.#only = only;
  }

  take(
    partition: number,
    driverId: string,
    bytes: Buffer,
    bodyAt: number,
    bodyEnd: number,
    id: EntryId,
  ): boolean {
    if (!isReadable(bytes, bodyAt, bodyEnd)) return false;
    if (!this.#only.includes(partition)) return true;
    const { session, recordedAtMs } = decodeBody(driverId, bytes.subarray(bodyAt, bodyEnd));
    const known = this.held.get(driverId);
    if (known) {
      if (session < known.session || (session === known.session && recordedAtMs < known.recordedAtMs))
        return true;
      const isEqual = session === known.session && recordedAtMs === known.recordedAtMs;
      if (isEqual && known.mark === 'none' && !isAfter(id, known.id)) return true;
    }
    this.held.set(driverId, { session, recordedAtMs, partition, id, mark: 'none' });
    return true;
  }

  lost(partition: number, term: number, above: number): void {
    this.told.push('lost');
    for (const held of this.held.values()) {
      if (held.partition === partition && held.id.term === term && held.id.revision > above)
        held.mark = 'lost';
    }
  }

  readAnew(partition: number): void {
    this.told.push('readAnew');
    for (const held of this.held.values()) if (held.partition === partition) held.mark = 'unseen';
  }

  settled(partition: number): void {
    this.told.push('settled');
    for (const held of this.held.values()) {
      if (held.partition === partition && held.mark === 'unseen') held.mark = 'lost';
    }
  }
}

/** Log and snapshot of some partitions, folded; nothing may be written meanwhile. */
export async function folded(store: LogStore, partitions: readonly number[]): Promise<Map<string, Held>> {
  const sink = new MapSink(partitions);
  for (const partition of partitions) {
    let after: EntryId = FIRST_ID;
    for (;;) {
      const { entries } = await store.entries(partition, after, 100);
      for (const { id, batch } of entries)
        eachRecord(batch, (driverId, from, to) => void sink.take(partition, driverId, batch, from, to, id));
      if (entries.length < 100) break;
      after = (entries.at(-1) as { id: EntryId }).id;
    }
    let cursor: string | null = null;
    let place: string | null = null;
    do {
      const page = await store.snapshot(partition, { cursor, place, pageSize: 500 });
      for (const [driverId, value] of page.values) {
        const split = splitValue(value);
        if (split) sink.take(partition, driverId, split.body, 0, split.body.length, split.id);
      }
      ({ cursor, place } = page);
    } while (cursor !== null);
  }
  return sink.held;
}
