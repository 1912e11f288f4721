// Lets one through in each interval on average, and up to the tolerance earlier (GCRA): items on time but with some
// jitter are not held up, and the average is still kept.

export class Pacer {
  readonly #intervalMs: number;
  readonly #toleranceMs: number;
  #takenMs = Number.NEGATIVE_INFINITY; // the place of the last one in the even rhythm

  constructor(intervalMs: number, toleranceMs: number, takenMs = Number.NEGATIVE_INFINITY) {
    this.#intervalMs = intervalMs;
    this.#toleranceMs = toleranceMs;
    this.#takenMs = takenMs;
  }

  get readyAtMs(): number {
    return this.#takenMs + this.#intervalMs - this.#toleranceMs;
  }

  take(nowMs: number): void {
    this.#takenMs = Math.max(nowMs, this.#takenMs + this.#intervalMs);
  }

  /** The same past at another pace. */
  paced(intervalMs: number, toleranceMs: number): Pacer {
    return new Pacer(intervalMs, toleranceMs, this.#takenMs);
  }
}
