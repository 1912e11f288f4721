// One partition as a follower sees it.
//
//   ┌─▶ log ──last page──▶ queued ──its turn──▶ snapshot ──last page──▶ following
//   │                        ▲                   │    │                     │
//   │                        └── failed, or gap ─┘    │                     │
//   └───────────────────── a break (breaks.ts) ───────┴─────────────────────┘
//
// It is polled in every state. The log is read before the snapshot: what compaction moves meanwhile is then seen in one
// of the two. A gap only matters once the snapshot is being read.

import type { LogEntry } from '../live-store/log-replies.js';
import { type LogState, lostAbove } from '../live-store/log-state.js';
import type { LogPage, LogPageData, LogStore } from '../live-store/log-store.js';
import { StoreError } from '../live-store/store-error.js';
import { type EntryId, eachRecord, FIRST_ID, isAfter, splitValue } from '../record.js';
import { Backoff } from '../service/backoff.js';
import type { Logger } from '../service/log.js';
import type { PacedLog } from '../service/paced-log.js';
import { type Break, breakBetween } from './breaks.js';
import type { RecordSink } from './record-sink.js';

export type FollowState = 'log' | 'queued' | 'snapshot' | 'following';

const MAY_FOLLOW: Record<FollowState, readonly FollowState[]> = {
  log: ['log', 'queued'],
  queued: ['log', 'snapshot'],
  snapshot: ['log', 'queued', 'following'],
  following: ['log'],
};

/** With 512 records in each entry a page has 0.8 MB. */
const PAGE_ENTRIES = 32;
/** Drivers of a page of the snapshot: a node is held up for less than a millisecond. */
const PAGE_DRIVERS = 500;
const BACKOFF = { firstMs: 100, limitMs: 10_000 };
/** A partition that was followed for so long is well. */
const WELL_AFTER_MS = 10_000;
/** Notes can be taken back without a flush. */
const REFUSED_AGAIN_MS = 5_000;

export interface FollowedParts {
  store: LogStore;
  sink: RecordSink;
  log: Logger;
  paced: PacedLog;
  counts: FollowCounts;
  /** Monotonic. */
  nowMs(): number;
}

/** What a follower did, for metrics. */
export interface FollowCounts {
  records: number;
  unreadable: number;
  snapshots: number;
  breaks: Record<Break, number>;
}

export class FollowedPartition {
  readonly partition: number;
  readonly #parts: FollowedParts;
  readonly #backoff = new Backoff(BACKOFF);
  #state: FollowState = 'log';
  /** All up to here has been seen, or stands in the snapshot that is still to be read. */
  #position: EntryId = FIRST_ID;
  #log: LogState | null = null;
  /** Of the last page. */
  #data: LogPageData | null = null;
  #isPolling = false;
  /** Of the snapshot: another number means that the reading under way is of no use. */
  #reading = 0;
  /** When the page was asked for that ended the log; the view is not older. */
  #logEndAtMs = 0;
  #viewAtMs: number | null = null;
  #settledAtMs = 0;
  #firstTermBeganAtMs: number | null = null;
  #seenChangedAtMs = 0;
  #error: StoreError | null = null;
  #flushed: EntryId = FIRST_ID;
  #refused: ReadonlyMap<string, EntryId> = new Map();
  #refusedAtMs = Number.NEGATIVE_INFINITY;
  #isReadingRefused = false;

  constructor(partition: number, parts: FollowedParts) {
    this.partition = partition;
    this.#parts = parts;
  }

  get state(): FollowState {
    return this.#state;
  }

  /** From the last answer; null before the first. */
  get log(): LogState | null {
    return this.#log;
  }

  /** As the sink holds it now, the partition was at this moment or later, by the monotonic clock. Null: not read yet. */
  get viewAtMs(): number | null {
    return this.#viewAtMs;
  }

  /** The error of the last call; null if it was answered. */
  get error(): StoreError | null {
    return this.#error;
  }

  /** When somebody last wrote or touched, as far as was seen, by the monotonic clock. */
  get seenChangedAtMs(): number {
    return this.#seenChangedAtMs;
  }

  /** When the term began under which it was first read wholly, by the node's clock. Null: not read yet. */
  get firstTermBeganAtMs(): number | null {
    return this.#firstTermBeganAtMs;
  }

  /** Whether Postgres has this record, if the store still has it. */
  isFlushed(driverId: string, term: number, revision: number): boolean {
    const { term: flushedTerm, revision: flushedRevision } = this.#flushed;
    if (term > flushedTerm || (term === flushedTerm && revision > flushedRevision)) return false;
    if (this.#refused.size === 0) return true;
    const refused = this.#refused.get(driverId);
    return refused === undefined || refused.term !== term || refused.revision !== revision;
  }

  /** Asks for what is new, page by page. Rejects only with what no outage explains. */
  async poll(): Promise<void> {
    if (this.#isPolling) return;
    this.#isPolling = true;
    try {
      while (await this.#page());
      this.#error = null;
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#isPolling = false;
    }
  }

  wantsSnapshot(nowMs: number): boolean {
    return this.#state === 'queued' && this.#backoff.mayTry(nowMs);
  }

  async readSnapshot(): Promise<void> {
    const { store, sink, counts, nowMs } = this.#parts;
    this.#moveTo('snapshot');
    const reading = ++this.#reading;
    counts.snapshots++;
    let cursor: string | null = null;
    let place: string | null = null;
    try {
      do {
        const page = await store.snapshot(this.partition, { cursor, place, pageSize: PAGE_DRIVERS });
        if (this.#reading !== reading) return;
        for (const [driverId, value] of page.values) this.#takeValue(driverId, value);
        ({ cursor, place } = page);
      } while (cursor !== null);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (this.#reading !== reading) return;
      this.#backoff.failed(nowMs());
      this.#moveTo('queued');
      return;
    }
    sink.settled(this.partition);
    this.#settledAtMs = nowMs();
    this.#viewAtMs = this.#logEndAtMs;
    this.#firstTermBeganAtMs ??= this.#log?.beganAtMs ?? 0;
    this.#moveTo('following');
  }

  /** Returns whether there is more to read at once. */
  async #page(): Promise<boolean> {
    const { store, nowMs } = this.#parts;
    const after = this.#position;
    const askedAtMs = nowMs();
    const page = await store.entries(this.partition, after, PAGE_ENTRIES, this.#data);
    this.#data = page.data;
    const why = this.#judge(page, after);
    if (why !== null) {
      this.#readAnew(why);
      return true;
    }
    for (const entry of page.entries) this.#takeEntry(entry);
    const last = page.entries.at(-1)?.id ?? after;
    // Compacted beyond that: the snapshot is still to be read.
    this.#position = isAfter(page.compacted, last) ? page.compacted : last;
    if (page.entries.length === PAGE_ENTRIES) return true;
    this.#logEndAtMs = askedAtMs;
    if (this.#state === 'log') this.#moveTo('queued');
    if (this.#state === 'following') this.#followed(askedAtMs);
    if (this.#wantsRefused(page.state)) void this.#readRefused();
    return false;
  }

  #judge({ state, compacted }: LogPage, after: EntryId): Break | null {
    const { sink, store, nowMs } = this.#parts;
    const known = this.#log;
    this.#log = state;
    if (known === null) this.#seenChangedAtMs = nowMs() - Math.max(0, store.nowMs() - state.seenAtMs);
    else if (state.seenAtMs !== known.seenAtMs) this.#seenChangedAtMs = nowMs();
    const broken = known && breakBetween(known, state);
    if (broken) return broken;
    const above = known && lostAbove(known, state);
    if (known !== null && above !== null) {
      // A page of the snapshot that comes from before would be taken for one of after.
      if (this.#state === 'snapshot') return 'term';
      sink.lost(this.partition, known.term, above);
    }
    if (!isAfter(compacted, after)) return null;
    if (this.#state === 'following') return 'gap';
    if (this.#state === 'snapshot') this.#readSnapshotAgain();
    return null;
  }

  #readAnew(why: Break): void {
    const { sink, log, paced, counts, nowMs } = this.#parts;
    counts.breaks[why]++;
    paced.log(why, (times) =>
      log.warn({ partition: this.partition, why, times }, 'a partition is read anew'),
    );
    this.#reading++;
    this.#position = FIRST_ID;
    this.#backoff.failed(nowMs());
    sink.readAnew(this.partition);
    this.#moveTo('log');
  }

  #readSnapshotAgain(): void {
    this.#reading++;
    this.#backoff.failed(this.#parts.nowMs());
    this.#moveTo('queued');
  }

  #followed(atMs: number): void {
    this.#viewAtMs = atMs;
    if (this.#backoff.failures > 0 && atMs - this.#settledAtMs > WELL_AFTER_MS) this.#backoff.succeeded();
  }

  #wantsRefused({ flushed }: LogState): boolean {
    if (this.#isReadingRefused) return false;
    const isMoved = flushed.term !== this.#flushed.term || flushed.revision !== this.#flushed.revision;
    return isMoved || (this.#refused.size > 0 && this.#parts.nowMs() - this.#refusedAtMs > REFUSED_AGAIN_MS);
  }

  /** `flushed` moves after what was refused has been noted, so both are taken from one answer. */
  async #readRefused(): Promise<void> {
    const { store, nowMs } = this.#parts;
    this.#isReadingRefused = true;
    try {
      const { state, refused } = await store.refused(this.partition);
      this.#flushed = state.flushed;
      this.#refused = refused;
      this.#refusedAtMs = nowMs();
    } catch (error) {
      // The next page asks again.
      if (!(error instanceof StoreError)) throw error;
    } finally {
      this.#isReadingRefused = false;
    }
  }

  #takeEntry({ id, batch }: LogEntry): void {
    const { sink, counts } = this.#parts;
    let unreadable = 0;
    const addsUp = eachRecord(batch, (driverId, bodyAt, bodyEnd) => {
      counts.records++;
      if (!sink.take(this.partition, driverId, batch, bodyAt, bodyEnd, id)) unreadable++;
    });
    if (!addsUp) unreadable++;
    if (unreadable > 0) this.#skipped(unreadable, `entry ${id.term}-${id.revision}`);
  }

  #takeValue(driverId: string, value: Buffer): void {
    const { sink, counts } = this.#parts;
    counts.records++;
    const split = splitValue(value);
    if (split && sink.take(this.partition, driverId, split.body, 0, split.body.length, split.id)) return;
    this.#skipped(1, 'the snapshot');
  }

  #skipped(count: number, where: string): void {
    const { log, paced, counts } = this.#parts;
    counts.unreadable += count;
    paced.log('unreadable', (times) =>
      log.error(
        { partition: this.partition, where, times },
        'records that cannot be read are left out of answers',
      ),
    );
  }

  #failed(error: unknown): void {
    if (!(error instanceof StoreError)) throw error;
    this.#error = error;
  }

  #moveTo(next: FollowState): void {
    if (!MAY_FOLLOW[this.#state].includes(next))
      throw new Error(`a partition that is in state ${this.#state} cannot move to ${next}`);
    this.#state = next;
  }
}
