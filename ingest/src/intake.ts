// The reports of one connection, in the order in which they came: each is refused with a code, or goes to the
// recorder. Of several in one message only the newest does, and every checkpoint.
import { MAX_WAITING_CHECKPOINTS, type NackCode, type UncheckedPosition } from '@whereabouts/client/protocol';
import type { Position } from '@whereabouts/infra/position';
import type { AckLedger } from './ack-ledger.js';
import type { Edge } from './edge.js';
import { checkAge, checkNotAhead, checkReport, type Fault, isFault } from './report-checks.js';
import { orderOf, type SentBefore } from './report-order.js';

/** Where the intake's decisions go. */
export interface IntakeOutlet {
  readonly driverId: string;
  /** The session's number, under which positions are recorded. */
  readonly number: number;
  /** The number that the connection began with, and keeps. */
  readonly connection: number;
  /** `count`: so many reports are refused by it. */
  nack(code: NackCode, seq: number, detail: string, count?: number): void;
  badMessage(seq: number, detail: string, count?: number): void;
  submit(position: Position): void;
  /** Something that was acknowledged is to be acknowledged again. */
  settleSoon(): void;
}

/** Refusals of one message, by code: the one of the greatest seq speaks for the others. */
type Faults = Map<NackCode, { seq: number; detail: string; count: number }>;

export class Intake implements SentBefore {
  lastSeq = 0;
  lastSeqTimeMs = 0;
  newestTimeMs = 0;
  /** The last refusal of a report that was in order: that seq may be sent again. */
  #refusedSeq = 0;
  readonly #edge: Edge;
  readonly #ledger: AckLedger;

  constructor(edge: Edge, ledger: AckLedger) {
    this.#edge = edge;
    this.#ledger = ledger;
  }

  take(reports: readonly UncheckedPosition[], outlet: IntakeOutlet): void {
    const storeNowMs = this.#edge.clock.storeNowMs();
    let newest: Position | null = null;
    const faults: Faults = new Map();
    for (const report of [...reports].sort((a, b) => a.seq - b.seq)) {
      const checked = checkReport(report, outlet.driverId, outlet.number);
      if (report.checkpoint === true) this.#takeCheckpoint(report.seq, checked, storeNowMs, outlet);
      else {
        const verdict = isFault(checked) ? checked : this.#verdict(checked, storeNowMs, outlet);
        if (verdict === 'record') newest = checked as Position;
        else if (verdict !== 'nothing') note(faults, verdict, report.seq);
      }
    }
    for (const [code, { seq, detail, count }] of faults) {
      const others = count === 1 ? '' : `; and ${count - 1} more of this message`;
      refuse({ code, detail: detail + others }, seq, outlet, count);
    }
    if (newest !== null) this.#takeNewest(newest, storeNowMs, outlet);
  }

  /** One ordinary report that is known to be readable and on the map. */
  takeOne(position: Position, outlet: IntakeOutlet): void {
    const storeNowMs = this.#edge.clock.storeNowMs();
    const verdict = this.#verdict(position, storeNowMs, outlet);
    if (verdict === 'record') this.#takeNewest(position, storeNowMs, outlet);
    else if (verdict !== 'nothing') refuse(verdict, position.seq, outlet);
  }

  /** The recorder refused this one. */
  refused(seq: number): void {
    this.#refusedSeq = seq;
  }

  /** What is to be done with an ordinary report: 'nothing' where its answer is on its way already. */
  #verdict(position: Position, storeNowMs: number, outlet: IntakeOutlet): Fault | 'record' | 'nothing' {
    const { seq, recordedAtMs } = position;
    const ahead = checkNotAhead(position, storeNowMs);
    if (ahead !== null) return ahead;
    switch (orderOf(this, seq, recordedAtMs, false)) {
      case 'new':
        this.#passed(position);
        return 'record';
      case 'again':
        return this.#verdictOnAgain(position, outlet);
      case 'stale':
        return {
          code: 'stale',
          detail: `recorded ${this.newestTimeMs - recordedAtMs} ms before the newest report`,
        };
      case 'seq_must_grow':
        return this.#seqMustGrow();
    }
  }

  #seqMustGrow(): Fault {
    return { code: 'bad_message', detail: `seq must grow: the last one was ${this.lastSeq}` };
  }

  /** The last report once more: accepted, under way, refused but held, or refused and to be tried again. */
  #verdictOnAgain(position: Position, outlet: IntakeOutlet): Fault | 'record' | 'nothing' {
    const { seq, recordedAtMs, session } = position;
    if (this.#ledger.repeatIfAccepted(seq)) {
      outlet.settleSoon();
      return 'nothing';
    }
    if (seq !== this.#refusedSeq) return 'nothing';
    const last = this.#edge.recorder.lastKnown(outlet.driverId);
    const isHeld = last?.seq === seq && last.recordedAtMs === recordedAtMs && last.session === session;
    return isHeld
      ? { code: 'region_unavailable', detail: 'still held: it is written when its region is back' }
      : 'record';
  }

  #takeNewest(newest: Position, storeNowMs: number, outlet: IntakeOutlet): void {
    const old = this.#tooOld(newest, storeNowMs);
    if (old === null) {
      outlet.submit(newest);
      return;
    }
    this.#refusedSeq = newest.seq;
    refuse(old, newest.seq, outlet);
  }

  /** What waited in the socket while this process stood still is not older for that. */
  #tooOld(position: Position, storeNowMs: number): Fault | null {
    const { clock, settings } = this.#edge;
    const old = checkAge(position, storeNowMs, settings.freshnessMs);
    return old === null
      ? null
      : checkAge(position, storeNowMs - clock.stalledMs(clock.monotonicMs()), settings.freshnessMs);
  }

  /** Refused by itself, as each checkpoint needs an answer of its own. */
  #takeCheckpoint(seq: number, checked: Position | Fault, storeNowMs: number, outlet: IntakeOutlet): void {
    const fault = isFault(checked)
      ? checked
      : (checkNotAhead(checked, storeNowMs) ?? this.#tooOld(checked, storeNowMs));
    if (fault !== null) {
      refuse(fault, seq, outlet);
      return;
    }
    const position = checked as Position;
    const { recordedAtMs } = position;
    const known = this.#ledger.knows(seq, recordedAtMs);
    const order = known ? 'again' : orderOf(this, seq, recordedAtMs, true);
    if (order === 'seq_must_grow') {
      refuse(this.#seqMustGrow(), seq, outlet);
    } else if (order === 'again' && this.#ledger.repeatIfAccepted(seq)) {
      outlet.settleSoon();
    } else if (!this.#ledger.isOpen(seq)) {
      this.#openCheckpoint(position, outlet);
    }
  }

  #openCheckpoint(position: Position, outlet: IntakeOutlet): void {
    // One that nobody has named is told from all others by where it came first.
    position.checkpointId ??= `${outlet.connection}-${position.seq}`;
    const { driverId } = outlet;
    // One that waits already is sent again, and waits no more than once.
    const waiting = this.#edge.recorder.waitingCheckpoints(driverId, position.checkpointId);
    if (waiting >= MAX_WAITING_CHECKPOINTS) {
      const detail = `${waiting} checkpoints are not in the archive yet, at most ${MAX_WAITING_CHECKPOINTS} may wait`;
      outlet.nack('too_many_checkpoints', position.seq, detail);
      return;
    }
    this.#ledger.open(position.seq, position.recordedAtMs, this.lastSeq);
    this.#passed(position);
    outlet.submit(position);
  }

  #passed({ seq, recordedAtMs }: Position): void {
    if (seq > this.lastSeq) {
      this.lastSeq = seq;
      this.lastSeqTimeMs = recordedAtMs;
    }
    if (recordedAtMs > this.newestTimeMs) this.newestTimeMs = recordedAtMs;
  }
}

function note(faults: Faults, { code, detail }: Fault, seq: number): void {
  const known = faults.get(code);
  faults.set(code, { seq, detail, count: (known?.count ?? 0) + 1 });
}

function refuse({ code, detail }: Fault, seq: number, outlet: IntakeOutlet, count = 1): void {
  if (code === 'bad_message') outlet.badMessage(seq, detail, count);
  else outlet.nack(code, seq, detail, count);
}
