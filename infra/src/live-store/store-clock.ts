// The nodes' time, continued by the monotonic clock of this process.
//
// An answer has the node's time at some moment before we read it. So the difference between the two clocks that it shows
// is never too great, and too small by the time on the way and the wait to be read. The greatest difference of the last
// seconds is therefore the best estimate: an answer that a stalled process read late changes nothing. If the nodes'
// clocks differ, this follows the one that is ahead.

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
