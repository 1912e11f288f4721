// Loads the archive into a cache that was lost: page by page in the order of driver ids, each row to its partition of
// the current map, whatever map it was written under.
//
//   drivers in the cache ──▶ page (5,000 rows) ──▶ by partition ──▶ batches of 512, a few at once ──▶ append
//
// The drivers in the cache are read first, and skipped. Readers keep the newest record, and the later of two equal
// ones: a driver whose last report is also in Postgres would then count as loaded from there, and no longer be found.
// A row that was written after that reading began belongs to a driver who reports now and has a newer record. So a
// restore may be interrupted and repeated, while drivers report. An outage is retried a few times; a batch that keeps
// failing is counted, and the rest continues.
// In memory: one page, and the order of each driver in the cache.

import { MAX_ENTRY_RECORDS } from '@whereabouts/infra/live-store/log-limits';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { fromE7, isNewer, type Position, PositionError } from '@whereabouts/infra/position';
import { ArchiveError } from './archive-error.js';
import { archivedPosition } from './archived-position.js';
import type { KnownPositions } from './known-positions.js';

export const PAGE_ROWS = 5_000;
const AT_ONCE = 4;
// The waits together are 5 to 10 s, all but the shortest within the time that a cluster takes to fail over by itself.
export const MAX_ATTEMPTS = 9;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 2_000;
const MAX_INVALID_IDS = 5;
const MAX_ID_SHOWN = 80;

export interface RestorationOptions {
  map: PartitionMap;
  /** Rows that were recorded before are left out. */
  sinceMs: number;
  /** The time of Postgres. */
  archiveNowMs(): Promise<number>;
  /** Adds who stands in the partition. */
  addKnown(partition: number, known: KnownPositions): Promise<void>;
  readPage(after: string, limit: number): Promise<Record<string, unknown>[]>;
  send(partition: number, positions: readonly Position[]): Promise<unknown>;
  wait(ms: number): Promise<unknown>;
  random(): number;
  /** After each page. */
  progress(counts: RestoreCounts): void;
}

export interface RestoreCounts {
  /** Looked at. */
  rows: number;
  restored: number;
  /** Their driver has a record that is as new. */
  standing: number;
  tooOld: number;
  /** No driver can have reported them. */
  invalid: number;
  /** Of the first of those, as they stand in the table. */
  invalidIds: string[];
  /** Could not be sent. */
  failed: number;
}

/** The cache, as it was when Postgres had this time. */
interface Cache {
  asOfMs: number;
  known: KnownPositions;
  /** Partitions that did not answer: whom they hold is not known. */
  dark: Set<number>;
}

interface Batch {
  partition: number;
  positions: Position[];
}

/** Rejects with ArchiveError where Postgres stays away, with StoreError where trying again is of no use. */
export async function restoreArchive(o: RestorationOptions): Promise<RestoreCounts> {
  const counts: RestoreCounts = {
    rows: 0,
    restored: 0,
    standing: 0,
    tooOld: 0,
    invalid: 0,
    invalidIds: [],
    failed: 0,
  };
  const cache = await readCache(o);
  let after = '';
  for (;;) {
    const rows = await insistently(o, () => o.readPage(after, PAGE_ROWS));
    const batches = batchesOf(o, rows, cache, counts);
    await fewAtOnce(batches, (batch) => send(o, batch, counts));
    counts.rows += rows.length;
    o.progress(counts);
    if (rows.length < PAGE_ROWS) return counts;
    after = String(rows.at(-1)?.driver_id);
  }
}

async function readCache(o: RestorationOptions): Promise<Cache> {
  // The time goes first: a row that was written before it was in the cache before it was read, or lost with it.
  const asOfMs = await insistently(o, () => o.archiveNowMs());
  const cache: Cache = { asOfMs, known: new Map(), dark: new Set() };
  const partitions = Array.from({ length: o.map.partitions }, (_, i) => i);
  await fewAtOnce(partitions, async (partition) => {
    try {
      await insistently(o, () => o.addKnown(partition, cache.known));
    } catch (error) {
      if (!isOutage(error)) throw error;
      cache.dark.add(partition);
    }
  });
  return cache;
}

async function fewAtOnce<T>(queue: T[], work: (item: T) => Promise<void>): Promise<void> {
  const worker = async () => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

function batchesOf(
  o: RestorationOptions,
  rows: readonly Record<string, unknown>[],
  cache: Cache,
  counts: RestoreCounts,
): Batch[] {
  const batches: Batch[] = [];
  const open = new Map<number, Batch>();
  for (const row of rows) {
    const position = positionOf(row);
    if (position === null) {
      counts.invalid++;
      if (counts.invalidIds.length < MAX_INVALID_IDS)
        counts.invalidIds.push(String(row.driver_id).slice(0, MAX_ID_SHOWN));
    } else if (position.recordedAtMs < o.sinceMs) counts.tooOld++;
    else if (stands(cache, position, Number(row.persisted_at))) counts.standing++;
    else {
      const partition = o.map.partitionOf(fromE7(position.latE7), fromE7(position.lonE7));
      if (cache.dark.has(partition)) {
        counts.failed++;
        continue;
      }
      let batch = open.get(partition);
      if (batch === undefined || batch.positions.length === MAX_ENTRY_RECORDS) {
        batch = { partition, positions: [] };
        open.set(partition, batch);
        batches.push(batch);
      }
      batch.positions.push(position);
    }
  }
  return batches;
}

function stands({ known, asOfMs }: Cache, position: Position, persistedAtMs: number): boolean {
  const held = known.get(position.driverId);
  return persistedAtMs > asOfMs || (held !== undefined && !isNewer(position, held));
}

function positionOf(row: Record<string, unknown>): Position | null {
  try {
    return archivedPosition(row);
  } catch (error) {
    if (error instanceof PositionError) return null;
    throw error;
  }
}

async function send(o: RestorationOptions, batch: Batch, counts: RestoreCounts): Promise<void> {
  try {
    await insistently(o, () => o.send(batch.partition, batch.positions));
    counts.restored += batch.positions.length;
  } catch (error) {
    if (!(error instanceof StoreError && error.retryable)) throw error;
    counts.failed += batch.positions.length;
  }
}

const isOutage = (error: unknown) =>
  error instanceof ArchiveError ||
  (error instanceof StoreError && (error.retryable || error.code === 'place_changed'));

async function insistently<T>(o: RestorationOptions, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !isOutage(error)) throw error;
      const fullMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1));
      await o.wait(fullMs * (0.5 + o.random() / 2));
    }
  }
}
