// When to send a fresh token over the open connection, so that it outlives the old one. A server that accepts it does
// not answer. One that refuses it sends a nack without a seq, and the client tries again after a growing pause.
import { type BackoffBounds, growingPauseMs } from './reconnect.js';
import { renewDelayMs } from './token.js';

const NEVER = Number.POSITIVE_INFINITY;
/** A nack without a seq that comes later than this is about something else. */
const ANSWER_WITHIN_MS = 10_000;
/** After this long without trouble the pauses start from the first one again. */
const CALM_MS = 600_000;

export class Renewal {
  readonly #bounds: BackoffBounds;
  readonly #random: () => number;
  #atMs = NEVER;
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #isRefused = false;
  #failures = 0;
  #failedAtMs = Number.NEGATIVE_INFINITY;

  constructor(bounds: BackoffBounds, random: () => number) {
    this.#bounds = bounds;
    this.#random = random;
  }

  /** Infinity while there is nothing to renew. */
  get atMs(): number {
    return this.#atMs;
  }

  /** The last token sent was refused: it is sent again, although it is the same. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  plan(token: string, nowMs: number, serverTimeMs: number): void {
    this.#atMs = nowMs + renewDelayMs(token, serverTimeMs);
  }

  /** A renewal is in progress, or the connection has ended. */
  clear(): void {
    this.#atMs = NEVER;
  }

  sent(nowMs: number): void {
    this.#sentAtMs = nowMs;
    this.#isRefused = false;
  }

  nackedWithoutSeq(nowMs: number, retryAfterMs: number): void {
    if (nowMs - this.#sentAtMs > ANSWER_WITHIN_MS) return;
    this.#isRefused = true;
    this.failed(nowMs, retryAfterMs);
  }

  failed(nowMs: number, retryAfterMs = 0): void {
    if (nowMs - this.#failedAtMs > CALM_MS) this.#failures = 0;
    this.#failedAtMs = nowMs;
    this.#atMs = nowMs + retryAfterMs + growingPauseMs(this.#failures++, this.#bounds, this.#random);
  }

  /** On another connection, whose handshake used the token. */
  reset(): void {
    this.#isRefused = false;
    this.#failures = 0;
    this.#sentAtMs = Number.NEGATIVE_INFINITY;
  }
}
