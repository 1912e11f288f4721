// How a driver behaves, over all of its connections to this process: how much it may send now, whether its connection
// has to end, and how long it is then kept out. Pure, except for the clock it is given.
//
//   refusals                                   the connection ends with
//   20 points within 10 s (a message that      4400
//     cannot be read: 4, any other fault: 1)
//   too fast for 10 s without a pause          4429
//   more than 100 of any kind within 1 s       no close frame: the socket is cut off, because one that is closed
//                                              properly would still be read for as long as the client sends
//
// The numbers are for up to 5 reports a second. With a higher limit they grow: two in five of what a driver may send in
// 10 s, and as many a second as it may send.
//
// Each such end is a strike, and so is connecting too often. After the n-th strike the driver is kept out for 2^(n-1) s,
// at most a minute. Ten minutes without a strike clear the count.
import { CLOSE_CODES, type NackCode, RETRYABLE } from '@whereabouts/client/protocol';
import { type Moment, type RateLimit, TokenBucket } from './rate-limit.js';

export interface ConductLimits {
  readonly reports: RateLimit;
  readonly checkpoints: RateLimit;
}

export const CUT_OFF = 'cut_off';

/** Drivers in a tunnel reconnect often, but not every three seconds. */
const CONNECTIONS: RateLimit = Object.freeze({ perS: 1 / 3, burst: 20 });
/** After so many of one spell it may be taken that the driver does not listen. */
const HEEDED_REFUSALS = 3;
const TOO_FAST_LIMIT_MS = 10_000;
const MIN_FAULT_POINTS = 20;
const FAULT_POINTS_PER_REPORT = 0.4;
const UNREADABLE_POINTS = 4;
const FAULTS_WITHIN_MS = 10_000;
const MIN_FLOOD_REFUSALS = 100;
const FLOOD_WITHIN_MS = 1000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
const FORGIVEN_AFTER_MS = 600_000;

/** Points in a window of time that begins with the first of them. */
class Points {
  #points = 0;
  #sinceMs = 0;

  /** Returns the sum of this window. */
  add(points: number, withinMs: number, nowMs: number): number {
    if (nowMs - this.#sinceMs > withinMs) {
      this.#points = 0;
      this.#sinceMs = nowMs;
    }
    this.#points += points;
    return this.#points;
  }

  reset(): void {
    this.#points = 0;
  }
}

export class Conduct {
  readonly #limits: ConductLimits;
  readonly #reports: TokenBucket;
  readonly #checkpoints: TokenBucket;
  /** Pings are counted, but a client that keeps itself alive may still report as fast as another. */
  readonly #controls: TokenBucket;
  readonly #connections: TokenBucket;
  readonly #faults = new Points();
  readonly #refusals = new Points();
  #strikes = 0;
  #struckAtMs = Number.NEGATIVE_INFINITY;
  #pausedUntilMs = 0;

  constructor(limits: ConductLimits, nowMs: number) {
    this.#limits = limits;
    this.#reports = new TokenBucket(limits.reports, nowMs);
    this.#checkpoints = new TokenBucket(limits.checkpoints, nowMs);
    this.#controls = new TokenBucket(limits.reports, nowMs);
    this.#connections = new TokenBucket(CONNECTIONS, nowMs);
  }

  /** How many of so many reports may pass. */
  reports(wanted: number, at: Moment): number {
    return this.#reports.takeUpTo(this.#limits.reports, at, wanted);
  }

  /** It was refused for its pace, and went on without a pause. */
  heedsNothing(at: Moment): boolean {
    this.#reports.takeUpTo(this.#limits.reports, at, 0);
    return this.#reports.refusals >= HEEDED_REFUSALS;
  }

  checkpoint(at: Moment): boolean {
    return this.#checkpoints.take(this.#limits.checkpoints, at);
  }

  /** When the next checkpoint may pass. */
  checkpointWaitMs(nowMs: number): number {
    return Math.ceil(this.#checkpoints.waitMs(this.#limits.checkpoints, nowMs));
  }

  /** A ping or pong may pass. */
  control(at: Moment): boolean {
    return this.#controls.take(this.#limits.reports, at);
  }

  /** The first ping of a spell is answered with a nack, the others only count. */
  isFirstControlRefusal(): boolean {
    return this.#controls.refusals === 1;
  }

  /** So many reports were refused with one nack: how the connection has to end for it, or null. */
  refused(code: NackCode, nowMs: number, count = 1): number | typeof CUT_OFF | null {
    if (RETRYABLE[code]) return null;
    const { perS } = this.#limits.reports;
    if (this.#refusals.add(1, FLOOD_WITHIN_MS, nowMs) > Math.max(MIN_FLOOD_REFUSALS, perS)) return CUT_OFF;
    if (this.#isTooFastForLong(nowMs)) return CLOSE_CODES.tooFast;
    if (code === 'too_fast') return null;
    const points = count * (code === 'bad_message' ? UNREADABLE_POINTS : 1);
    const allowed = (FAULT_POINTS_PER_REPORT * perS * FAULTS_WITHIN_MS) / 1000;
    return this.#faults.add(points, FAULTS_WITHIN_MS, nowMs) >= Math.max(MIN_FAULT_POINTS, allowed)
      ? CLOSE_CODES.badMessage
      : null;
  }

  /** Whether it may connect now: 0, or for how many ms it is to stay away. */
  connect(at: Moment): number {
    const { nowMs } = at;
    if (this.pauseMs(nowMs) === 0 && !this.#connections.take(CONNECTIONS, at)) this.strike(nowMs);
    return this.pauseMs(nowMs);
  }

  pauseMs(nowMs: number): number {
    return Math.max(0, this.#pausedUntilMs - nowMs);
  }

  strike(nowMs: number): void {
    this.#strikes = nowMs - this.#struckAtMs > FORGIVEN_AFTER_MS ? 1 : this.#strikes + 1;
    this.#struckAtMs = nowMs;
    this.#pausedUntilMs = nowMs + Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#strikes - 1));
    // It has paid for these.
    this.#faults.reset();
    this.#refusals.reset();
  }

  /** Nothing is lost by forgetting it. */
  isAtRest(nowMs: number): boolean {
    return (
      nowMs - this.#struckAtMs > FORGIVEN_AFTER_MS &&
      this.#reports.isFull(this.#limits.reports, nowMs) &&
      this.#checkpoints.isFull(this.#limits.checkpoints, nowMs) &&
      this.#connections.isFull(CONNECTIONS, nowMs)
    );
  }

  #isTooFastForLong(nowMs: number): boolean {
    return (
      this.#reports.tooFastMs(nowMs) >= TOO_FAST_LIMIT_MS ||
      this.#controls.tooFastMs(nowMs) >= TOO_FAST_LIMIT_MS
    );
  }
}
