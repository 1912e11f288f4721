// The nodes' time, carried on by the monotonic clock of this process.
//
// An answer tells the node's time of some moment before we read it, so what it says of the difference between the two
// clocks is never too much, and too little by as long as it was on its way or waited to be read. The greatest
// difference of the last seconds is therefore the nearest: an answer that a stalled process read late changes nothing.
// Where the nodes' clocks differ, this is the one that is ahead.

/** A clock that was set back is followed within two of these. */
const WINDOW_MS = 10_000;

export class StoreClock {
  /** Node time less monotonic time: the greatest of this window, and of the one before. */
  #offsetMs: number | null = null;
  #previousMs: number | null = null;
  #windowEndsAtMs = 0;

  heard(nodeMs: number, monotonicMs: number): void {
    const offsetMs = nodeMs - monotonicMs;
    if (monotonicMs >= this.#windowEndsAtMs) {
      this.#previousMs = this.#offsetMs;
      this.#offsetMs = null;
      this.#windowEndsAtMs = monotonicMs + WINDOW_MS;
    }
    if (this.#offsetMs === null || offsetMs > this.#offsetMs) this.#offsetMs = offsetMs;
  }

  /** Before the first answer this process's own time has to do. */
  at(monotonicMs: number): number {
    const offset = this.#offsetMs ?? this.#previousMs ?? performance.timeOrigin;
    const previous = this.#previousMs ?? offset;
    return monotonicMs + Math.max(offset, previous);
  }
}
