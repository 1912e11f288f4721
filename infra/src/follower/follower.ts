// Follows every partition of the live store: whatever is appended reaches the sink within a poll, and what was there
// before once the partition has been read. Gaps and new terms are its business; the sink keeps the newest.
//
// All partitions are asked in one turn, so that the polls of a node leave in one write. Readings of snapshots are paced:
// so many at once, each partition with a backoff of its own.

import type { LogStore } from '../live-store/log-store.js';
import { StoreError } from '../live-store/store-error.js';
import type { Logger } from '../service/log.js';
import { PacedLog } from '../service/paced-log.js';
import { BREAKS, type Break } from './breaks.js';
import { type FollowCounts, FollowedPartition } from './followed-partition.js';
import type { RecordSink } from './record-sink.js';

export interface FollowerOptions {
  store: LogStore;
  sink: RecordSink;
  log: Logger;
  pollMs?: number;
}

const POLL_MS = 100;
const SNAPSHOTS_AT_ONCE = 8;
/** The answers of reads do not have the node's time. */
const CLOCK_EVERY_MS = 1000;

export class Follower {
  readonly partitions: readonly FollowedPartition[];
  readonly counts: FollowCounts;
  readonly #store: LogStore;
  readonly #pollMs: number;
  #snapshots = 0;
  #clockAtMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  #wasCaughtUp = false;

  constructor({ store, sink, log, pollMs = POLL_MS }: FollowerOptions) {
    this.#store = store;
    this.#pollMs = pollMs;
    const breaks = Object.fromEntries(BREAKS.map((why) => [why, 0])) as Record<Break, number>;
    this.counts = { records: 0, unreadable: 0, snapshots: 0, breaks };
    const nowMs = () => performance.now();
    const parts = { store, sink, log, paced: new PacedLog(), counts: this.counts, nowMs };
    const count = store.map.partitions;
    this.partitions = Array.from({ length: count }, (_, i) => new FollowedPartition(i, parts));
  }

  async start(): Promise<void> {
    await this.#readClocks();
    this.#tick();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  /** There was a time when every partition that could be reached had been read. */
  get wasCaughtUp(): boolean {
    this.#wasCaughtUp ||= this.#store.mastersReachable() > 0 && this.#isCaughtUp();
    return this.#wasCaughtUp;
  }

  #isCaughtUp(): boolean {
    return this.partitions.every(
      ({ partition, viewAtMs }) => viewAtMs !== null || !this.#store.reachable(partition),
    );
  }

  #tick(): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => this.#tick(), this.#pollMs);
    void this.#readClocks();
    for (const partition of this.partitions) void this.#poll(partition);
  }

  async #poll(partition: FollowedPartition): Promise<void> {
    await partition.poll();
    if (partition.state === 'queued') this.#startSnapshots();
  }

  #startSnapshots(): void {
    const nowMs = performance.now();
    for (const partition of this.partitions) {
      if (this.#snapshots >= SNAPSHOTS_AT_ONCE || this.#isStopped) return;
      if (partition.wantsSnapshot(nowMs)) void this.#readSnapshot(partition);
    }
  }

  async #readSnapshot(partition: FollowedPartition): Promise<void> {
    this.#snapshots++;
    try {
      await partition.readSnapshot();
    } finally {
      this.#snapshots--;
    }
    this.#startSnapshots();
  }

  /** Read from one partition of each node. */
  async #readClocks(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.#clockAtMs < CLOCK_EVERY_MS) return;
    this.#clockAtMs = nowMs;
    const nodes = new Map<string | null, number>();
    for (const { partition } of this.partitions) {
      if (this.#store.reachable(partition)) nodes.set(this.#store.nodeOf(partition), partition);
    }
    await Promise.all([...nodes.values()].map((partition) => this.#readClock(partition)));
  }

  async #readClock(partition: number): Promise<void> {
    try {
      await this.#store.readClock(partition);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
  }
}
