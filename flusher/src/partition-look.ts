// What the loop sees of the cache, in one plain read of each partition: where checkpoints wait, or its whole state, with
// all that follows from it for people: which regions are dark, and how large the loss window is.

import { DarkRegions } from '@whereabouts/infra/live-store/dark-regions';
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { LossWindow } from '@whereabouts/infra/live-store/loss-window';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { Logger } from '@whereabouts/infra/service/log';
import type { FlushMetrics } from './flush-metrics.js';
import { mostRowsOf, type PartitionStatus, statusOf } from './partition-status.js';

/** Holds no lease. */
const NOBODY = 'nobody';

export class PartitionLook {
  readonly regions: DarkRegions;
  readonly lossWindow: LossWindow;
  readonly #store: LogStore;
  readonly #metrics: FlushMetrics;
  #mapMismatch: string | null = null;

  constructor(o: { store: LogStore; budgetMs: number; log: Logger; metrics: FlushMetrics }) {
    const { store, budgetMs, log } = o;
    this.#store = store;
    this.#metrics = o.metrics;
    const { partitions } = store.map;
    const nowMs = () => performance.now();
    this.regions = new DarkRegions({ partitions, nodeOf: (partition) => store.nodeOf(partition), nowMs });
    this.lossWindow = new LossWindow({ budgetMs, partitions, regions: this.regions, log, nowMs });
    this.#metrics.lossBudget.set(budgetMs / 1000);
  }

  /** Under which other map a partition was written, if any was. */
  get mapMismatch(): string | null {
    return this.#mapMismatch;
  }

  /** How many checkpoints wait in each partition that answered. */
  async checkpointsWaiting(): Promise<{ partition: number; checkpointsWaiting: number }[]> {
    const counts = await this.#askEach((partition) => this.#store.checkpointsWaiting(partition));
    return counts.flatMap((checkpointsWaiting, partition) =>
      checkpointsWaiting === null ? [] : [{ partition, checkpointsWaiting }],
    );
  }

  /** Of the partitions that answered. */
  async states(): Promise<PartitionStatus[]> {
    let mismatch: string | null = null;
    const statuses = await this.#askEach(
      (partition) => statusOf(this.#store, partition),
      ({ code, message }) => {
        if (code === 'map_mismatch') mismatch = message;
      },
    );
    this.#mapMismatch = mismatch;
    this.#tellLossWindow(statuses);
    return statuses.filter((status) => status !== null);
  }

  /**
   * Calls a function on each node that does nothing. Where somebody has removed them, plain reads go on: only a call that
   * fails has them loaded again.
   */
  async callFunctions(): Promise<void> {
    const partitionOf = new Map<string | null, number>();
    const store = this.#store;
    for (let i = 0; i < store.map.partitions; i++)
      if (store.reachable(i)) partitionOf.set(store.nodeOf(i), i);
    const calls = [...partitionOf.values()].map((partition) => store.release(partition, NOBODY));
    for (const call of await Promise.allSettled(calls)) {
      if (call.status === 'rejected' && !(call.reason instanceof StoreError)) throw call.reason;
    }
  }

  #tellLossWindow(statuses: readonly (PartitionStatus | null)[]): void {
    const metrics = this.#metrics;
    const atMs = performance.now();
    this.regions.update((partition) => statuses[partition] === null);
    this.lossWindow.update((partition) => {
      const state = statuses[partition] ?? null;
      return state && { state, atMs };
    });
    const sum = (of: (status: PartitionStatus) => number) =>
      statuses.reduce((all, status) => all + (status === null ? 0 : of(status)), 0);
    metrics.unflushed.set(sum((status) => (status.dirtySinceMs === null ? 0 : mostRowsOf(status))));
    metrics.checkpointsWaiting.set(sum(({ checkpointsWaiting }) => checkpointsWaiting));
    metrics.lossWindow.set(this.lossWindow.worstMs / 1000);
    metrics.lossWindowUnknown.set(this.lossWindow.unknownPartitions);
    metrics.lossWindowAtMost.set(this.lossWindow.unknownMs / 1000);
    metrics.lossBudgetExceeded.set(this.lossWindow.isExceeded ? 1 : 0);
  }
  /** The answer of each partition; null if there was none. */
  async #askEach<T>(
    ask: (partition: number) => Promise<T>,
    onRefusal: (error: StoreError) => void = () => {},
  ): Promise<(T | null)[]> {
    const store = this.#store;
    return Promise.all(
      Array.from({ length: store.map.partitions }, async (_, partition) => {
        if (!store.reachable(partition)) return null;
        try {
          return await ask(partition);
        } catch (error) {
          if (!(error instanceof StoreError)) throw error;
          onRefusal(error);
          return null;
        }
      }),
    );
  }
}
