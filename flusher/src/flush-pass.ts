// One pass over the partitions that are due.
//
//   a few partitions at once:  begin ──▶ scan, page by page ──┐
//                                                             ├──▶ one open batch ──▶ commit ──▶ for each finished
//                                                             ┘    (5,000 rows)                  partition: move its
//                                                                                                watermark, sweep
// What always holds: batches are committed one after the other, and a partition's progress is in the same
// transaction as its last row, or a later one. So its watermark moves only over rows that Postgres has. A crash
// anywhere leaves it where it was, and the scan is repeated. Where a record cannot be read, the others are written, and
// the watermark stays: it may be of a newer version, whose flusher has to find it above the watermark.
//
// Rows in memory: one batch in commit, one sealed, one open (5,000 each), a page (about 1,000) for each of SCANS_AT_ONCE,
// and those that were refused before (1,000): at most 24,000.

import type { LiveStore, PartitionStatus } from '@whereabouts/infra/live-store/live-store';
import { StoreError, type StoreErrorCode } from '@whereabouts/infra/live-store/store-error';
import type { StoredPosition } from '@whereabouts/infra/position';
import type { Logger } from '@whereabouts/infra/service/log';
import { type Archive, type Behind, type CommitAnswer, MAX_BATCH_ROWS, type Turn } from './archive.js';
import { ArchiveError, type ArchiveErrorCode } from './archive-error.js';
import type { Reached } from './failpoint.js';
import { Batch, type Flush } from './flush-batch.js';
import type { FlushMetrics } from './flush-metrics.js';
import { MAX_TRIED, type RefusedPositions } from './refused-positions.js';
import { sweep } from './sweep.js';

const SCANS_AT_ONCE = 8;
/** Reigns change once in a failover; more often than this within one pass, and the next pass will see. */
const MAX_BEGINS = 3;
/** Longer than a commit takes; after a crash it is what the partition waits for, so well below the loss budget. */
const LEASE_MS = 3_000;
/** What a pass sweeps of a partition; the next one finds the rest. */
const MAX_STALE_IDS = 4096;

export interface FlushPassOptions {
  store: LiveStore;
  archive: Archive;
  refused: RefusedPositions;
  flusherId: string;
  freshnessMs: number;
  sweepAfterMs: number;
  log: Logger;
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
  /** Records that cannot be read, of each partition that was scanned. */
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
  /** Partitions with a refused row that could not be marked: their watermark must not move over it. */
  readonly #unmarked = new Set<number>();
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
    const scanner = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        if (this.#report.archiveError === null) await this.#flush(next).catch((error) => this.#failed(error));
        else this.#report.left.set(next.partition, this.#report.archiveError.code);
      }
    };
    await Promise.all(Array.from({ length: SCANS_AT_ONCE }, scanner));
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
        await this.#scan(flush);
        this.#report.unreadable.set(seen.partition, flush.unreadable);
        if (flush.unreadable === 0) this.#open.finished.push(flush);
        else await this.#leaveUnreadable(flush);
        return;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (error.code === 'reign_changed' && begins < MAX_BEGINS) continue;
        this.#report.left.set(seen.partition, error.code);
        return;
      }
    }
  }

  /** null where another flusher was faster. */
  async #begin(seen: PartitionStatus): Promise<Flush | null> {
    const { partition } = seen;
    const { store, flusherId, reached } = this.#o;
    const began = await store.begin(partition, flusherId, LEASE_MS);
    this.#leases.add(partition);
    reached('after_begin');
    if (began.reign !== seen.reign || began.flushed === seen.flushed) {
      return { partition, seen, began, staleIds: [], unreadable: 0 };
    }
    await this.#release(partition);
    return null;
  }

  async #scan(flush: Flush): Promise<void> {
    const { store, metrics, refused, reached } = this.#o;
    const { partition, began } = flush;
    const scan = { reign: began.reign, since: began.flushed, ...this.#ages(flush) };
    const tries = refused.isDue(partition);
    let refusedBefore = 0;
    let cursor = '0';
    do {
      const page = await store.unflushed(partition, { ...scan, cursor });
      metrics.rowsScanned.inc(page.rows.length);
      if (flush.staleIds.length < MAX_STALE_IDS) flush.staleIds.push(...page.staleIds);
      refusedBefore += page.refused.length;
      if (tries) this.#takeRefused(partition, page.refused);
      flush.unreadable += page.unreadableIds.length;
      await this.#take(partition, page.rows);
      cursor = page.cursor;
    } while (cursor !== '0');
    refused.found(partition, refusedBefore, tries);
    reached('after_scan');
  }

  #takeRefused(partition: number, positions: readonly StoredPosition[]): void {
    for (const position of positions) {
      if (this.#refusedBefore.size === MAX_TRIED) return;
      if (this.#o.refused.comesAlong(partition)) this.#refusedBefore.add(partition, position);
    }
  }

  async #tryRefused(): Promise<void> {
    if (this.#report.archiveError !== null || this.#refusedBefore.size === 0) return;
    await this.#o.refused.tryAgain(this.#o.archive, this.#refusedBefore.rows);
  }

  async #leaveUnreadable(flush: Flush): Promise<void> {
    const { store, metrics } = this.#o;
    this.#report.left.set(flush.partition, 'bad_record');
    await sweep(store, flush.partition, flush.staleIds, this.#ages(flush), metrics);
  }

  async #take(partition: number, positions: readonly StoredPosition[]): Promise<void> {
    await this.#room;
    while (this.#open.size > 0 && this.#open.size + positions.length > MAX_BATCH_ROWS) await this.#seal();
    for (const position of positions) this.#open.add(partition, position);
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
    // Whoever comes next hears of a failure; until somebody does it is no unhandled rejection.
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
    await this.#settleMarks(batch, answer);
    const behind = new Map(answer.behind.map((entry) => [entry.partition, entry]));
    for (const flush of batch.finished) {
      const entry = behind.get(flush.partition);
      const settled = entry ? this.#rewind(flush, entry) : this.#moveWatermark(flush);
      this.#settling.push(settled.catch((error) => this.#unsettled(flush.partition, error)));
    }
  }

  /** Before any watermark moves over what was refused, so that none of it ever counts as persisted. */
  async #settleMarks(batch: Batch, { refused, why }: CommitAnswer): Promise<void> {
    if (refused.length > 0) {
      for (const [partition, error] of await this.#o.refused.mark(refused, why)) {
        this.#unmarked.add(partition);
        this.#unsettled(partition, error);
      }
    }
    // Marked before, and dirty again after a rewind.
    const marked = batch.rows.filter((row) => row.position.quarantined && !refused.includes(row));
    if (marked.length > 0) await this.#o.refused.unmark(marked);
  }

  async #moveWatermark(flush: Flush): Promise<void> {
    const { store, flusherId, metrics, reached } = this.#o;
    const { partition, began, seen } = flush;
    if (this.#unmarked.has(partition)) return;
    const { reign, revision, nowMs: asOfMs } = began;
    await store.flushed(partition, { reign, revision, asOfMs, flusherId });
    this.#leases.delete(partition);
    reached('after_flushed');
    this.#report.flushed++;
    metrics.flushed.inc();
    metrics.accepted.inc(seen.acceptedSinceFlush);
    if (flush.staleIds.length > 0) await sweep(store, partition, flush.staleIds, this.#ages(flush), metrics);
  }

  /** Postgres is not the one it was: what it had is flushed to it again. */
  async #rewind(flush: Flush, { partition, asOfMs }: Behind): Promise<void> {
    const { store, log, metrics, sweepAfterMs } = this.#o;
    // Where it knows nothing of the partition: nearly all that the cache still has is younger than this.
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

  #ages({ began }: Flush): { freshBeforeMs: number; removeBeforeMs: number } {
    const { freshnessMs, sweepAfterMs } = this.#o;
    return { freshBeforeMs: began.nowMs - freshnessMs, removeBeforeMs: began.nowMs - sweepAfterMs };
  }
}
