// What all connections of this process share.
import type { Position } from '@whereabouts/infra/position';
import type { VerifiedToken } from '@whereabouts/infra/service/tokens';
import type { SessionClaims } from './claiming-connection.js';
import type { Drivers, Origin } from './drivers.js';
import type { EdgeCounters } from './edge-counters.js';
import type { Moment } from './rate-limit.js';
import { Report } from './report.js';
import type { IngestSettings } from './settings.js';

export type EdgeSettings = Pick<
  IngestSettings,
  | 'durability'
  | 'freshnessMs'
  | 'maxConnections'
  | 'maxReportsPerS'
  | 'maxReportsBurst'
  | 'checkpointsPerMin'
  | 'checkpointsBurst'
  | 'reportIntervalMs'
  | 'offlineAfterMs'
>;

/** Redis time orders reports, the monotonic clock measures spans, the wall clock judges tokens. */
export interface EdgeClock {
  storeNowMs(): number;
  monotonicMs(): number;
  /** How long this process stood still just now, at that monotonic time. */
  stalledMs(nowMs: number): number;
  wallMs(): number;
}

/** What the edge needs of the recorder. None of it throws or blocks. */
export interface ReportSink {
  /** Connections put their reports into its rows. */
  readonly drivers: Drivers;
  /** The newest report of this row is to be written. */
  submit(slot: number): void;
  /** A checkpoint is to be kept until Postgres has it. False: it was refused. */
  keep(checkpoint: Position, origin: Origin): boolean;
  /** Checkpoints of this driver that are not in Postgres yet, besides the one of that id. */
  waitingCheckpoints(driverId: string, besidesId: string): number;
  pendingReports(): number;
}

/** Gives connections their names and sessions. */
export interface Claims extends SessionClaims {
  newConnectionId(): string;
}

export interface EdgeParts {
  settings: EdgeSettings;
  recorder: ReportSink;
  claims: Claims;
  counters: EdgeCounters;
  clock: EdgeClock;
  /** Throws TokenError, nothing else. */
  verify(token: string): Promise<VerifiedToken>;
}

/** A connection with acknowledgements to send at the end of this turn. */
export interface AckSource {
  settle(nowMs: number): void;
}

export class Edge {
  readonly settings: EdgeSettings;
  readonly recorder: ReportSink;
  readonly drivers: Drivers;
  readonly claims: Claims;
  readonly counters: EdgeCounters;
  readonly clock: EdgeClock;
  readonly verify: EdgeParts['verify'];
  /** The report that is being dealt with. */
  readonly report = new Report();
  /** What drivers are asked for now: the setting times the pace. */
  reportIntervalMs: number;
  /** Nothing more goes to the recorder. */
  draining = false;
  #due: AckSource[] = [];
  readonly #moment = { nowMs: 0, stalledMs: 0 };

  constructor(parts: EdgeParts) {
    this.settings = parts.settings;
    this.recorder = parts.recorder;
    this.drivers = parts.recorder.drivers;
    this.claims = parts.claims;
    this.counters = parts.counters;
    this.clock = parts.clock;
    this.verify = parts.verify;
    this.reportIntervalMs = parts.settings.reportIntervalMs;
  }

  /** Valid until the next one is asked for. */
  moment(nowMs: number): Moment {
    this.#moment.nowMs = nowMs;
    this.#moment.stalledMs = this.clock.stalledMs(nowMs);
    return this.#moment;
  }

  /**
   * Redis answers a batch in one turn, often for several reports of a driver. Acknowledging when that turn is
   * over makes one message of them.
   */
  settleSoon(source: AckSource): void {
    this.#due.push(source);
    if (this.#due.length === 1) queueMicrotask(this.#settleAll);
  }

  readonly #settleAll = (): void => {
    const due = this.#due;
    this.#due = [];
    const nowMs = this.clock.monotonicMs();
    for (const source of due) source.settle(nowMs);
  };
}
