// Finds the records that notes of refused rows name: by the id of their entry in the log, or in the snapshot.

import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import {
  decodeBody,
  type EntryId,
  eachRecord,
  FIRST_ID,
  formatEntryId,
  isAfter,
  isReadable,
  splitValue,
} from '@whereabouts/infra/record';
import type { FlushRow } from './flush-batch.js';

export interface NotedRecords {
  rows: FlushRow[];
  /** Notes without a record: their driver has a newer one, or none. */
  gone: { driverId: string; id: EntryId }[];
}

/** Rejects with StoreError. */
export async function notedRecords(
  store: LogStore,
  partition: number,
  notes: ReadonlyMap<string, EntryId>,
): Promise<NotedRecords> {
  const found: NotedRecords = { rows: [], gone: [] };
  if (notes.size === 0) return found;
  // The log goes first: compaction may move an entry into the snapshot between the two, never back.
  const bodies = await logBodies(store, partition, notes);
  const others = [...notes.keys()].filter((driverId) => !bodies.has(driverId));
  const values = others.length === 0 ? [] : await store.snapshotOf(partition, others);
  for (const [i, driverId] of others.entries()) {
    const split = splitValue(values[i] ?? Buffer.alloc(0));
    if (split && isSame(split.id, notes.get(driverId) as EntryId)) bodies.set(driverId, split.body);
  }
  for (const [driverId, id] of notes) {
    const body = bodies.get(driverId);
    if (body && isReadable(body))
      found.rows.push({ partition, position: decodeBody(driverId, body), id, noted: id });
    else found.gone.push({ driverId, id });
  }
  return found;
}

async function logBodies(
  store: LogStore,
  partition: number,
  notes: ReadonlyMap<string, EntryId>,
): Promise<Map<string, Buffer>> {
  const { compacted } = await store.entries(partition, FIRST_ID, 1);
  const driversOf = new Map<string, { id: EntryId; drivers: Set<string> }>();
  for (const [driverId, id] of notes) {
    if (!isAfter(id, compacted)) continue;
    const name = formatEntryId(id);
    const group = driversOf.get(name) ?? { id, drivers: new Set() };
    driversOf.set(name, { id, drivers: group.drivers.add(driverId) });
  }
  const bodies = new Map<string, Buffer>();
  for (const { id, drivers } of driversOf.values()) {
    const before = { term: id.term, revision: Math.max(0, id.revision - 1) };
    const [entry] = (await store.entries(partition, before, 1)).entries;
    if (!entry || !isSame(entry.id, id)) continue;
    eachRecord(entry.batch, (driverId, from, to) => {
      if (drivers.has(driverId)) bodies.set(driverId, entry.batch.subarray(from, to));
    });
  }
  return bodies;
}

const isSame = (a: EntryId, b: EntryId) => a.term === b.term && a.revision === b.revision;
