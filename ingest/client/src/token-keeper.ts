// Which token to connect with. A refused one is tried again after a growing pause, as most refusals are temporary:
// clocks differ, a key is new, a proxy failed for a moment. Another token is used at once.
import { type BackoffBounds, growingPauseMs } from './reconnect.js';

export class TokenKeeper {
  readonly #bounds: BackoffBounds;
  readonly #random: () => number;
  #token: string;
  #used: string | undefined; // by the handshake of this connection or the last
  #refused: string | undefined;
  #refusals = 0; // of that one
  #retryAtMs = 0;

  constructor(token: string, bounds: BackoffBounds, random: () => number) {
    this.#token = token;
    this.#bounds = bounds;
    this.#random = random;
  }

  get token(): string {
    return this.#token;
  }

  /** When the refused token may be tried again. */
  get retryAtMs(): number {
    return this.#retryAtMs;
  }

  get isRefused(): boolean {
    return this.#token === this.#refused;
  }

  /** False for the token that was refused: its pause goes on. */
  take(token: string): boolean {
    if (token === this.#refused) return false;
    this.#token = token;
    return true;
  }

  /** The token for a handshake now; null if it is the refused one, before its time. */
  choose(nowMs: number): string | null {
    if (this.isRefused && nowMs < this.#retryAtMs) return null;
    this.#used = this.#token;
    return this.#token;
  }

  /** The token of the last handshake was refused. Returns how long not to try it again. */
  refused(nowMs: number, retryAfterMs: number): number {
    if (this.#used !== this.#refused) this.#refusals = 0;
    this.#refused = this.#used;
    const pauseMs = retryAfterMs + growingPauseMs(this.#refusals++, this.#bounds, this.#random);
    this.#retryAtMs = nowMs + pauseMs;
    return pauseMs;
  }

  /** The connection has proved good. */
  accepted(): void {
    this.#refused = undefined;
  }
}
