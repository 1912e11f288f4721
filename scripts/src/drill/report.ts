// What a drill writes down: everything that its verdict was based on, so that a page can be drawn from it alone.
//
//  Every time is in milliseconds from the fault; earlier times are negative. null is "not measured" or "never", as the
// field says. Every number is about the drill's own drivers only.

export interface DrillReport {
  format: 3;
  drill: string;
  /** One sentence: what was broken. */
  about: string;
  /** RFC 3339: when the load was warm and sampling began, at `fromMs`. */
  startedAt: string;
  fromMs: number;
  toMs: number;
  /** For a fault that lasts until it is undone, such as a cut: budgets count from then. 0 for a momentary one. */
  faultLastsMs: number;
  /** When everything that was broken ran again. */
  repairedAtMs: number;
  passed: boolean;
  stack: {
    /** Started for this drill alone. */
    own: boolean;
    masters: number;
    replicas: number;
    partitions: number;
    promoter: boolean;
    durability: 'cache' | 'replicated';
  };
  load: {
    drivers: number;
    reportIntervalMs: number;
    acknowledged: number;
    nacked: number;
    questions: number;
  };
  promises: PromiseVerdict[];
  regions: RegionReport[];
  /** What was done to the stack and what it did, in order. */
  events: DrillEvent[];
  /** null if the drill kills no master. */
  audit: LossAudit | null;
  /** Notes for the reader: what was skipped, what could not be measured. */
  notes: string[];
}

export interface PromiseVerdict {
  promise: string;
  passed: boolean;
  /** For people: `173 ms`, `0 of 4210`. */
  measured: string;
  /** For people: `at most 500 ms`. */
  budget: string;
  /** What the worst case was, or why it failed; may be empty. */
  detail: string;
  /** The same for comparisons with other runs: less is better. Absent if it is no number, or never came. */
  figure?: Figure;
}

export interface Figure {
  value: number;
  unit: 'ms' | 'count';
}

/** A region: what one master carried before the fault. */
export interface RegionReport {
  /** host:port of the master that owned it before the fault. */
  node: string;
  /** Geohash ranges, `to` exclusive. */
  ranges: { from: string; to: string }[];
  partitions: number;
  drivers: number;
  /** Hit by the fault; the others should not notice. */
  affected: boolean;
  /** The last acknowledgement before the gap, and the first of a report that was sent after the fault; null: never. */
  lastAckAtMs: number | null;
  firstAckAtMs: number | null;
  /** From the fault until a driver of every partition of it was acknowledged again; 0 if it was not interrupted. */
  darkMs: number | null;
  /** From the fault until every driver of it was found again, in complete answers. */
  healedMs: number | null;
  ackP99BeforeMs: number | null;
  ackP99DuringMs: number | null;
  nacks: Record<string, number>;
  /** Reports without any answer in the time that is judged. */
  failedWrites: number;
  answers: AnswerReport;
  samples: RegionSample[];
}

/** Answers to "who is nearby" in a region, from the fault on. */
export interface AnswerReport {
  /** No answer in time, or not 200. */
  failed: number;
  incomplete: number;
  /** Incomplete ones that do not name the partition that was asked for. */
  unnamed: number;
  /** null: none was incomplete. */
  firstIncompleteMs: number | null;
  /** Answers that lacked a driver who was there and kept reporting. */
  lacking: number;
}

/** A stretch of `SAMPLE_MS`. */
export interface RegionSample {
  atMs: number;
  acks: number;
  nacks: number;
  /** Slowest acknowledgement in it; null without any. */
  slowestAckMs: number | null;
  /** Answers to "who is nearby" by what they were. */
  complete: number;
  partial: number;
  failed: number;
}

export const SAMPLE_MS = 100;

export interface DrillEvent {
  atMs: number;
  kind: 'fault' | 'heal' | 'observed';
  text: string;
}

/** Two numbers if it cannot be determined exactly, because the drill itself was late. */
export interface LostCount {
  least: number;
  most: number;
}

export interface LossAudit {
  /** Drivers whose newest acknowledged position the new owner lacked, compared from outside; null: not measured. */
  lost: LostCount | null;
  /** What the drill's own ingest counted before the fault was undone: `whereabouts_ingest_lost_positions_total`. */
  counted: number;
  /** The most that may be lost, see RELIABILITY.md; null: all that was not flushed. */
  allowed: number | null;
  /** How the truth was measured, or why it was not. */
  how: string;
}

/** Times of a report count from the fault; this is its time of day. */
export const faultAtMs = ({ startedAt, fromMs }: DrillReport): number => Date.parse(startedAt) - fromMs;

export const lostText = ({ least, most }: LostCount): string =>
  least === most ? String(least) : `${least} to ${most}`;
