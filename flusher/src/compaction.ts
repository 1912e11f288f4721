// Folds the logs of the partitions into their snapshots, each partition in turn. It runs while Postgres is down too, so
// that the cache is bounded by the number of drivers and not by time. A lease for each turn lets several flushers share.

import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { FlushMetrics } from './flush-metrics.js';
import type { PartitionStatus } from './partition-status.js';

/** A follower that stalls for less finds its place in the log. */
const COMPACT_MIN_AGE_MS = 10_000;
/** So a log holds what was accepted in 10 to 15 s. */
const TURN_EVERY_MS = 5_000;
/** Over before one's own next turn. */
const LEASE_MS = 4_000;
/** Each folds about 2,000 drivers, during which the node does nothing else. */
const CALLS_A_TURN = 16;
const TURNS_AT_ONCE = 4;

export class Compaction {
  readonly #store: LogStore;
  readonly #holder: string;
  readonly #minAgeMs: number;
  readonly #metrics: FlushMetrics;
  readonly #stopping: AbortSignal;
  readonly #nextAtMs: number[];
  /** Partitions whose last turn did not come to its end. */
  readonly #unfinished = new Set<number>();

  constructor(o: {
    store: LogStore;
    flusherId: string;
    metrics: FlushMetrics;
    stopping: AbortSignal;
    minAgeMs?: number;
  }) {
    this.#store = o.store;
    this.#stopping = o.stopping;
    this.#holder = o.flusherId;
    this.#minAgeMs = o.minAgeMs ?? COMPACT_MIN_AGE_MS;
    this.#metrics = o.metrics;
    const { partitions } = o.store.map;
    const startMs = performance.now();
    this.#nextAtMs = Array.from({ length: partitions }, (_, i) => startMs + (TURN_EVERY_MS * i) / partitions);
  }

  /** The turns that have come. An outage is left to the next turn. */
  async run(known: readonly PartitionStatus[]): Promise<void> {
    const nowMs = performance.now();
    const at = (partition: number) => this.#nextAtMs[partition] ?? 0;
    const due = known
      .filter(({ partition, entries }) => entries > 0 && at(partition) <= nowMs)
      .map(({ partition }) => partition)
      .sort((a, b) => at(b) - at(a));
    const worker = async () => {
      for (let next = due.pop(); next !== undefined && !this.#stopping.aborted; next = due.pop())
        await this.#turn(next);
    };
    await Promise.all(Array.from({ length: TURNS_AT_ONCE }, worker));
  }

  async #turn(partition: number): Promise<void> {
    const goesOn = this.#unfinished.delete(partition);
    // One's own lease refuses too: with it a turn begins, without it the turn goes on.
    let lease = goesOn ? undefined : { holder: this.#holder, ms: LEASE_MS };
    let isMore = true;
    try {
      for (let calls = 0; isMore && calls < CALLS_A_TURN && !this.#stopping.aborted; calls++) {
        const answer = await this.#store.compact(partition, this.#minAgeMs, lease);
        this.#metrics.compacted.inc(answer.folded);
        ({ isMore } = answer);
        lease = undefined;
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      isMore = false;
    }
    if (isMore) this.#unfinished.add(partition);
    else this.#nextAtMs[partition] = performance.now() + TURN_EVERY_MS;
  }
}
