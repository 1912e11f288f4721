// Handles the reports of one connection: refuses them with a code, or puts them into the driver's row and, if requested,
// among the checkpoints. Of several reports in one message only the newest goes into the row.
import { MAX_WAITING_CHECKPOINTS, type NackCode, type UncheckedPosition } from '@whereabouts/client/protocol';
import type { Position } from '@whereabouts/infra/position';
import type { AckLedger } from './ack-ledger.js';
import type { Answers } from './answers.js';
import type { Conduct } from './conduct.js';
import type { Origin } from './drivers.js';
import type { Edge } from './edge.js';
import { Intake, type Verdict } from './intake.js';
import { checkAge, checkReport, type Fault, isFault, type Report } from './report.js';

/** The connection that they come from. */
export interface Sender extends Origin {
  readonly driverId: string;
  readonly connectionId: string;
  readonly slot: number;
}

/** Refusals of one message, by code: the one of the greatest seq speaks for the others. */
type Faults = Map<NackCode, { seq: number; detail: string; count: number }>;

export class Reports {
  readonly #edge: Edge;
  readonly #sender: Sender;
  readonly #ledger: AckLedger;
  readonly #answers: Answers;
  readonly #conduct: Conduct;
  readonly #intake: Intake;

  constructor(edge: Edge, sender: Sender, ledger: AckLedger, answers: Answers, conduct: Conduct) {
    this.#edge = edge;
    this.#sender = sender;
    this.#ledger = ledger;
    this.#answers = answers;
    this.#conduct = conduct;
    this.#intake = new Intake(ledger);
  }

  get lastSeq(): number {
    return this.#intake.lastSeq;
  }

  /** The recorder refused this one. */
  refused(seq: number): void {
    this.#intake.refused(seq);
  }

  /** One ordinary report that is known to be readable and on the map. Returns whether one is to be acknowledged again. */
  takeUsual(report: Report, nowMs: number): boolean {
    if (this.#conduct.reports(1, this.#edge.moment(nowMs)) !== 1) {
      this.#answers.tooFast(report.seq);
      return false;
    }
    return this.#take(report, nowMs);
  }

  /** One report of any kind. */
  takeOne(unchecked: UncheckedPosition, nowMs: number): boolean {
    if (unchecked.checkpoint === true)
      return this.#mayKeep(unchecked.seq, nowMs) && this.#takeCheckpoint(unchecked, nowMs) === 'acknowledged';
    if (this.#conduct.reports(1, this.#edge.moment(nowMs)) !== 1) {
      this.#answers.tooFast(unchecked.seq);
      return false;
    }
    const checked = checkReport(unchecked, this.#sender.driverId, this.#sender.session);
    if (isFault(checked)) {
      this.#refuse(checked, unchecked.seq);
      return false;
    }
    const { report } = this.#edge;
    report.readPosition(checked);
    return this.#take(report, nowMs);
  }

  /** The reports of one message. */
  takeSeveral(unchecked: readonly UncheckedPosition[], nowMs: number): boolean {
    const storeNowMs = this.#edge.clock.storeNowMs();
    const faults: Faults = new Map();
    let newest: Position | null = null;
    let isRepeated = false;
    for (const one of this.#allowed(unchecked, nowMs)) {
      if (one.checkpoint === true) {
        const outcome = this.#takeCheckpoint(one, nowMs);
        if (outcome === 'acknowledged') isRepeated = true;
        // The driver is there by now.
        else if (outcome === 'moved') newest = null;
        continue;
      }
      const checked = checkReport(one, this.#sender.driverId, this.#sender.session);
      const verdict = isFault(checked)
        ? checked
        : this.#intake.judge(checked.seq, checked.recordedAtMs, storeNowMs);
      if (verdict === 'acknowledged') isRepeated = true;
      else if (typeof verdict === 'object') note(faults, verdict, one.seq);
      else if (verdict === 'refused_before' && this.#isHeld(checked as Position))
        note(faults, STILL_HELD, one.seq);
      else if (verdict !== 'under_way') newest = checked as Position;
    }
    this.#refuseAll(faults);
    if (newest !== null) {
      this.#edge.report.readPosition(newest);
      this.#record(this.#edge.report, storeNowMs, nowMs);
    }
    return isRepeated;
  }

  /** In order of seq, those that the driver's limits allow: the newest, for the others are overtaken. */
  #allowed(unchecked: readonly UncheckedPosition[], nowMs: number): UncheckedPosition[] {
    const isCheckpoint = ({ checkpoint }: UncheckedPosition) => checkpoint === true;
    const bySeq = [...unchecked].sort((a, b) => a.seq - b.seq);
    const others = bySeq.filter((one) => !isCheckpoint(one));
    const count = others.length === 0 ? 0 : this.#conduct.reports(others.length, this.#edge.moment(nowMs));
    const late = others.length - count;
    const last = others[late - 1];
    if (last !== undefined) this.#answers.tooFast(last.seq, late > 1 ? `, as ${late} of this message` : '');
    return bySeq.filter((one) =>
      isCheckpoint(one) ? this.#mayKeep(one.seq, nowMs) : last === undefined || one.seq > last.seq,
    );
  }

  #refuseAll(faults: Faults): void {
    for (const [code, { seq, detail, count }] of faults) {
      const others = count === 1 ? '' : `; and ${count - 1} more of this message`;
      this.#refuse({ code, detail: detail + others }, seq, count);
    }
  }

  #take(report: Report, nowMs: number): boolean {
    const storeNowMs = this.#edge.clock.storeNowMs();
    const verdict = this.#intake.judge(report.seq, report.recordedAtMs, storeNowMs);
    if (verdict === 'record') this.#record(report, storeNowMs, nowMs);
    else return this.#answerTo(verdict, report, storeNowMs, nowMs);
    return false;
  }

  #answerTo(verdict: Verdict, report: Report, storeNowMs: number, nowMs: number): boolean {
    if (verdict === 'acknowledged') return true;
    if (verdict === 'refused_before') {
      if (this.#isHeld(report)) this.#refuse(STILL_HELD, report.seq);
      else this.#record(report, storeNowMs, nowMs);
    } else if (typeof verdict === 'object') this.#refuse(verdict, report.seq);
    return false;
  }

  /** It was refused, and waits all the same. */
  #isHeld({ recordedAtMs }: Pick<Report, 'recordedAtMs'>): boolean {
    const { drivers } = this.#edge;
    const { slot, session } = this.#sender;
    return drivers.isNewest(slot, session, recordedAtMs) && !drivers.isAcknowledged(slot);
  }

  #record(report: Report, storeNowMs: number, nowMs: number): void {
    const { clock, settings, drivers, recorder, counters } = this.#edge;
    const old = checkAge(report.recordedAtMs, storeNowMs - clock.stalledMs(nowMs), settings.freshnessMs);
    if (old !== null) {
      this.#intake.refused(report.seq);
      this.#refuse(old, report.seq);
      return;
    }
    counters.reports++;
    this.#ledger.submitted(report.seq);
    drivers.put(this.#sender.slot, this.#sender, report, nowMs);
    recorder.submit(this.#sender.slot);
  }

  // ---- checkpoints

  /** Only the rate is refused, not the checkpoint, so the driver is told when to send it again. */
  #mayKeep(seq: number, nowMs: number): boolean {
    if (this.#conduct.checkpoint(this.#edge.moment(nowMs))) return true;
    const detail = `more than ${this.#edge.settings.checkpointsPerMin} checkpoints a minute`;
    this.#answers.refuse('too_fast', seq, detail, this.#conduct.checkpointWaitMs(nowMs));
    return false;
  }

  /** Each is refused by itself, as each needs an answer of its own. */
  #takeCheckpoint(unchecked: UncheckedPosition, nowMs: number): 'acknowledged' | 'moved' | 'done' {
    const { clock } = this.#edge;
    const position = checkReport(unchecked, this.#sender.driverId, this.#sender.session);
    if (isFault(position)) {
      this.#refuse(position, unchecked.seq);
      return 'done';
    }
    const at = { storeNowMs: clock.storeNowMs(), stalledMs: clock.stalledMs(nowMs) };
    const isNewest = this.#intake.isNewest(position.recordedAtMs);
    const verdict = this.#intake.judgeCheckpoint(position.seq, position.recordedAtMs, at);
    if (verdict === 'acknowledged') return 'acknowledged';
    if (typeof verdict === 'object') this.#refuse(verdict, position.seq);
    else if (verdict === 'record' && this.#keep(position) && isNewest) return this.#move(position, nowMs);
    return 'done';
  }

  /** An older one than the freshness limit does not move its driver. */
  #move(position: Position, nowMs: number): 'moved' | 'done' {
    const { recorder, clock, settings, drivers, report } = this.#edge;
    const storeNowMs = clock.storeNowMs() - clock.stalledMs(nowMs);
    if (checkAge(position.recordedAtMs, storeNowMs, settings.freshnessMs) !== null) return 'done';
    this.#ledger.submitted(position.seq);
    report.readPosition(position);
    drivers.put(this.#sender.slot, this.#sender, report, nowMs);
    recorder.submit(this.#sender.slot);
    return 'moved';
  }

  /** Returns whether it is kept from now on. */
  #keep(position: Position): boolean {
    const { recorder, counters } = this.#edge;
    const { driverId, connectionId } = this.#sender;
    const { seq, recordedAtMs } = position;
    // A checkpoint without an id is identified by the connection and the seq with which it first came.
    position.checkpointId ??= `${connectionId}-${seq}`;
    // One that waits already is sent again, and waits no more than once.
    const waiting = recorder.waitingCheckpoints(driverId, position.checkpointId);
    if (waiting >= MAX_WAITING_CHECKPOINTS) {
      const detail = `${waiting} checkpoints are not in the archive yet, at most ${MAX_WAITING_CHECKPOINTS} may wait`;
      this.#answers.refuse('too_many_checkpoints', seq, detail);
      return false;
    }
    this.#intake.opened(seq, recordedAtMs);
    counters.reports++;
    return recorder.keep(position, this.#sender);
  }

  #refuse({ code, detail }: Fault, seq: number, count = 1): void {
    if (code === 'bad_message') this.#answers.badMessage(seq, detail, count);
    else this.#answers.refuse(code, seq, detail, undefined, count);
  }
}

const STILL_HELD: Fault = {
  code: 'region_unavailable',
  detail: 'still held: it is written when its region is back',
};

function note(faults: Faults, { code, detail }: Fault, seq: number): void {
  const known = faults.get(code);
  faults.set(code, { seq, detail, count: (known?.count ?? 0) + 1 });
}
