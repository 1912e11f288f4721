// What to do after a connection has ended, and how long to wait first. Pure: randomness is an argument.
import { CLOSE_CODES } from './protocol.js';

export interface BackoffBounds {
  /** The first wait is anything up to this; each further one up to twice the last. */
  baseMs: number;
  /** No wait is longer. */
  maxMs: number;
}
export const DEFAULT_BACKOFF: Readonly<BackoffBounds> = Object.freeze({ baseMs: 500, maxMs: 30_000 });

/** A draining process hands its drivers over to others: soon, but not all in the same moment. */
const HANDOVER_SPREAD_MS = 1000;
/** After `overloaded` and `too fast` the waits begin here, at 8 times the base. */
const OVERLOAD_ATTEMPT = 3;

/** `fresh_token`: only with another token than the refused one. `never`: somebody has to change something first. */
export type AfterClose = 'never' | 'fresh_token' | 'handover' | 'overload' | 'backoff';

export function afterClose(code: number): AfterClose {
  switch (code) {
    case CLOSE_CODES.forbidden:
    case CLOSE_CODES.superseded:
      return 'never';
    case CLOSE_CODES.tokenExpired:
      return 'fresh_token';
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
