// What a partition holds, as any reader has to see it: the newest of each driver, by (session, recorded-at), of log and
// snapshot, and whether it is persisted. Written anew, so that it shares no mistake with the flusher.

import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import {
  type DecodedPosition,
  decodeBody,
  type EntryId,
  eachRecord,
  isReadable,
  splitValue,
} from '@whereabouts/infra/record';

export interface LivePosition extends DecodedPosition {
  id: EntryId;
  isInLog: boolean;
  isRefused: boolean;
  persisted: boolean;
}

const order = (p: DecodedPosition & { id: EntryId }) => [p.session, p.recordedAtMs, p.id.term, p.id.revision];

function isLess(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((number, i) => number !== b[i]);
  return at >= 0 && (a[at] as number) < (b[at] as number);
}

/** Of those that can be read. Nothing may be compacted meanwhile, nor more than 100,000 entries stand in the log. */
export async function liveView(store: LogStore, partition: number): Promise<Map<string, LivePosition>> {
  const found = new Map<string, LivePosition>();
  const { state, entries } = await store.entries(partition, { term: 0, revision: 0 }, 100_000);
  const { refused } = await store.refused(partition);
  const take = (driverId: string, body: Buffer, id: EntryId, isInLog: boolean) => {
    if (!isReadable(body)) return;
    const note = refused.get(driverId);
    const isRefused = note !== undefined && note.term === id.term && note.revision === id.revision;
    const { flushed } = state;
    const isFlushed = !isLess([flushed.term, flushed.revision], [id.term, id.revision]);
    const record = {
      ...decodeBody(driverId, body),
      id,
      isInLog,
      isRefused,
      persisted: isFlushed && !isRefused,
    };
    const held = found.get(driverId);
    if (!held || !isLess(order(record), order(held))) found.set(driverId, record);
  };
  for (const { id, batch } of entries)
    eachRecord(batch, (driverId, from, to) => take(driverId, batch.subarray(from, to), id, true));
  let cursor: string | null = null;
  let place: string | null = null;
  do {
    const page = await store.snapshot(partition, { cursor, place, pageSize: 1_000 });
    for (const [driverId, value] of page.values) {
      const split = splitValue(value);
      if (split !== null) take(driverId, split.body, split.id, false);
    }
    ({ cursor, place } = page);
  } while (cursor !== null);
  return found;
}
