// When a row of a trace is due: its time since the trace's start, divided by the speed. A trace may leap, over a night
// or because of a broken clock; then it continues at once instead of waiting.

/** The longest wait for a row, in the trace's own time. */
const MAX_LEAP_MS = 10 * 60_000;

export class TraceClock {
  readonly #speed: number;
  #traceMs: number | undefined;
  #dueAtMs: number;
  #leaps = 0;

  constructor(speed: number, startAtMs: number) {
    this.#speed = speed;
    this.#dueAtMs = startAtMs;
  }

  get leaps(): number {
    return this.#leaps;
  }

  /** On the same clock as `startAtMs`. */
  dueAtMs(unixMs: number): number {
    if (this.#traceMs === undefined) this.#traceMs = unixMs;
    const step = unixMs - this.#traceMs;
    if (Math.abs(step) > MAX_LEAP_MS) {
      this.#leaps++;
      this.#traceMs = unixMs;
    } else if (step > 0) {
      this.#traceMs = unixMs;
      this.#dueAtMs += step / this.#speed;
    }
    return this.#dueAtMs;
  }
}
