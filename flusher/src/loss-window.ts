// How much a loss of the cache would cost now, held against the declared budget: measured, not hoped for.

import type { PartitionStatus } from '@whereabouts/infra/live-store/live-store';
import type { Logger } from '@whereabouts/infra/service/log';
import type { FlushMetrics } from './flush-metrics.js';
import { lossWindowMs } from './triggers.js';

export class LossWindow {
  readonly #budgetMs: number;
  readonly #log: Logger;
  readonly #metrics: FlushMetrics;
  #worstMs = 0;
  #unknown: number;
  #isExceeded = false;

  constructor(o: { budgetMs: number; partitions: number; log: Logger; metrics: FlushMetrics }) {
    this.#budgetMs = o.budgetMs;
    this.#unknown = o.partitions;
    this.#log = o.log;
    this.#metrics = o.metrics;
    this.#metrics.lossBudget.set(o.budgetMs / 1000);
    this.#metrics.lossWindowUnknown.set(o.partitions);
  }

  get isExceeded(): boolean {
    return this.#isExceeded;
  }

  get detail(): string {
    const unknown = this.#unknown === 0 ? '' : `; unknown for ${this.#unknown} partitions`;
    return `${this.#worstMs} ms of ${this.#budgetMs} ms${unknown}`;
  }

  /** One look at all partitions; null for those that did not answer, whose window is unknown, not 0. */
  update(statuses: readonly (PartitionStatus | null)[]): void {
    const known = statuses.filter((status) => status !== null);
    this.#worstMs = known.reduce((worst, status) => Math.max(worst, lossWindowMs(status)), 0);
    this.#unknown = statuses.length - known.length;
    this.#metrics.lossWindow.set(this.#worstMs / 1000);
    this.#metrics.lossWindowUnknown.set(this.#unknown);
    this.#judge(this.#worstMs > this.#budgetMs);
  }

  #judge(isExceeded: boolean): void {
    if (isExceeded === this.#isExceeded) return;
    this.#isExceeded = isExceeded;
    this.#metrics.lossBudgetExceeded.set(isExceeded ? 1 : 0);
    const figures = { loss_window_ms: this.#worstMs, budget_ms: this.#budgetMs };
    if (isExceeded) this.#log.error(figures, 'the loss window is above its budget');
    else this.#log.info(figures, 'the loss window is within its budget again');
  }
}
