// How late the event loop is: the 90th percentile since the last reading.
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { DurationBuckets } from './duration-buckets.js';

const RESOLUTION_MS = 20;
const BOUNDS_S = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5];

export class LoopLag {
  /** Of all looks. */
  readonly durations = new DurationBuckets(BOUNDS_S);
  readonly #delays: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  constructor() {
    this.#delays.enable();
  }

  takeMs(): number {
    const ms = Math.max(0, this.#delays.percentile(90) / 1e6 - RESOLUTION_MS);
    this.#delays.reset();
    this.durations.observe(ms);
    return ms;
  }

  stop(): void {
    this.#delays.disable();
  }
}
