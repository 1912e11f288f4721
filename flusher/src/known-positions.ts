// The drivers in the live store, and how new their records are: a restore skips those.

import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import { isNewer } from '@whereabouts/infra/position';
import { AT, type EntryId, eachRecord, FIRST_ID, readU48, splitValue } from '@whereabouts/infra/record';

const PAGE_ENTRIES = 64;
const PAGE_VALUES = 1_000;

/** By session and time alone, so that a format that we do not know counts too. */
export interface Order {
  session: number;
  recordedAtMs: number;
}

/** The newest of each driver. */
export type KnownPositions = Map<string, Order>;

/** Adds who stands in a partition. Rejects with StoreError; read it again on `place_changed`. */
export async function addKnown(store: LogStore, partition: number, known: KnownPositions): Promise<void> {
  const take = (driverId: string, body: Buffer) => {
    const order = {
      session: readU48(body, AT.session),
      recordedAtMs: readU48(body, AT.recordedAt),
    };
    const held = known.get(driverId);
    if (held === undefined || isNewer(order, held)) known.set(driverId, order);
  };
  // The log goes first: compaction may move an entry into the snapshot between the two, never back.
  const placeOfLog = await takeLog(store, partition, take);
  let cursor: string | null = null;
  let place: string | null = null;
  do {
    const page = await store.snapshot(partition, { cursor, place, pageSize: PAGE_VALUES });
    sameAs(placeOfLog, page.place);
    for (const [driverId, value] of page.values) {
      const split = splitValue(value);
      if (split !== null) take(driverId, split.body);
    }
    ({ cursor, place } = page);
  } while (cursor !== null);
}

/** Which process answered. */
async function takeLog(
  store: LogStore,
  partition: number,
  take: (driverId: string, body: Buffer) => void,
): Promise<string> {
  let at: EntryId = FIRST_ID;
  let place: string | null = null;
  for (;;) {
    const page = await store.entries(partition, at, PAGE_ENTRIES);
    place = sameAs(place, page.place);
    for (const { batch } of page.entries) {
      eachRecord(batch, (driverId, from, to) => take(driverId, batch.subarray(from, to)));
    }
    const last = page.entries.at(-1);
    if (last === undefined || page.entries.length < PAGE_ENTRIES) return place;
    at = last.id;
  }
}

function sameAs(before: string | null, place: string): string {
  if (before !== null && before !== place)
    throw new StoreError('place_changed', `the log was begun at ${before}, not ${place}`);
  return place;
}
