// How late the event loop is: the 90th percentile since the last reading.
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 20;

export class LoopLag {
  readonly #delays: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  constructor() {
    this.#delays.enable();
  }

  takeMs(): number {
    const ms = this.#delays.percentile(90) / 1e6 - RESOLUTION_MS;
    this.#delays.reset();
    return Math.max(0, ms);
  }

  stop(): void {
    this.#delays.disable();
  }
}
