// What to do after a connection has ended, and how long to wait first. Pure: randomness is an argument.
import { CLOSE_CODES } from './protocol.js';

export interface BackoffBounds {
  /** The first wait is at most this; each further one at most twice as long. */
  baseMs: number;
  /** No wait is longer than this. */
  maxMs: number;
}
export const DEFAULT_BACKOFF: Readonly<BackoffBounds> = Object.freeze({ baseMs: 500, maxMs: 30_000 });
/** How long to wait before the same token is tried again. Differing clocks and changed keys recover in seconds. */
export const DEFAULT_TOKEN_BACKOFF: Readonly<BackoffBounds> = Object.freeze({
  baseMs: 10_000,
  maxMs: 300_000,
});

/** A draining process hands its drivers over to others: soon, but not all in the same moment. */
const HANDOVER_SPREAD_MS = 1000;
/** After `overloaded` and `too fast` the waits begin here, at 8 times the base. */
const OVERLOAD_ATTEMPT = 3;
/** A longer `Retry-After` is cut: a driver who is missing for an hour is worse than one request too many. */
const MAX_RETRY_AFTER_MS = 300_000;

/**
 * `token_refused`: soon with another token, after a longer pause with the same. `never`: only the app can start again.
 */
export type AfterClose = 'never' | 'token_refused' | 'handover' | 'overload' | 'backoff';

/** With the HTTP status if the handshake was refused. A 403 may come from a proxy, so it is not final. */
export function afterClose(code: number, status: number | null = null): AfterClose {
  if (status === 403) return 'token_refused';
  switch (code) {
    case CLOSE_CODES.forbidden:
    case CLOSE_CODES.superseded:
      return 'never';
    case CLOSE_CODES.tokenExpired:
      return 'token_refused';
    case CLOSE_CODES.goingAway:
    case CLOSE_CODES.restarting:
      return 'handover';
    case CLOSE_CODES.overloaded:
    case CLOSE_CODES.tooFast:
      return 'overload';
    default:
      return 'backoff';
  }
}

/** Full jitter: clients that were cut off together must not come back together. */
export function reconnectDelayMs(
  after: AfterClose,
  attempt: number,
  bounds: BackoffBounds,
  random: () => number,
): number {
  if (after === 'handover' && attempt === 0) return random() * Math.min(HANDOVER_SPREAD_MS, bounds.maxMs);
  const doublings = after === 'overload' ? Math.max(attempt, OVERLOAD_ATTEMPT) : attempt;
  return random() * Math.min(bounds.baseMs * 2 ** Math.min(doublings, 30), bounds.maxMs);
}

/** After a refused token: no pause is shorter than the longest before, up to the bound. */
export function growingPauseMs(attempt: number, bounds: BackoffBounds, random: () => number): number {
  const atMostMs = Math.min(bounds.baseMs * 2 ** Math.min(attempt, 30), bounds.maxMs);
  return (atMostMs * (1 + random())) / 2;
}

/** The wait that the headers Retry-After (seconds, or a date) and Date of a refusal ask for; 0 if there is none. */
export function retryAfterMs(retryAfter: string | undefined, date: string | undefined): number {
  if (retryAfter === undefined) return 0;
  const waitMs = /^\d+$/.test(retryAfter.trim())
    ? Number(retryAfter) * 1000
    : Date.parse(retryAfter) - (Date.parse(date ?? '') || Date.now());
  return waitMs > 0 ? Math.min(waitMs, MAX_RETRY_AFTER_MS) : 0;
}
