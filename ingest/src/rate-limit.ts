// A token bucket that also knows since when its owner has been too fast without a pause.
//
// A spell of being too fast begins with a refusal and ends when the bucket holds a second's worth again. So a
// client that heeds the first refusal and waits a second has ended its spell, whatever the limit is, and one
// that goes on just above the limit has not.

export interface RateLimit {
  readonly perS: number;
  readonly burst: number;
}

/** Monotonic, and how long this process had been stalled just before: what arrives now may have waited for so long. */
export interface Moment {
  readonly nowMs: number;
  readonly stalledMs: number;
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
  take(limit: RateLimit, at: Moment): boolean {
    return this.takeUpTo(limit, at, 1) === 1;
  }

  /** Takes as many of `wanted` tokens as there are. Fewer than wanted is a refusal. */
  takeUpTo(limit: RateLimit, { nowMs, stalledMs }: Moment, wanted: number): number {
    const elapsedMs = Math.max(0, nowMs - this.#countedAtMs);
    // What waited in the socket while we were stalled came at its own pace, not all at once.
    const room = limit.burst + (stalledMs * limit.perS) / 1000;
    this.#tokens = Math.min(room, this.#tokens + (elapsedMs * limit.perS) / 1000);
    this.#countedAtMs = nowMs;
    if (this.#tokens >= Math.min(limit.perS, limit.burst)) {
      this.#tooFastSinceMs = 0;
      this.#refusals = 0;
    }
    const granted = Math.min(wanted, Math.floor(this.#tokens));
    this.#tokens -= granted;
    if (granted < wanted) {
      if (this.#refusals === 0) this.#tooFastSinceMs = nowMs;
      this.#refusals++;
    }
    return granted;
  }

  /** The time until the next token; 0 if there is one. */
  waitMs(limit: RateLimit, nowMs: number): number {
    const elapsedMs = Math.max(0, nowMs - this.#countedAtMs);
    return Math.max(0, ((1 - this.#tokens) * 1000) / limit.perS - elapsedMs);
  }

  /** As on its first day: nothing is lost by forgetting it. */
  isFull(limit: RateLimit, nowMs: number): boolean {
    return this.#tokens + ((nowMs - this.#countedAtMs) * limit.perS) / 1000 >= limit.burst;
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
