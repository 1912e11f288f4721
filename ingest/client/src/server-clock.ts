// The server's time, given by `hello` and continued by the monotonic clock: a step of the phone's own clock, by its
// owner or by the network, changes nothing. The transit time of `hello` makes this clock late by as much, never ahead.

export class ServerClock {
  #offsetMs: number | null = null;
  #lastStampMs = 0;

  sync(serverTimeMs: number, monotonicMs: number, maxAheadMs: number): void {
    this.#offsetMs = serverTimeMs - monotonicMs;
    // If the server's own clock was set back, stamps that grow from the old ones would be refused until it caught up.
    if (this.#lastStampMs > serverTimeMs + maxAheadMs) this.#lastStampMs = 0;
  }

  /** Null until the first `hello`. */
  at(monotonicMs: number): number | null {
    return this.#offsetMs === null ? null : Math.floor(this.#offsetMs + monotonicMs);
  }

  /** The time of something that happened at `monotonicMs`, greater than each stamp before. */
  stamp(monotonicMs: number): number {
    const atMs = this.at(monotonicMs);
    if (atMs === null) throw new Error('the server clock is not known before hello');
    this.#lastStampMs = Math.max(atMs, this.#lastStampMs + 1);
    return this.#lastStampMs;
  }
}
