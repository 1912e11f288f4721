// How a client behaves: how fast it sends, and how much of it cannot be read. Pure but for the clock it is given.
import { type RateLimit, TokenBucket } from './rate-limit.js';

const TOO_FAST_LIMIT_MS = 10_000;
// 20 times the limit for ten seconds: such a flood is refused without being read.
const MAX_READ_REFUSALS = 1000;
const MAX_BAD_MESSAGES = 5;
const BAD_MESSAGES_WITHIN_MS = 10_000;

export class Conduct {
  readonly #limit: RateLimit;
  readonly #reports: TokenBucket;
  /** Pings are counted, but a client that keeps itself alive may still report as fast as another. */
  readonly #controls: TokenBucket;
  #badMessages = 0;
  #badSinceMs = 0;

  constructor(limit: RateLimit, nowMs: number) {
    this.#limit = limit;
    this.#reports = new TokenBucket(limit, nowMs);
    this.#controls = new TokenBucket(limit, nowMs);
  }

  /** A message may pass. */
  message(nowMs: number): boolean {
    return this.#reports.take(this.#limit, nowMs);
  }

  /** A ping or pong may pass. */
  control(nowMs: number): boolean {
    return this.#controls.take(this.#limit, nowMs);
  }

  isTooFastForLong(nowMs: number): boolean {
    return (
      this.#reports.tooFastMs(nowMs) >= TOO_FAST_LIMIT_MS ||
      this.#controls.tooFastMs(nowMs) >= TOO_FAST_LIMIT_MS
    );
  }

  /** Whether a refused message is still read, so that its nack can name its seq. */
  isWorthReading(): boolean {
    return this.#reports.refusals <= MAX_READ_REFUSALS;
  }

  /** The first ping of a spell is answered with a nack, the others only count. */
  isFirstControlRefusal(): boolean {
    return this.#controls.refusals === 1;
  }

  /** True: that was one too many within 10 s. */
  badMessage(nowMs: number): boolean {
    if (this.#badMessages === 0 || nowMs - this.#badSinceMs > BAD_MESSAGES_WITHIN_MS) {
      this.#badMessages = 0;
      this.#badSinceMs = nowMs;
    }
    this.#badMessages++;
    return this.#badMessages >= MAX_BAD_MESSAGES;
  }
}
