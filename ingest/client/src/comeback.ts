// Whether, when and with which token a client comes back after a connection that ended or could not be made.
import type { Loss } from './connection.js';
import { CLOSE_CODES } from './protocol.js';
import { afterClose, type BackoffBounds, reconnectDelayMs } from './reconnect.js';
import type { TokenKeeper } from './token-keeper.js';

export interface ReturnPlan {
  state: 'closed' | 'waiting' | 'refused';
  /** Null if it does not come back; `why` says the reason. With `refused`: at least to ask for another token. */
  reconnectInMs: number | null;
  why: string;
  isRefusal: boolean;
  /** With `refused`: when the same token may be tried again. */
  retryInMs: number | null;
}

export class Comeback {
  readonly #tokens: TokenKeeper;
  readonly #bounds: BackoffBounds;
  readonly #random: () => number;
  #failures = 0; // since a connection has proved good

  constructor(tokens: TokenKeeper, bounds: BackoffBounds, random: () => number) {
    this.#tokens = tokens;
    this.#bounds = bounds;
    this.#random = random;
  }

  /** `canAsk`: asking may yield another token. */
  plan({ code, status, retryAfterMs }: Loss, nowMs: number, canAsk: boolean): ReturnPlan {
    const after = afterClose(code, status);
    const isRefusal = after === 'token_refused' || code === CLOSE_CODES.forbidden;
    if (after === 'never') {
      const why = isRefusal ? 'forbidden' : 'another connection of this driver took over';
      return { state: 'closed', reconnectInMs: null, why, isRefusal, retryInMs: null };
    }
    const delayMs = retryAfterMs + reconnectDelayMs(after, this.#failures++, this.#bounds, this.#random);
    if (!isRefusal) {
      return { state: 'waiting', reconnectInMs: delayMs, why: '', isRefusal, retryInMs: null };
    }
    const retryInMs = this.#tokens.refused(nowMs, retryAfterMs);
    const mayBeAnother = canAsk || !this.#tokens.isRefused;
    const reconnectInMs = mayBeAnother ? Math.min(delayMs, retryInMs) : retryInMs;
    return { state: 'refused', reconnectInMs, why: '', isRefusal, retryInMs };
  }

  /**
   * When to ask for a token again, while the only one is refused; this is also when the refused one may be tried again.
   */
  askAtMs(nowMs: number): number {
    const delayMs = reconnectDelayMs('backoff', this.#failures++, this.#bounds, this.#random);
    return Math.min(nowMs + delayMs, this.#tokens.retryAtMs);
  }

  /** A connection was useful, so the next trouble counts as new. */
  proved(): void {
    this.#failures = 0;
    this.#tokens.accepted();
  }
}
