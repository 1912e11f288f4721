// How long the event loop stood still just now. What is read from a socket then may have waited there for as long, so
// rates, ages and silences are judged by the time at which it could have come.

const TICK_MS = 50;
/** Below this a late timer is no stall. */
const LEAST_STALL_MS = 100;
/** Sockets that filled up during a stall are read over the next turns of the loop, not all in one. */
const READ_WITHIN_MS = 1000;
const LONGEST_STALL_MS = 60_000;

export class Stalls {
  readonly #timer: NodeJS.Timeout;
  #tickedAtMs: number;
  #stalledMs = 0;
  #endedAtMs = Number.NEGATIVE_INFINITY;

  constructor(now: () => number) {
    this.#tickedAtMs = now();
    this.#timer = setInterval(() => this.tick(now()), TICK_MS);
    this.#timer.unref();
  }

  /** 0 if there was none. */
  stalledMs(nowMs: number): number {
    // The first sockets are read before the timer has had its turn.
    const present = this.#lateMs(nowMs);
    const past = nowMs - this.#endedAtMs < READ_WITHIN_MS ? this.#stalledMs : 0;
    return Math.min(LONGEST_STALL_MS, Math.max(present, past));
  }

  tick(nowMs: number): void {
    const lateMs = this.#lateMs(nowMs);
    this.#tickedAtMs = nowMs;
    // A short stall within the wake of a long one does not hide it.
    if (lateMs === 0 || lateMs < this.stalledMs(nowMs)) return;
    this.#stalledMs = lateMs;
    this.#endedAtMs = nowMs;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #lateMs(nowMs: number): number {
    const lateMs = nowMs - this.#tickedAtMs - TICK_MS;
    return lateMs < LEAST_STALL_MS ? 0 : lateMs;
  }
}
