// The pace of writing. In a batch of 16 a report costs Redis half of what it costs in a batch of 4. A driver who reports
// every 2 s loses nothing if the acknowledgement comes 100 ms later. So the more there is to do, the longer the tick.

import { DurationBuckets } from './duration-buckets.js';

export interface TickSettings {
  tickMinMs: number;
  tickMaxMs: number;
}

/** At this rate and above, the tick is at its longest. */
const FULL_LOAD_PER_S = 2_500;
/** How fast the measured rate follows the real one. */
const SMOOTHING = 0.2;
const BOUNDS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

function tickMs({ tickMinMs, tickMaxMs }: TickSettings, reportsPerS: number): number {
  return tickMinMs + (tickMaxMs - tickMinMs) * Math.min(1, reportsPerS / FULL_LOAD_PER_S);
}

export class Ticker {
  /** The own work of each tick. */
  readonly durations = new DurationBuckets(BOUNDS_S);
  readonly #settings: TickSettings;
  readonly #tick: (nowMs: number) => void;
  #timer: NodeJS.Timeout | undefined;
  #count = 0;
  #ratePerS = 0;
  #tickedAtMs = performance.now();

  constructor(settings: TickSettings, tick: (nowMs: number) => void) {
    this.#settings = settings;
    this.#tick = tick;
  }

  /** One more report to write. */
  counted(): void {
    this.#count++;
  }

  start(): void {
    this.#tickedAtMs = performance.now();
    this.#next();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #next(): void {
    this.#timer = setTimeout(
      () => {
        const nowMs = performance.now();
        const ratePerS = (1000 * this.#count) / Math.max(1, nowMs - this.#tickedAtMs);
        this.#ratePerS += SMOOTHING * (ratePerS - this.#ratePerS);
        this.#count = 0;
        this.#tickedAtMs = nowMs;
        this.#next();
        this.#tick(nowMs);
        this.durations.observe(performance.now() - nowMs);
      },
      tickMs(this.#settings, this.#ratePerS),
    );
  }
}
