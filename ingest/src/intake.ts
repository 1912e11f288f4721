// The reports of one connection, in the order in which they come: a verdict on each. Pure but for what it remembers.
import { MAX_CHECKPOINT_AGE_MS } from '@whereabouts/client/protocol';
import type { AckLedger } from './ack-ledger.js';
import { checkAge, checkNotAhead, type Fault } from './report.js';

// Whether a report may follow those that its connection has sent before:
//
//   seq      time against the newest   verdict
//   grows    later                     new
//   grows    the same or older         stale; a checkpoint is new all the same, as it need not move the driver
//   the last one's, and its time too   again: sent once more
//   below      the same or older       stale, as it is out of date whatever it is
//   any other                          seq_must_grow: an answer to that seq would name two reports

export interface SentBefore {
  /** The newest report that was let through; 0 before the first. */
  readonly lastSeq: number;
  readonly lastSeqTimeMs: number;
  readonly newestTimeMs: number;
}

export type OrderVerdict = 'new' | 'again' | 'stale' | 'seq_must_grow';

export function orderOf(before: SentBefore, seq: number, timeMs: number, checkpoint: boolean): OrderVerdict {
  if (seq > before.lastSeq) return checkpoint || timeMs > before.newestTimeMs ? 'new' : 'stale';
  if (seq === before.lastSeq && timeMs === before.lastSeqTimeMs) return 'again';
  return !checkpoint && seq < before.lastSeq && timeMs <= before.newestTimeMs ? 'stale' : 'seq_must_grow';
}

/** The store's time, and for how long this process stood still just now: what is read then may have waited so long. */
export interface ReadAt {
  storeNowMs: number;
  stalledMs: number;
}

/**
 * record: its driver's newest. refused_before: the last report once more, after a nack. acknowledged: once more, and its
 * acknowledgement must have been missed. under_way: once more, and its answer is to come.
 */
export type Verdict = Fault | 'record' | 'refused_before' | 'acknowledged' | 'under_way';

export class Intake implements SentBefore {
  lastSeq = 0;
  lastSeqTimeMs = 0;
  newestTimeMs = 0;
  /** The last refusal of a report that was in order: that seq may be sent again. */
  #refusedSeq = 0;
  readonly #ledger: AckLedger;

  constructor(ledger: AckLedger) {
    this.#ledger = ledger;
  }

  /** Checks an ordinary report, except its age: of several reports only the newest has to be young (`checkAge`). */
  judge(seq: number, recordedAtMs: number, storeNowMs: number): Verdict {
    const ahead = checkNotAhead(recordedAtMs, storeNowMs);
    if (ahead !== null) return ahead;
    switch (orderOf(this, seq, recordedAtMs, false)) {
      case 'new':
        this.#passed(seq, recordedAtMs);
        return 'record';
      case 'again':
        if (this.#ledger.repeatIfAccepted(seq)) return 'acknowledged';
        return seq === this.#refusedSeq ? 'refused_before' : 'under_way';
      case 'stale': {
        const detail = `recorded ${this.newestTimeMs - recordedAtMs} ms before the newest report`;
        return { code: 'stale', detail };
      }
      case 'seq_must_grow':
        return this.#seqMustGrow();
    }
  }

  /** On a checkpoint. Whether it is the driver's newest place too is for `isNewest`, asked before. */
  judgeCheckpoint(seq: number, recordedAtMs: number, { storeNowMs, stalledMs }: ReadAt): Verdict {
    const fault =
      checkNotAhead(recordedAtMs, storeNowMs) ??
      checkAge(recordedAtMs, storeNowMs - stalledMs, MAX_CHECKPOINT_AGE_MS);
    if (fault !== null) return fault;
    const isKnown = this.#ledger.knows(seq, recordedAtMs);
    const order = isKnown ? 'again' : orderOf(this, seq, recordedAtMs, true);
    if (order === 'seq_must_grow') return this.#seqMustGrow();
    if (order === 'again' && this.#ledger.repeatIfAccepted(seq)) return 'acknowledged';
    return this.#ledger.isOpen(seq) ? 'under_way' : 'record';
  }

  /** Whether a checkpoint is no older than any report of this connection. */
  isNewest(recordedAtMs: number): boolean {
    return recordedAtMs > this.newestTimeMs;
  }

  opened(seq: number, recordedAtMs: number): void {
    this.#ledger.open(seq, recordedAtMs, this.lastSeq);
    this.#passed(seq, recordedAtMs);
  }

  refused(seq: number): void {
    this.#refusedSeq = seq;
  }

  #seqMustGrow(): Fault {
    return { code: 'bad_message', detail: `seq must grow: the last one was ${this.lastSeq}` };
  }

  #passed(seq: number, recordedAtMs: number): void {
    if (seq > this.lastSeq) {
      this.lastSeq = seq;
      this.lastSeqTimeMs = recordedAtMs;
    }
    if (recordedAtMs > this.newestTimeMs) this.newestTimeMs = recordedAtMs;
  }
}
