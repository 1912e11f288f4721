// What a driver has to send and the outcome, on one connection after another: PROTOCOL.md without socket and timers.
//
//  A report: { fields, takenAtMs, recordedAtMs, seq, sentAtMs }. It keeps its recordedAtMs for ever, and its seq while
// the connection lives, so sending it again repeats the same report. seq is null until it has been sent.
import {
  ackLatency,
  nacks,
  persistedLatency,
  reportsAcked,
  reportsRefused,
  reportsSent,
  reportsUnanswered,
} from './driver-metrics.js';

/** How much of the server's burst is reserved for jitter on the way. */
const BURST_MARGIN = 2;

export class Outbox {
  #thinned; // ack=sparse
  #phaseAt;
  #limits = null;
  #offsetMs = 0; // server time - our clock; k6 has no monotonic one
  #lastStampMs = 0;
  #seq = 0;
  #newest = null;
  #checkpoints = []; // not persisted yet, in their order
  #unanswered = []; // of this connection, in the order of seq

  constructor({ thinned, phaseAt }) {
    this.#thinned = thinned;
    this.#phaseAt = phaseAt;
  }

  get unansweredSinceMs() {
    return this.#unanswered[0]?.sentAtMs ?? null;
  }

  get waitingCheckpoints() {
    return this.#checkpoints.length;
  }

  hello({ limits, server_time_ms }, atMs) {
    this.#limits = limits;
    this.#offsetMs = server_time_ms - atMs;
    this.#seq = 0;
  }

  report(fields, takenAtMs) {
    this.#newest = { fields, takenAtMs, recordedAtMs: null, seq: null, sentAtMs: 0 };
  }

  checkpoint(fields, checkpointId, takenAtMs) {
    if (this.#checkpoints.length >= (this.#limits?.max_waiting_checkpoints ?? 10)) {
      this.report(fields, takenAtMs);
      return;
    }
    const asked = { ...fields, checkpoint: true, checkpoint_id: checkpointId };
    this.#checkpoints.push({ fields: asked, takenAtMs, recordedAtMs: null, seq: null, sentAtMs: 0 });
    this.#newest = null; // an older report behind it would be stale
  }

  /** What has not been sent on this connection, checkpoints first; as many at once as the server's burst allows. */
  due(nowMs) {
    const most = Math.max(this.#limits.burst - BURST_MARGIN, 1);
    const due = this.#checkpoints.filter(({ seq }) => seq === null).slice(0, most - 1);
    const newest = this.#newest;
    const isFresh = newest !== null && nowMs - newest.takenAtMs <= this.#limits.freshness_ms;
    if (isFresh && newest.seq === null) due.push(newest);
    return due.map((report) => this.#message(report, nowMs));
  }

  /** After a retryable nack: exactly the same message again, unless a newer one has replaced it. */
  again(seq, nowMs) {
    const report = this.#find(seq);
    if (report === undefined) return null;
    // A checkpoint ends with `persisted`. Later reports may be acknowledged by now, so an ack does not settle it.
    if (report === this.#newest) this.#unanswered.push(report);
    return this.#message(report, nowMs);
  }

  ack(seq, atMs) {
    while (this.#unanswered.length > 0 && this.#unanswered[0].seq <= seq) {
      const report = this.#unanswered.shift();
      reportsAcked.add(1, this.#phaseAt(report.sentAtMs));
      reportsRefused.add(false);
      // A thinned acknowledgement waits for its time, unless it is due at once.
      if (!this.#thinned || report.seq === 1 || report.fields.checkpoint) this.#add(ackLatency, report, atMs);
    }
  }

  persisted(seq, atMs) {
    const checkpoint = this.#checkpoints.find((waiting) => waiting.seq === seq);
    if (checkpoint === undefined) return;
    this.#add(persistedLatency, checkpoint, atMs);
    this.#checkpoints = this.#checkpoints.filter((waiting) => waiting !== checkpoint);
  }

  /** True if the time has to be learnt again: the report was young, so our clock is wrong. */
  nack({ seq, code, retryable }, nowMs) {
    nacks.add(1, { code });
    reportsRefused.add(true);
    const report = this.#find(seq);
    // A retryable nack refuses all from the last acknowledgement on, except checkpoints.
    this.#unanswered = this.#unanswered.filter(
      (open) => open.seq !== seq && !(retryable && open.seq < seq && !open.fields.checkpoint),
    );
    if (report === undefined || retryable) return false;
    if (report === this.#newest) this.#newest = null;
    else if (code === 'too_fast') {
      report.seq = null; // the haste was refused, not the checkpoint
      return false;
    } else this.#checkpoints = this.#checkpoints.filter((waiting) => waiting !== report);
    const isYoung = nowMs - report.takenAtMs <= this.#limits.freshness_ms;
    return isYoung && (code === 'clock_ahead' || code === 'too_old');
  }

  /**
   * The newest is sent again on the next connection even if it was acknowledged: that restores what a store has lost.
   */
  lost() {
    reportsUnanswered.add(this.#unanswered.length);
    this.#unanswered = [];
    for (const report of [this.#newest, ...this.#checkpoints]) if (report !== null) report.seq = null;
  }

  #find(seq) {
    if (this.#newest !== null && this.#newest.seq === seq) return this.#newest;
    return this.#checkpoints.find((waiting) => waiting.seq === seq);
  }

  #message(report, nowMs) {
    if (report.seq === null) {
      report.seq = ++this.#seq;
      report.recordedAtMs ??= this.#stamp(report.takenAtMs);
      this.#unanswered.push(report);
    }
    report.sentAtMs = nowMs;
    reportsSent.add(1);
    const { seq, recordedAtMs, fields } = report;
    return { type: 'position', seq, recorded_at_ms: recordedAtMs, ...fields };
  }

  /** Times strictly grow. */
  #stamp(takenAtMs) {
    this.#lastStampMs = Math.max(Math.floor(takenAtMs + this.#offsetMs), this.#lastStampMs + 1);
    return this.#lastStampMs;
  }

  #add(trend, { sentAtMs }, atMs) {
    trend.add(Math.max(atMs - sentAtMs, 0), this.#phaseAt(sentAtMs));
  }
}
