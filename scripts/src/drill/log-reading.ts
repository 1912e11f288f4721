// The newest record of some drivers, read from a partition's log and snapshot over a plain connection.

import type { LogKeys } from '@whereabouts/infra/live-store/log-keys';
import type { ReaderConnection } from '@whereabouts/infra/local/reader-connection';
import { decodeBody, eachRecord, parseEntryId, splitValue } from '@whereabouts/infra/record';

/** What "newest" means: the greatest session, then the latest time. */
export interface Order {
  session: number;
  recordedAtMs: number;
}

export const isOlder = (a: Order, b: Order): boolean =>
  a.session < b.session || (a.session === b.session && a.recordedAtMs < b.recordedAtMs);

/**
 * As it was when the given term ended. Null: a later record hides it, because it has been compacted already, which
 * happens 10 s after it was written at the earliest.
 */
export async function newestUpTo(
  node: ReaderConnection,
  { log, snapshot }: LogKeys,
  driverIds: readonly string[],
  lastTerm: number,
): Promise<ReadonlyMap<string, Order> | null> {
  // Compaction moves records from the log to the snapshot; reading in this order misses none.
  const entries = (await node.callBuffer('XRANGE', log, '-', `${lastTerm}`)) as [Buffer, Buffer[]][];
  const values = await node.hmgetBuffer(snapshot, ...driverIds);
  const newest = new Map<string, Order>();
  const take = (driverId: string, body: Buffer) => {
    const { session, recordedAtMs } = decodeBody(driverId, body);
    const held = newest.get(driverId);
    const order = { session, recordedAtMs };
    if (held === undefined || isOlder(held, order)) newest.set(driverId, order);
  };
  for (const [i, driverId] of driverIds.entries()) {
    const value = values[i];
    const split = value && splitValue(value);
    if (split && split.id.term > lastTerm) return null;
    if (split) take(driverId, split.body);
  }
  const wanted = new Set(driverIds);
  for (const [id, fields] of entries) {
    if ((parseEntryId(String(id))?.term ?? 0) > lastTerm) continue;
    const batch = fields[fields.findIndex((field, at) => at % 2 === 0 && String(field) === 'b') + 1];
    if (batch === undefined) continue;
    eachRecord(batch, (driverId, from, to) => {
      if (wanted.has(driverId)) take(driverId, batch.subarray(from, to));
    });
  }
  return newest;
}
