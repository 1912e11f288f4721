// Loads the archive back into a cache that was lost: page by page along the drivers' ids, each page's rows to the
// partitions of the map in force, whatever map they were written under.
//
//   page (5,000 rows) ──▶ by partition ──▶ batches of 512, a few at once ──▶ restore
//
// Nothing needs undoing: a record that stands is left alone, so it may be cut short and run again, beside drivers who
// report meanwhile. An outage is tried again a few times; a batch that fails for ever is counted, and the rest goes on.
// Rows in memory: one page.

import type { RestoreAnswer } from '@whereabouts/infra/live-store/live-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { fromE7, MAX_BATCH_RECORDS, type Position, PositionError } from '@whereabouts/infra/position';
import { ArchiveError } from './archive-error.js';
import { archivedPosition } from './archived-position.js';

export const PAGE_ROWS = 5_000;
const BATCHES_AT_ONCE = 4;
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
  readPage(after: string, limit: number): Promise<Record<string, unknown>[]>;
  send(partition: number, positions: readonly Position[]): Promise<RestoreAnswer>;
  wait(ms: number): Promise<unknown>;
  random(): number;
  /** After each page. */
  progress(counts: RestoreCounts): void;
}

export interface RestoreCounts {
  /** Looked at. */
  rows: number;
  restored: number;
  /** Their driver had a record already. */
  standing: number;
  tooOld: number;
  /** No driver can have reported them. */
  invalid: number;
  /** Of the first of those, as they stand in the table. */
  invalidIds: string[];
  /** Could not be sent. */
  failed: number;
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
  let after = '';
  for (;;) {
    const rows = await insistently(o, () => o.readPage(after, PAGE_ROWS));
    const batches = batchesOf(o, rows, counts);
    const worker = async () => {
      for (let batch = batches.pop(); batch !== undefined; batch = batches.pop()) {
        await send(o, batch, counts);
      }
    };
    await Promise.all(Array.from({ length: BATCHES_AT_ONCE }, worker));
    counts.rows += rows.length;
    o.progress(counts);
    if (rows.length < PAGE_ROWS) return counts;
    after = String(rows.at(-1)?.driver_id);
  }
}

function batchesOf(
  o: RestorationOptions,
  rows: readonly Record<string, unknown>[],
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
    else {
      const partition = o.map.partitionOf(fromE7(position.latE7), fromE7(position.lonE7));
      let batch = open.get(partition);
      if (batch === undefined || batch.positions.length === MAX_BATCH_RECORDS) {
        batch = { partition, positions: [] };
        open.set(partition, batch);
        batches.push(batch);
      }
      batch.positions.push(position);
    }
  }
  return batches;
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
    const answer = await insistently(o, () => o.send(batch.partition, batch.positions));
    counts.restored += answer.restored;
    counts.standing += answer.standing;
    counts.invalid += answer.invalid;
  } catch (error) {
    if (!(error instanceof StoreError && error.retryable)) throw error;
    counts.failed += batch.positions.length;
  }
}

const isOutage = (error: unknown) =>
  error instanceof ArchiveError || (error instanceof StoreError && error.retryable);

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
