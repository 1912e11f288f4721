// One pass over the partitions that are due.
//
//   a few partitions at once:  begin ──▶ read, page by page ──┐
//                                                             ├──▶ one open batch ──▶ commit ──▶ for each finished
//                                                             ┘    (5,000 rows)                  partition: move its
//                                                                                                watermark
// What always holds: batches are committed one after the other, and a partition's progress is in the same
// transaction as its last row, or a later one. So its watermark moves only over rows that Postgres has. A crash
// anywhere leaves it where it was, and the reading is repeated. If a record cannot be read, the others are written and
// the watermark stays: the record may be of a newer version, whose flusher has to find it above the watermark.
//
// Rows in memory: one batch in commit, one sealed, one open (5,000 each), for each of READS_AT_ONCE the newest of each
// driver (5,000, packed, in the pages that they came in), and those that were refused before (1,000).

import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError, type StoreErrorCode } from '@whereabouts/infra/live-store/store-error';
import { type EntryId, isAfter } from '@whereabouts/infra/record';
import type { Logger } from '@whereabouts/infra/service/log';
import type { PacedLog } from '@whereabouts/infra/service/paced-log';
import { type Archive, type Behind, type CommitAnswer, MAX_BATCH_ROWS, type Turn } from './archive.js';
import { ArchiveError, type ArchiveErrorCode } from './archive-error.js';
import type { Reached } from './failpoint.js';
import { Batch, type Flush, type FlushRow } from './flush-batch.js';
import type { FlushMetrics } from './flush-metrics.js';
import type { PartitionStatus } from './partition-status.js';
import { MAX_TRIED, type RefusedPositions } from './refused-positions.js';
import { readUnflushed } from './unflushed.js';
import { UnflushedRecords } from './unflushed-records.js';

const READS_AT_ONCE = 8;
/** A term ends once in a failover; more often than this within one pass, and the next pass will see. */
const MAX_BEGINS = 3;
/** Not ready is also a read that compaction fell into. */
const BEGIN_AGAIN: readonly StoreErrorCode[] = ['term_changed', 'place_changed', 'not_ready'];
/** Longer than a commit takes; after a crash it is what the partition waits for, so well below the loss budget. */
const LEASE_MS = 3_000;
const NO_NOTES: ReadonlyMap<string, EntryId> = new Map();
/** Packed records keep their page in memory. A partition has rarely more than one to read. */
const MAX_PAGES_HELD = 4;
const TOLD_UNREADABLE = 5;

export interface FlushPassOptions {
  store: LogStore;
  archive: Archive;
  refused: RefusedPositions;
  flusherId: string;
  sweepAfterMs: number;
  log: Logger;
  /** For what each pass would say again. */
  paced: PacedLog;
  metrics: FlushMetrics;
  reached: Reached;
}

export type LeftReason = StoreErrorCode | 'bad_record' | 'behind' | ArchiveErrorCode;

export interface PassReport {
  flushed: number;
  /** Whole batches that Postgres has taken, also without a row. */
  batches: number;
  /** Written to Postgres. */
  rows: number;
  /** Partitions that are still to be flushed, and why. */
  left: Map<number, LeftReason>;
  archiveError: ArchiveError | null;
  /** Records that cannot be read, of each partition that was read. */
  unreadable: Map<number, number>;
}

export class FlushPass {
  readonly #o: FlushPassOptions;
  readonly #report: PassReport = {
    flushed: 0,
    batches: 0,
    rows: 0,
    left: new Map(),
    archiveError: null,
    unreadable: new Map(),
  };
  readonly #leases = new Set<number>();
  /** Partitions with a refused row that could not be noted: their watermark must not move over it. */
  readonly #unnoted = new Set<number>();
  readonly #settling: Promise<void>[] = [];
  /** Refused before, to be tried again once the rest is done. */
  readonly #refusedBefore = new Batch();
  #open = new Batch();
  /** Settles when the newest sealed batch is committed. */
  #committed: Promise<void> = Promise.resolve();
  /**
   * Settles when that one has been sent. Nothing more is taken in before: to make the next batch ready takes as long as
   * Postgres needs for a third of one, and it would wait for that with nothing to do.
   */
  #room: Promise<void> = Promise.resolve();

  constructor(options: FlushPassOptions) {
    this.#o = options;
  }

  /** In the order given. Never rejects for an outage: the report says what was left. */
  async run(due: readonly PartitionStatus[]): Promise<PassReport> {
    const queue = [...due];
    const reader = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        if (this.#report.archiveError === null) await this.#flush(next).catch((error) => this.#failed(error));
        else this.#report.left.set(next.partition, this.#report.archiveError.code);
      }
    };
    await Promise.all(Array.from({ length: READS_AT_ONCE }, reader));
    await this.#seal().catch((error) => this.#failed(error));
    await this.#committed.catch((error) => this.#failed(error));
    await Promise.all(this.#settling);
    await Promise.all([...this.#leases].map((partition) => this.#release(partition)));
    await this.#tryRefused().catch((error) => this.#failed(error));
    for (const reason of this.#report.left.values()) this.#o.metrics.left.inc({ reason });
    return this.#report;
  }

  #failed(error: unknown): void {
    if (!(error instanceof ArchiveError)) throw error;
    this.#report.archiveError = error;
    for (const partition of this.#leases) this.#report.left.set(partition, error.code);
  }

  async #flush(seen: PartitionStatus): Promise<void> {
    for (let begins = 1; ; begins++) {
      try {
        const flush = await this.#begin(seen);
        if (flush === null) return;
        await this.#read(flush);
        this.#report.unreadable.set(seen.partition, flush.unreadable);
        if (flush.unreadable === 0) this.#open.finished.push(flush);
        else this.#report.left.set(seen.partition, 'bad_record');
        return;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (BEGIN_AGAIN.includes(error.code) && begins < MAX_BEGINS) continue;
        this.#report.left.set(seen.partition, error.code);
        return;
      }
    }
  }

  /** Null if another flusher was faster. */
  async #begin(seen: PartitionStatus): Promise<Flush | null> {
    const { partition } = seen;
    const { store, flusherId, refused, reached } = this.#o;
    const began = await store.begin(partition, flusherId, LEASE_MS);
    this.#leases.add(partition);
    reached('after_begin');
    const isAsSeen =
      began.flushed.term === seen.flushed.term && began.flushed.revision === seen.flushed.revision;
    if (began.term === seen.term && !isAsSeen) {
      await this.#release(partition);
      return null;
    }
    const notes = seen.refused > 0 ? (await store.refused(partition)).refused : NO_NOTES;
    refused.found(partition, notes.size);
    return { partition, seen, began, notes, unreadable: 0 };
  }

  async #read(flush: Flush): Promise<void> {
    const { store, metrics, reached } = this.#o;
    const { began, notes } = flush;
    await this.#takeRefused(flush);
    // A driver stands in many entries: of all that is in memory at once, only the newest is written.
    const newest = new UnflushedRecords(began.partition, notes);
    let pages = 0;
    // If all is in Postgres, there is nothing to read. If nothing ever was, meta may have been lost.
    const isClean = began.dirtySinceMs === null && began.flushed.term > 0;
    for await (const page of isClean ? [] : readUnflushed(store, began, newest)) {
      metrics.rowsScanned.inc(page.records);
      if (page.unreadable.length > 0) this.#tellUnreadable(flush, page.unreadable);
      if (newest.size >= MAX_BATCH_ROWS || ++pages % MAX_PAGES_HELD === 0) await this.#take(newest.take());
      reached('after_page');
    }
    await this.#take(newest.take());
    reached('after_scan');
  }

  /** Those above the watermark are dirty as well, and come with the others. */
  async #takeRefused({ partition, began, notes }: Flush): Promise<void> {
    const room = MAX_TRIED - this.#refusedBefore.size;
    if (notes.size === 0 || room === 0 || !this.#o.refused.isDue(partition)) return;
    for (const row of await this.#o.refused.takeDue(partition, notes, room)) {
      const older = isAfter(row.id, began.flushed) ? undefined : this.#refusedBefore.add(row);
      if (older) await this.#o.refused.taken([older]);
    }
  }

  async #tryRefused(): Promise<void> {
    if (this.#report.archiveError !== null || this.#refusedBefore.size === 0) return;
    await this.#o.refused.tryAgain(this.#o.archive, this.#refusedBefore.rows);
  }

  #tellUnreadable(flush: Flush, unreadable: readonly string[]): void {
    const { log, paced } = this.#o;
    const { partition } = flush;
    flush.unreadable += unreadable.length;
    const told = { partition, records: unreadable.length, first: unreadable.slice(0, TOLD_UNREADABLE) };
    const said = 'records that cannot be read are passed over';
    paced.log(`${partition} ${said}`, (times) => log.error({ ...told, times }, said));
  }

  async #take(rows: readonly FlushRow[]): Promise<void> {
    for (let at = 0; at < rows.length; ) {
      await this.#room;
      while (this.#open.size > 0 && this.#open.size + rows.length - at > MAX_BATCH_ROWS) await this.#seal();
      const end = at + MAX_BATCH_ROWS;
      for (const row of rows.slice(at, end)) this.#open.add(row);
      at = end;
    }
  }

  /** Closes the open batch; returns once there is room for the next. */
  async #seal(): Promise<void> {
    const batch = this.#open;
    this.#open = new Batch();
    const before = this.#committed;
    const sent = new Promise<void>((resolve) => {
      this.#committed = this.#commit(batch, { before, sent: resolve });
    });
    this.#room = Promise.race([sent, this.#committed]);
    // The next caller gets the failure. Until then it must not count as an unhandled rejection.
    this.#committed.catch(() => {});
    await this.#room;
  }

  async #commit(batch: Batch, turn: Turn): Promise<void> {
    const { archive, metrics, reached } = this.#o;
    if (batch.size === 0 && batch.finished.length === 0) return turn.before;
    const answer = await archive.commit(batch.rows, batch.progress, turn);
    reached('after_commit');
    this.#report.batches++;
    this.#report.rows += answer.written;
    metrics.batches.inc();
    metrics.transactions.inc(answer.transactions);
    metrics.rowsWritten.inc(answer.written);
    await this.#settleNotes(batch, answer);
    const behind = new Map(answer.behind.map((entry) => [entry.partition, entry]));
    for (const flush of batch.finished) {
      const entry = behind.get(flush.partition);
      const settled = entry ? this.#rewind(flush, entry) : this.#moveWatermark(flush);
      this.#settling.push(settled.catch((error) => this.#unsettled(flush.partition, error)));
    }
  }

  /** Before any watermark moves over what was refused, so that none of it ever counts as persisted. */
  async #settleNotes(batch: Batch, { refused, why }: CommitAnswer<FlushRow>): Promise<void> {
    if (refused.length > 0) {
      for (const [partition, error] of await this.#o.refused.note(refused, why)) {
        this.#unnoted.add(partition);
        this.#unsettled(partition, error);
      }
    }
    const noted = batch.rows.filter((row) => row.noted !== null && !refused.includes(row));
    if (noted.length > 0) await this.#o.refused.taken(noted);
  }

  async #moveWatermark(flush: Flush): Promise<void> {
    const { store, flusherId, metrics, reached } = this.#o;
    const { partition, began, seen } = flush;
    if (this.#unnoted.has(partition)) return;
    const { term, revision, nowMs: asOfMs } = began;
    await store.flushed(partition, { term, revision, asOfMs, flusherId });
    this.#leases.delete(partition);
    reached('after_flushed');
    this.#report.flushed++;
    metrics.flushed.inc();
    metrics.accepted.inc(seen.acceptedSinceFlush);
  }

  /** Postgres is not the one it was: what it had is flushed to it again. */
  async #rewind(flush: Flush, { partition, asOfMs }: Behind): Promise<void> {
    const { store, log, metrics, sweepAfterMs } = this.#o;
    // If it knows nothing of the partition: nearly everything that the cache still has is younger than this.
    const sinceMs = asOfMs ?? flush.began.nowMs - sweepAfterMs;
    const { flushedAtMs } = flush.seen;
    log.warn({ partition, as_of_ms: asOfMs, flushed_at_ms: flushedAtMs }, 'Postgres is behind: rewinding');
    this.#report.left.set(partition, 'behind');
    await store.rewind(partition, sinceMs);
    metrics.rewinds.inc();
  }

  #unsettled(partition: number, error: unknown): void {
    if (!(error instanceof StoreError)) throw error;
    this.#report.left.set(partition, error.code);
  }

  /** A lease that cannot be given back runs out. */
  async #release(partition: number): Promise<void> {
    this.#leases.delete(partition);
    await this.#o.store.release(partition, this.#o.flusherId).catch(() => {});
  }
}
