// The reports of one connection, in the order in which they came: each is refused with a code, or goes to the
// recorder. Of several in one message only the newest does, and every checkpoint.
import { MAX_WAITING_CHECKPOINTS, type NackCode, type UncheckedPosition } from '@whereabouts/client/protocol';
import type { Position } from '@whereabouts/infra/position';
import type { AckLedger } from './ack-ledger.js';
import type { Edge } from './edge.js';
import { checkAge, checkNotAhead, checkReport, isFault } from './report-checks.js';
import { orderOf, type SentBefore } from './report-order.js';

/** Where the intake's decisions go. */
export interface IntakeOutlet {
  readonly driverId: string;
  /** The session's number, under which positions are recorded. */
  readonly number: number;
  nack(code: NackCode, seq: number, detail: string): void;
  badMessage(seq: number, detail: string): void;
  submit(position: Position): void;
  /** Something that was acknowledged is to be acknowledged again. */
  settleSoon(): void;
}

/** Reports of one message that are settled with its newest one, or nacked with it. */
interface Batch {
  newestSeq: number;
  replacedSeqs: number[];
}

// Batches whose newest is not answered yet. The recorder keeps one pending report of a driver, so that more than
// a few means a client that does nothing but catch up.
const MAX_OPEN_BATCHES = 8;

export class Intake implements SentBefore {
  lastSeq = 0;
  lastSeqTimeMs = 0;
  newestTimeMs = 0;
  /** The last refusal of a report that was in order: that seq may be sent again. */
  #refusedSeq = 0;
  #batches: Batch[] | null = null;
  readonly #edge: Edge;
  readonly #ledger: AckLedger;

  constructor(edge: Edge, ledger: AckLedger) {
    this.#edge = edge;
    this.#ledger = ledger;
  }

  take(reports: readonly UncheckedPosition[], outlet: IntakeOutlet): void {
    const storeNowMs = this.#edge.clock.storeNowMs();
    let newest: Position | null = null;
    let replacedSeqs: number[] | null = null;
    const inOrder = reports.length === 1 ? reports : [...reports].sort((a, b) => a.seq - b.seq);
    for (const report of inOrder) {
      const position = this.#checked(report, storeNowMs, outlet);
      if (position === null) continue;
      if (position.checkpoint) {
        this.#takeCheckpoint(position, storeNowMs, outlet);
      } else if (this.#follows(position, outlet)) {
        if (newest !== null) {
          replacedSeqs ??= [];
          replacedSeqs.push(newest.seq);
        }
        newest = position;
      }
    }
    if (newest !== null) this.#takeNewest(newest, replacedSeqs, storeNowMs, outlet);
  }

  /** One ordinary report that is known to be readable and on the map. */
  takeOne(position: Position, outlet: IntakeOutlet): void {
    const storeNowMs = this.#edge.clock.storeNowMs();
    if (!this.#isAhead(position, storeNowMs, outlet) && this.#follows(position, outlet))
      this.#takeNewest(position, null, storeNowMs, outlet);
  }

  /** The recorder refused this one. Returns what is refused with it. */
  refused(seq: number): readonly number[] {
    this.#refusedSeq = seq;
    const batch = this.#batches?.find((b) => b.newestSeq === seq);
    if (batch === undefined) return [];
    this.#closeBatches((b) => b !== batch);
    return batch.replacedSeqs;
  }

  /** The recorder accepted this one, and with it every earlier one. */
  accepted(seq: number): void {
    if (this.#batches !== null) this.#closeBatches((b) => b.newestSeq > seq);
  }

  #checked(report: UncheckedPosition, storeNowMs: number, outlet: IntakeOutlet): Position | null {
    const checked = checkReport(report, outlet.driverId, outlet.number);
    if (isFault(checked)) {
      if (checked.code === 'bad_message') outlet.badMessage(report.seq, checked.detail);
      else outlet.nack(checked.code, report.seq, checked.detail);
      return null;
    }
    return this.#isAhead(checked, storeNowMs, outlet) ? null : checked;
  }

  #isAhead(position: Position, storeNowMs: number, outlet: IntakeOutlet): boolean {
    const ahead = checkNotAhead(position, storeNowMs);
    if (ahead !== null) outlet.nack(ahead.code, position.seq, ahead.detail);
    return ahead !== null;
  }

  /** Whether an ordinary report is to be recorded; if not, its driver has been told why. */
  #follows(position: Position, outlet: IntakeOutlet): boolean {
    const { seq, recordedAtMs } = position;
    switch (orderOf(this, seq, recordedAtMs, false)) {
      case 'new':
        this.#passed(position);
        return true;
      case 'again':
        return this.#isWantedAgain(position, outlet);
      case 'stale':
        outlet.nack('stale', seq, `recorded ${this.newestTimeMs - recordedAtMs} ms before the newest report`);
        return false;
      case 'seq_must_grow':
        outlet.badMessage(seq, `seq must grow: the last one was ${this.lastSeq}`);
        return false;
    }
  }

  /** The last report once more: accepted, under way, refused but held, or refused and to be tried again. */
  #isWantedAgain(position: Position, outlet: IntakeOutlet): boolean {
    const { seq, recordedAtMs, session } = position;
    if (this.#ledger.repeatIfAccepted(seq)) {
      outlet.settleSoon();
      return false;
    }
    if (seq !== this.#refusedSeq) return false;
    const last = this.#edge.recorder.lastKnown(outlet.driverId);
    const isHeld = last?.seq === seq && last.recordedAtMs === recordedAtMs && last.session === session;
    if (isHeld) outlet.nack('region_unavailable', seq, 'still held: it is written when its region is back');
    return !isHeld;
  }

  #takeNewest(newest: Position, replaced: number[] | null, storeNowMs: number, outlet: IntakeOutlet): void {
    const old = checkAge(newest, storeNowMs, this.#edge.settings.freshnessMs);
    const full = replaced !== null && (this.#batches?.length ?? 0) >= MAX_OPEN_BATCHES;
    if (old !== null || full) {
      const { code, detail } = old ?? {
        code: 'too_fast' as const,
        detail: 'too many batches are not answered yet',
      };
      for (const seq of replaced ?? []) outlet.nack(code, seq, detail);
      outlet.nack(code, newest.seq, detail);
      this.#refusedSeq = newest.seq;
      return;
    }
    if (replaced !== null) {
      this.#batches ??= [];
      this.#batches.push({ newestSeq: newest.seq, replacedSeqs: replaced });
    }
    outlet.submit(newest);
  }

  #takeCheckpoint(position: Position, storeNowMs: number, outlet: IntakeOutlet): void {
    const { seq, recordedAtMs } = position;
    const old = checkAge(position, storeNowMs, this.#edge.settings.freshnessMs);
    if (old !== null) {
      outlet.nack(old.code, seq, old.detail);
      return;
    }
    const known = this.#ledger.knows(seq, recordedAtMs);
    const order = known ? 'again' : orderOf(this, seq, recordedAtMs, true);
    if (order === 'seq_must_grow') {
      outlet.badMessage(seq, `seq must grow: the last one was ${this.lastSeq}`);
    } else if (order === 'again' && this.#ledger.repeatIfAccepted(seq)) {
      outlet.settleSoon();
    } else if (!this.#ledger.isOpen(seq)) {
      this.#openCheckpoint(position, outlet);
    }
  }

  #openCheckpoint(position: Position, outlet: IntakeOutlet): void {
    const waiting = Math.max(
      this.#edge.recorder.waitingCheckpoints(outlet.driverId),
      this.#ledger.openCheckpoints(),
    );
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

  #closeBatches(keep: (batch: Batch) => boolean): void {
    const open = this.#batches?.filter(keep) ?? [];
    this.#batches = open.length === 0 ? null : open;
  }
}
