// What the cache has: the newest record of a driver, in the log or in the snapshot, and the state of each partition.
import type { LogStore, PartitionCounts } from '@whereabouts/infra/live-store/log-store';
import {
  AT,
  type DecodedPosition,
  decodeBody,
  type EntryId,
  eachRecord,
  FIRST_ID,
  isAfter,
  isReadable,
  splitValue,
} from '@whereabouts/infra/record';
import { sessionPartitionOf } from '@whereabouts/infra/session-partition';

const ENTRIES_A_PAGE = 200;
const IDS_AT_ONCE = 512;
const CHECKPOINTS_A_PAGE = 1_000;

/** `body` may have an unknown format. */
export interface CachedRecord {
  driverId: string;
  body: Buffer;
  /** The entry that it came with. */
  id: EntryId;
  place: 'log' | 'snapshot';
}

const sessionOf = (body: Buffer) => body.readUIntLE(AT.session, 6);
export const recordedAtOf = (body: Buffer): number => body.readUIntLE(AT.recordedAt, 6);

function isNewer(a: CachedRecord, b: CachedRecord): boolean {
  const order = sessionOf(a.body) - sessionOf(b.body) || recordedAtOf(a.body) - recordedAtOf(b.body);
  return order > 0 || (order === 0 && isAfter(a.id, b.id));
}

/** One partition's records of these drivers. */
export async function newestIn(
  store: LogStore,
  partition: number,
  driverIds: readonly string[],
): Promise<Map<string, CachedRecord>> {
  const wanted = new Set(driverIds);
  const newest = new Map<string, CachedRecord>();
  const take = (record: CachedRecord) => {
    const held = newest.get(record.driverId);
    if (held === undefined || isNewer(record, held)) newest.set(record.driverId, record);
  };
  // Compaction moves records from the log to the snapshot; reading in this order misses none.
  let after = FIRST_ID;
  for (let isMore = true; isMore; ) {
    const { entries } = await store.entries(partition, after, ENTRIES_A_PAGE);
    for (const { id, batch } of entries) {
      eachRecord(batch, (driverId, from, to) => {
        if (wanted.has(driverId)) take({ driverId, body: batch.subarray(from, to), id, place: 'log' });
      });
      after = id;
    }
    isMore = entries.length === ENTRIES_A_PAGE;
  }
  for (let first = 0; first < driverIds.length; first += IDS_AT_ONCE) {
    const ids = driverIds.slice(first, first + IDS_AT_ONCE);
    const values = await store.snapshotOf(partition, ids);
    for (const [i, driverId] of ids.entries()) {
      const value = values[i];
      const split = value && splitValue(value);
      if (split) take({ driverId, ...split, place: 'snapshot' });
    }
  }
  return newest;
}

export interface DriverView {
  partition: number;
  range: { from: string; to: string };
  node: string | null;
  place: CachedRecord['place'];
  id: EntryId;
  ageMs: number;
  /** null: of an unknown format. */
  position: DecodedPosition | null;
  /** Postgres has exactly this record. */
  persisted: boolean;
  refused: boolean;
  waitingCheckpoints: number;
}

export interface CacheView {
  /** The newest first. A driver who crossed a border is in more than one partition. */
  views: DriverView[];
  session: { session: number; connectionId: string } | null;
  /** Partitions that did not answer. */
  missing: number[];
}

async function waitingOf(store: LogStore, partition: number, driverId: string): Promise<number> {
  let count = 0;
  let at: { cursor: string | null; place: string | null } = { cursor: null, place: null };
  do {
    const page = await store.waitingCheckpoints(partition, { ...at, pageSize: CHECKPOINTS_A_PAGE });
    count += page.waiting.filter((waiting) => waiting.driverId === driverId).length;
    at = page;
  } while (at.cursor !== null);
  return count;
}

async function viewOf(store: LogStore, partition: number, driverId: string): Promise<DriverView | null> {
  const record = (await newestIn(store, partition, [driverId])).get(driverId);
  if (record === undefined) return null;
  const { refused } = await store.refused(partition);
  const { state, nowMs } = await store.counts(partition);
  const { body, id, place } = record;
  const refusedId = refused.get(driverId);
  const isRefused = refusedId !== undefined && !isAfter(id, refusedId) && !isAfter(refusedId, id);
  return {
    partition,
    range: store.map.range(partition),
    node: store.nodeOf(partition),
    place,
    id,
    ageMs: nowMs - recordedAtOf(body),
    position: isReadable(body) ? decodeBody(driverId, body) : null,
    persisted: !isAfter(id, state.flushed) && !isRefused,
    refused: isRefused,
    waitingCheckpoints: await waitingOf(store, partition, driverId),
  };
}

async function eachPartition<T>(
  store: LogStore,
  look: (partition: number) => Promise<T>,
): Promise<{ found: T[]; missing: number[] }> {
  const missing: number[] = [];
  const partitions = Array.from({ length: store.map.partitions }, (_, partition) => partition);
  const looks = await Promise.all(
    partitions.map((partition) =>
      look(partition).catch(() => {
        missing.push(partition);
        return undefined;
      }),
    ),
  );
  return { found: looks.filter((one) => one !== undefined) as T[], missing };
}

/** Asks every partition. */
export async function lookForDriver(store: LogStore, driverId: string): Promise<CacheView> {
  const { found, missing } = await eachPartition(store, (partition) => viewOf(store, partition, driverId));
  const views = found.filter((view): view is DriverView => view !== null);
  const order = ({ position, ageMs }: DriverView) => [position?.session ?? 0, -ageMs] as const;
  views.sort((a, b) => order(b)[0] - order(a)[0] || order(b)[1] - order(a)[1]);
  const home = sessionPartitionOf(driverId, store.map.partitions);
  const [session = null] = await store.sessions(home, [driverId]).catch(() => [null]);
  return { views, session, missing };
}

export interface PartitionView extends PartitionCounts {
  partition: number;
  range: { from: string; to: string };
  node: string | null;
}

export async function lookAtPartitions(
  store: LogStore,
): Promise<{ partitions: PartitionView[]; missing: number[] }> {
  const { found, missing } = await eachPartition(store, async (partition) => ({
    partition,
    range: store.map.range(partition),
    node: store.nodeOf(partition),
    ...(await store.counts(partition)),
  }));
  return { partitions: found, missing };
}
