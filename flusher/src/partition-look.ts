// What the loop sees of the cache: the state of each partition, with all that follows from it for people: which regions
// are dark, and how large the loss window is.

import { DarkRegions } from '@whereabouts/infra/live-store/dark-regions';
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { LossWindow } from '@whereabouts/infra/live-store/loss-window';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { Logger } from '@whereabouts/infra/service/log';
import type { FlushMetrics } from './flush-metrics.js';
import { type PartitionStatus, statusOf } from './partition-status.js';

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

  /** Of the partitions that answered. */
  async states(): Promise<PartitionStatus[]> {
    const store = this.#store;
    let mismatch: string | null = null;
    const ask = async (partition: number): Promise<PartitionStatus | null> => {
      if (!store.reachable(partition)) return null;
      try {
        return await statusOf(store, partition);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (error.code === 'map_mismatch') mismatch = error.message;
        return null;
      }
    };
    const statuses = await Promise.all(Array.from({ length: store.map.partitions }, (_, i) => ask(i)));
    this.#mapMismatch = mismatch;
    this.#tellLossWindow(statuses);
    return statuses.filter((status) => status !== null);
  }

  #tellLossWindow(statuses: readonly (PartitionStatus | null)[]): void {
    const metrics = this.#metrics;
    const atMs = performance.now();
    this.regions.update((partition) => statuses[partition] === null);
    this.lossWindow.update((partition) => {
      const state = statuses[partition] ?? null;
      return state && { state, atMs };
    });
    metrics.lossWindow.set(this.lossWindow.worstMs / 1000);
    metrics.lossWindowUnknown.set(this.lossWindow.unknownPartitions);
    metrics.lossWindowAtMost.set(this.lossWindow.unknownMs / 1000);
    metrics.lossBudgetExceeded.set(this.lossWindow.isExceeded ? 1 : 0);
  }
}
