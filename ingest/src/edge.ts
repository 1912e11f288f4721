// What all connections of this process share.
import type { VerifiedToken } from '@whereabouts/infra/service/tokens';
import type { EdgeCounters } from './edge-counters.js';
import type { ReportSink } from './origin.js';
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

export interface EdgeParts {
  settings: EdgeSettings;
  recorder: ReportSink;
  counters: EdgeCounters;
  clock: EdgeClock;
  /** Throws TokenError, nothing else. */
  verify(token: string): Promise<VerifiedToken>;
}

/** Whoever has acknowledgements to send at the end of this turn. */
export interface AckSource {
  settle(nowMs: number): void;
}

export class Edge {
  readonly settings: EdgeSettings;
  readonly recorder: ReportSink;
  readonly counters: EdgeCounters;
  readonly clock: EdgeClock;
  readonly verify: EdgeParts['verify'];
  /** What drivers are asked for now: the setting times the pace. */
  reportIntervalMs: number;
  /** Nothing more goes to the recorder. */
  draining = false;
  #due: AckSource[] = [];

  constructor(parts: EdgeParts) {
    this.settings = parts.settings;
    this.recorder = parts.recorder;
    this.counters = parts.counters;
    this.clock = parts.clock;
    this.verify = parts.verify;
    this.reportIntervalMs = parts.settings.reportIntervalMs;
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
