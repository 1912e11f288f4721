// A token bucket that also knows since when its owner has been too fast without a pause.
//
// A spell of being too fast begins with a refusal and ends when the bucket holds a second's worth again. So a
// client that heeds the first refusal and waits a second has ended its spell, whatever the limit is, and one
// that goes on just above the limit has not.

export interface RateLimit {
  readonly perS: number;
  readonly burst: number;
}

export class TokenBucket {
  #tokens: number;
  #countedAtMs: number;
  /** 0: not in a spell. */
  #tooFastSinceMs = 0;
  #refusals = 0;

  constructor(limit: RateLimit, nowMs: number) {
    this.#tokens = limit.burst;
    this.#countedAtMs = nowMs;
  }

  /** Takes one token, if there is one. The limit is given each time, so that a bucket stays four numbers. */
  take(limit: RateLimit, nowMs: number): boolean {
    const elapsedMs = Math.max(0, nowMs - this.#countedAtMs);
    this.#tokens = Math.min(limit.burst, this.#tokens + (elapsedMs * limit.perS) / 1000);
    this.#countedAtMs = nowMs;
    if (this.#tokens >= Math.min(limit.perS, limit.burst)) {
      this.#tooFastSinceMs = 0;
      this.#refusals = 0;
    }
    if (this.#tokens >= 1) {
      this.#tokens -= 1;
      return true;
    }
    if (this.#refusals === 0) this.#tooFastSinceMs = nowMs;
    this.#refusals++;
    return false;
  }

  /** How long the spell lasts by now; 0 outside of one. */
  tooFastMs(nowMs: number): number {
    return this.#refusals === 0 ? 0 : nowMs - this.#tooFastSinceMs;
  }

  /** Refusals in this spell. */
  get refusals(): number {
    return this.#refusals;
  }
}
