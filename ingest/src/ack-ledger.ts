// What one connection has been told, and what it may be told next. Pure.
//
// An acknowledgement is cumulative: it settles every seq up to the one it names that was not nacked. So it may
// name the greatest accepted seq, but never passes a checkpoint that is still open: up to one, it names the
// report before it. A nacked checkpoint holds nothing back; its seq is remembered, so that it can be sent again.
import { MAX_WAITING_CHECKPOINTS, SPARSE_ACK_INTERVAL_MS } from '@whereabouts/client/protocol';

interface Checkpoint {
  seq: number;
  timeMs: number;
  /** The last seq before it. */
  previousSeq: number;
  open: boolean;
}

export class AckLedger {
  readonly #sparse: boolean;
  #acceptedSeq = 0;
  #toldSeq = 0;
  #toldAtMs = 0;
  /** The next acknowledgement is not thinned. */
  #urgent = true;
  /** Something was accepted again whose seq had been passed: the same acknowledgement is due once more. */
  #repeat = false;
  /** Something since the last acknowledgement is less durable than promised. */
  #degraded = false;
  /** In order of seq; null for nearly every driver at nearly every time. */
  #checkpoints: Checkpoint[] | null = null;

  constructor(sparse: boolean) {
    this.#sparse = sparse;
  }

  get degraded(): boolean {
    return this.#degraded;
  }

  get acceptedSeq(): number {
    return this.#acceptedSeq;
  }

  /** A checkpoint goes to the recorder. The caller has seen to it that not too many are open. */
  open(seq: number, timeMs: number, previousSeq: number): void {
    this.#checkpoints ??= [];
    const known = this.#find(seq);
    if (known) {
      known.open = true;
      return;
    }
    // Nacked ones that were never sent again make room.
    if (this.#checkpoints.length >= 2 * MAX_WAITING_CHECKPOINTS) {
      this.#checkpoints.splice(
        this.#checkpoints.findIndex((c) => !c.open),
        1,
      );
    }
    this.#checkpoints.push({ seq, timeMs, previousSeq, open: true });
  }

  isOpen(seq: number): boolean {
    return this.#find(seq)?.open === true;
  }

  /** Whether this very checkpoint was sent before and is open or was nacked. */
  knows(seq: number, timeMs: number): boolean {
    return this.#find(seq)?.timeMs === timeMs;
  }

  openCheckpoints(): number {
    return this.#checkpoints?.reduce((count, c) => count + (c.open ? 1 : 0), 0) ?? 0;
  }

  accept(seq: number, checkpoint: boolean, degraded: boolean): void {
    if (seq > this.#acceptedSeq) this.#acceptedSeq = seq;
    if (degraded) this.#degraded = true;
    if (!checkpoint) return;
    if (seq <= this.#toldSeq) this.#repeat = true;
    this.#urgent = true;
    this.#drop(seq);
  }

  /** A nack goes out, for whatever reason: the client is waiting for news. */
  nacked(): void {
    this.#urgent = true;
  }

  /** The recorder refused this seq. */
  refuse(seq: number, retryable: boolean): void {
    const checkpoint = this.#find(seq);
    if (checkpoint && retryable) checkpoint.open = false;
    else if (checkpoint) this.#drop(seq);
  }

  /** Sent again although accepted: the acknowledgement must have been missed. False: it is not accepted yet. */
  repeatIfAccepted(seq: number): boolean {
    if (seq > this.#acceptedSeq || this.#find(seq)) return false;
    this.#repeat = true;
    this.#urgent = true;
    return true;
  }

  /** The next acknowledgement is due at once. */
  hurry(): void {
    this.#urgent = true;
    this.#repeat = this.#toldSeq > 0;
  }

  /** The seq that an acknowledgement should name now, or 0. */
  dueSeq(nowMs: number): number {
    const seq = this.#nameable();
    if (seq === 0 || (seq <= this.#toldSeq && !this.#repeat)) return 0;
    if (this.#sparse && !this.#urgent && nowMs - this.#toldAtMs < SPARSE_ACK_INTERVAL_MS) return 0;
    return seq;
  }

  /** As dueSeq, without the thinning: for the last word on a connection. */
  lastSeq(): number {
    const seq = this.#nameable();
    return seq > this.#toldSeq || this.#repeat ? seq : 0;
  }

  told(seq: number, nowMs: number): void {
    this.#toldSeq = Math.max(this.#toldSeq, seq);
    this.#toldAtMs = nowMs;
    this.#urgent = false;
    this.#repeat = false;
    this.#degraded = false;
  }

  #nameable(): number {
    const open = this.#checkpoints?.find((c) => c.open);
    if (open === undefined || open.seq > this.#acceptedSeq) return this.#acceptedSeq;
    return open.previousSeq < this.#toldSeq ? 0 : open.previousSeq;
  }

  #find(seq: number): Checkpoint | undefined {
    return this.#checkpoints?.find((c) => c.seq === seq);
  }

  #drop(seq: number): void {
    if (this.#checkpoints === null) return;
    const at = this.#checkpoints.findIndex((c) => c.seq === seq);
    if (at >= 0) this.#checkpoints.splice(at, 1);
    if (this.#checkpoints.length === 0) this.#checkpoints = null;
  }
}
