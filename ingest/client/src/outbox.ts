// What a driver has to send and when: the newest report and the waiting checkpoints. No socket and no timer: the time
// is an argument, and the owner of the connection calls `next` until it returns null.
//
//  Always: one report at most, the newest. A message keeps its time for ever, and its seq while the connection lives,
// so sending it again repeats the same report, and it is acknowledged as such.
import type { ReportFields } from './driver-position.js';
import { Pacer } from './pacer.js';
import {
  type AnyNackCode,
  type HelloLimits,
  type HelloMessage,
  MAX_WAITING_CHECKPOINTS,
  type NackMessage,
  type PositionMessage,
  type PositionReport,
  SPARSE_ACK_INTERVAL_MS,
} from './protocol.js';
import { ServerClock } from './server-clock.js';

export interface OutboxStats {
  /** Positions sent; `resent` of them not for the first time. */
  sent: number;
  resent: number;
  acked: number;
  persisted: number;
  /** Reports that were never sent: replaced by a newer one, or too old by then. */
  dropped: number;
  nacked: Partial<Record<AnyNackCode, number>>;
}

interface Outgoing {
  readonly fields: ReportFields;
  readonly takenAtMs: number; // monotonic
  recordedAtMs: number | null; // null until it was first sent
  seq: number | null; // on this connection; null while unsent there
  sendAtMs: number;
}

interface Checkpoint extends Outgoing {
  readonly deadlineAtMs: number;
  resolve(): void;
  reject(error: CheckpointError): void;
}

/**
 * Why a checkpoint was given up: the server's nack code, `closed`, or `deadline`. After the last two it may still be in
 * the archive, if it was already sent.
 */
export class CheckpointError extends Error {
  readonly code: AnyNackCode | 'closed' | 'deadline';

  constructor(code: AnyNackCode | 'closed' | 'deadline', detail: string) {
    super(detail);
    this.name = 'CheckpointError';
    this.code = code;
  }
}

const DEFAULT_RETRY_MS = 1000;
/** If a due acknowledgement takes longer than this, the connection is dead. */
const ANSWER_DEADLINE_MS = 20_000;
const PACE_TOLERANCE = 0.1;
/** How much of the server's burst is reserved for jitter on the way. */
const BURST_MARGIN = 2;
const NEVER = Number.POSITIVE_INFINITY;

export class Outbox {
  readonly clock = new ServerClock();
  readonly stats: OutboxStats = { sent: 0, resent: 0, acked: 0, persisted: 0, dropped: 0, nacked: {} };
  #newest: Outgoing | null = null;
  #checkpoints: Checkpoint[] = [];
  #limits: HelloLimits | null = null;
  #pace = new Pacer(0, 0);
  #burst = new Pacer(0, 0);
  #seq = 0;
  #settledSeq = 0;
  /** Above `settledSeq`: refused, and not sent again since. */
  readonly #refused = new Set<number>();
  #ackedAtMs = Number.NEGATIVE_INFINITY;
  #awaitedSinceMs = NEVER;

  report(fields: ReportFields, nowMs: number): void {
    this.#replaceNewest({ fields, takenAtMs: nowMs, recordedAtMs: null, seq: null, sendAtMs: nowMs });
  }

  checkpoint(fields: ReportFields, checkpointId: string, nowMs: number, deadlineMs = NEVER): Promise<void> {
    const limit = this.#limits?.max_waiting_checkpoints ?? MAX_WAITING_CHECKPOINTS;
    if (this.#checkpoints.length >= limit)
      return Promise.reject(new CheckpointError('too_many_checkpoints', `${limit} checkpoints wait already`));
    this.#replaceNewest(null); // an older report behind it would be stale
    return new Promise((resolve, reject) => {
      this.#checkpoints.push({
        fields: { ...fields, checkpoint: true, checkpoint_id: checkpointId },
        takenAtMs: nowMs,
        recordedAtMs: null,
        seq: null,
        sendAtMs: nowMs,
        deadlineAtMs: nowMs + deadlineMs,
        resolve,
        reject,
      });
    });
  }

  get waitingCheckpoints(): number {
    return this.#checkpoints.length;
  }

  hello({ limits, server_time_ms }: HelloMessage, nowMs: number): void {
    this.#limits = limits;
    this.#seq = 0;
    this.#settledSeq = 0;
    this.#refused.clear();
    this.#ackedAtMs = Number.NEGATIVE_INFINITY;
    this.clock.sync(server_time_ms, nowMs, limits.max_clock_ahead_ms);
    this.#pace = new Pacer(0, 0); // the newest goes out at once, wherever the last connection stood
    this.pace(limits.report_interval_ms);
    const emissionMs = 1000 / Math.max(limits.max_reports_per_s, 1);
    this.#burst = new Pacer(emissionMs, Math.max(limits.burst - BURST_MARGIN, 0) * emissionMs);
  }

  pace(reportIntervalMs: number): void {
    this.#pace = this.#pace.paced(reportIntervalMs, reportIntervalMs * PACE_TOLERANCE);
  }

  /** What the connection had not settled is sent on the next one, in its old order. */
  lost(): void {
    this.#awaitedSinceMs = NEVER;
    for (const outgoing of this.#newest === null ? this.#checkpoints : [...this.#checkpoints, this.#newest]) {
      outgoing.seq = null;
      outgoing.sendAtMs = 0;
    }
  }

  /** When `next` has something to return; Infinity while it has nothing. */
  get dueAtMs(): number {
    let dueMs = NEVER;
    for (const { sendAtMs } of this.#checkpoints) dueMs = Math.min(dueMs, sendAtMs);
    return Math.max(Math.min(dueMs, this.#newestAtMs), this.#burst.readyAtMs);
  }

  get #newestAtMs(): number {
    if (this.#newest === null) return NEVER;
    return this.#newest.seq === null
      ? Math.max(this.#newest.sendAtMs, this.#pace.readyAtMs)
      : this.#newest.sendAtMs;
  }

  /** The message to send now, marked as sent; null when there is none. Only between `hello` and `lost`. */
  next(nowMs: number): PositionMessage<PositionReport> | null {
    if (this.#burst.readyAtMs > nowMs) return null;
    const checkpoint = this.#checkpoints.find(({ sendAtMs }) => sendAtMs <= nowMs);
    if (checkpoint !== undefined) return this.#send(checkpoint, nowMs);
    const newest = this.#newest;
    if (newest === null || this.#newestAtMs > nowMs) return null;
    if (nowMs - newest.takenAtMs > (this.#limits?.freshness_ms ?? NEVER)) {
      this.#replaceNewest(null);
      return null;
    }
    if (newest.seq === null) this.#pace.take(nowMs);
    return this.#send(newest, nowMs);
  }

  /** Something arrived from the server: it is alive. */
  heard(): void {
    this.#awaitedSinceMs = NEVER;
  }

  /** When to consider the connection dead. Thinned acknowledgements may leave the last reports unanswered for good. */
  get answerDueAtMs(): number {
    return this.#awaitedSinceMs + ANSWER_DEADLINE_MS;
  }

  #send(outgoing: Outgoing, nowMs: number): PositionMessage<PositionReport> {
    if (outgoing.recordedAtMs !== null) this.stats.resent++;
    if (outgoing.seq !== null) this.#refused.delete(outgoing.seq);
    outgoing.recordedAtMs ??= this.clock.stamp(outgoing.takenAtMs);
    outgoing.seq ??= ++this.#seq;
    outgoing.sendAtMs = NEVER;
    this.#burst.take(nowMs);
    this.stats.sent++;
    if (nowMs - this.#ackedAtMs >= SPARSE_ACK_INTERVAL_MS)
      this.#awaitedSinceMs = Math.min(this.#awaitedSinceMs, nowMs);
    return { type: 'position', seq: outgoing.seq, recorded_at_ms: outgoing.recordedAtMs, ...outgoing.fields };
  }

  ack(seq: number, nowMs: number): void {
    this.#ackedAtMs = nowMs;
    if (seq <= this.#settledSeq) return;
    const refused = [...this.#refused].filter((one) => one <= seq);
    this.stats.acked += seq - this.#settledSeq - refused.length;
    this.#settledSeq = seq;
    for (const one of refused) this.#refused.delete(one);
  }

  persisted(seq: number): void {
    const checkpoint = this.#checkpoints.find((waiting) => waiting.seq === seq);
    if (checkpoint === undefined) return;
    this.stats.persisted++;
    this.#checkpoints = this.#checkpoints.filter((waiting) => waiting !== checkpoint);
    checkpoint.resolve();
  }

  /** True if the newest report's time was refused although it was young: then our idea of the time is wrong. */
  nack({ seq, code, retryable, retry_after_ms, detail }: NackMessage, nowMs: number): boolean {
    this.stats.nacked[code] = (this.stats.nacked[code] ?? 0) + this.#noteRefused(seq, retryable);
    if (seq === null) return false;
    const againAtMs = nowMs + (retry_after_ms ?? DEFAULT_RETRY_MS);
    const checkpoint = this.#checkpoints.find((waiting) => waiting.seq === seq);
    if (checkpoint !== undefined) {
      if (retryable) checkpoint.sendAtMs = againAtMs;
      else if (code === 'too_fast') {
        // A report that came too fast is replaced by the next one. A trip's end has no next one, so it is sent again
        // with a new seq, since this seq is settled.
        checkpoint.seq = null;
        checkpoint.sendAtMs = againAtMs;
      } else {
        this.#checkpoints = this.#checkpoints.filter((waiting) => waiting !== checkpoint);
        checkpoint.reject(new CheckpointError(code, detail));
      }
      return false;
    }
    const newest = this.#newest;
    if (newest === null || newest.seq !== seq) return false;
    if (retryable) {
      newest.sendAtMs = againAtMs;
      return false;
    }
    this.#newest = null;
    const young = nowMs - newest.takenAtMs <= (this.#limits?.freshness_ms ?? 0);
    return code === 'clock_ahead' || (code === 'too_old' && young);
  }

  /** A retryable nack refuses all from the last acknowledgement on, except checkpoints. Returns how many. */
  #noteRefused(seq: number | null, retryable: boolean): number {
    const before = this.#refused.size;
    if (seq !== null && seq > this.#settledSeq) {
      this.#refused.add(seq);
      for (let older = seq - 1; retryable && older > this.#settledSeq; older--) {
        if (!this.#checkpoints.some((checkpoint) => checkpoint.seq === older)) this.#refused.add(older);
      }
    }
    return Math.max(1, this.#refused.size - before);
  }

  /** When the first deadline of a checkpoint passes. */
  get expiresAtMs(): number {
    let atMs = NEVER;
    for (const { deadlineAtMs } of this.#checkpoints) atMs = Math.min(atMs, deadlineAtMs);
    return atMs;
  }

  /** Withdraws the checkpoints whose deadline has passed. */
  expire(nowMs: number): void {
    if (nowMs < this.expiresAtMs) return;
    const late = this.#checkpoints.filter(({ deadlineAtMs }) => deadlineAtMs <= nowMs);
    this.#checkpoints = this.#checkpoints.filter(({ deadlineAtMs }) => deadlineAtMs > nowMs);
    for (const { reject } of late) reject(new CheckpointError('deadline', 'it was not persisted in time'));
  }

  /** Nothing will be sent any more. */
  refuseCheckpoints(error: CheckpointError): void {
    for (const checkpoint of this.#checkpoints.splice(0)) checkpoint.reject(error);
  }

  #replaceNewest(next: Outgoing | null): void {
    if (this.#newest !== null && this.#newest.recordedAtMs === null) this.stats.dropped++;
    this.#newest = next;
  }
}
