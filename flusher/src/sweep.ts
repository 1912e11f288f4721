// Removes drivers from the cache who have not reported for long, once Postgres has them, and sessions that were not
// claimed for a day. It takes a page now and then, so that each partition is swept in time without a load peak.

import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { FlushMetrics } from './flush-metrics.js';
import type { PartitionStatus } from './partition-status.js';

const PAGE_SIZE = 500;
/** Of `sweepAfterMs`: the longest that the old stay beyond it. */
const ROUND_SHARE = 0.5;
const SESSIONS_ROUND_MS = 3_600_000;
const KEEP_SESSIONS_MS = 86_400_000;
const MAX_PAGES_AT_ONCE = 8;

type Page = (status: PartitionStatus, cursor: string) => Promise<{ cursor: string | null; removed: number }>;

export class Sweep {
  readonly #walks: readonly Walk[];

  constructor(o: {
    store: LogStore;
    sweepAfterMs: number;
    metrics: FlushMetrics;
    sessionsRoundMs?: number;
  }) {
    const { store, sweepAfterMs, metrics } = o;
    const positions: Page = ({ partition, nowMs }, cursor) =>
      store.sweep(partition, { removeBeforeMs: nowMs - sweepAfterMs, cursor, pageSize: PAGE_SIZE });
    const sessions: Page = ({ partition, nowMs }, cursor) =>
      store.sweepSessions(partition, {
        claimedBeforeMs: nowMs - KEEP_SESSIONS_MS,
        cursor,
        pageSize: PAGE_SIZE,
      });
    const counted = (from: string) => (removed: number) => metrics.swept.inc({ from }, removed);
    this.#walks = [
      new Walk(positions, sweepAfterMs * ROUND_SHARE, counted('cache')),
      new Walk(sessions, o.sessionsRoundMs ?? SESSIONS_ROUND_MS, counted('sessions')),
    ];
  }

  /** The pages that have become due since the last time. An outage is left to the next round. */
  async run(known: readonly PartitionStatus[]): Promise<void> {
    for (const walk of this.#walks) await walk.run(known);
  }
}

/** Goes through the partitions, and through each page by page. */
class Walk {
  readonly #page: Page;
  readonly #roundMs: number;
  readonly #removed: (count: number) => void;
  #partition = 0;
  #cursor = '0';
  #due = 0;
  #atMs = performance.now();

  constructor(page: Page, roundMs: number, removed: (count: number) => void) {
    this.#page = page;
    this.#roundMs = roundMs;
    this.#removed = removed;
  }

  async run(known: readonly PartitionStatus[]): Promise<void> {
    const nowMs = performance.now();
    const pages = known.reduce((sum, { drivers }) => sum + 1 + Math.floor(drivers / PAGE_SIZE), 0);
    this.#due = Math.min(MAX_PAGES_AT_ONCE, this.#due + (pages * (nowMs - this.#atMs)) / this.#roundMs);
    this.#atMs = nowMs;
    for (; this.#due >= 1; this.#due--) await this.#step(known);
  }

  async #step(known: readonly PartitionStatus[]): Promise<void> {
    const status = known.find(({ partition }) => partition >= this.#partition) ?? known[0];
    if (status === undefined) return;
    if (status.partition !== this.#partition) this.#cursor = '0';
    try {
      const { cursor, removed } = await this.#page(status, this.#cursor);
      this.#removed(removed);
      this.#partition = cursor === null ? status.partition + 1 : status.partition;
      this.#cursor = cursor ?? '0';
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#partition = status.partition + 1;
      this.#cursor = '0';
    }
  }
}
