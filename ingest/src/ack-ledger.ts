// What one connection has been told, and what it may be told next. Pure.
//
// An acknowledgement is cumulative: it settles every seq up to the one it names that was not nacked. So it may name the
// greatest accepted report, or checkpoint where every report before that has an answer. It never passes a checkpoint
// that is still open: up to one, it names the report before it. A nacked checkpoint holds nothing back; its seq is
// remembered, so that it can be sent again.
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
  /** Of reports that are no checkpoints: the greatest that was sent on, answered in whatever way, accepted. */
  #submittedSeq = 0;
  #answeredSeq = 0;
  #acceptedSeq = 0;
  /** The greatest accepted checkpoint. */
  #keptSeq = 0;
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

  /** A report that is no checkpoint, or not only one, goes to the recorder. */
  submitted(seq: number): void {
    if (seq > this.#submittedSeq) this.#submittedSeq = seq;
  }

  accept(seq: number, degraded: boolean): void {
    this.answered(seq);
    // Healed: nothing new to its driver.
    if (seq <= this.#acceptedSeq) return;
    if (degraded) this.#degraded = true;
    this.#acceptedSeq = seq;
    // Held when it was nacked, and passed by an acknowledgement since.
    if (seq <= this.#toldSeq) this.#repeat = true;
  }

  acceptCheckpoint(seq: number, degraded: boolean): void {
    if (degraded) this.#degraded = true;
    if (seq > this.#keptSeq) this.#keptSeq = seq;
    if (seq <= this.#toldSeq) this.#repeat = true;
    this.#urgent = true;
    this.#drop(seq);
  }

  /** All up to this seq have an answer, checkpoints excepted. */
  answered(seq: number): void {
    if (seq > this.#answeredSeq) this.#answeredSeq = seq;
  }

  /** A nack is sent: the client waits for an answer. */
  nacked(): void {
    this.#urgent = true;
  }

  /** The recorder refused this checkpoint. */
  refuseCheckpoint(seq: number, retryable: boolean): void {
    const checkpoint = this.#find(seq);
    if (checkpoint && retryable) checkpoint.open = false;
    else if (checkpoint) this.#drop(seq);
  }

  /** Sent again although accepted: the acknowledgement must have been missed. False: it is not accepted yet. */
  repeatIfAccepted(seq: number): boolean {
    if (seq > Math.max(this.#acceptedSeq, this.#keptSeq) || this.#find(seq)) return false;
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
    const isAllAnswered = this.#answeredSeq >= this.#submittedSeq;
    const seq = isAllAnswered ? Math.max(this.#acceptedSeq, this.#keptSeq) : this.#acceptedSeq;
    const open = this.#checkpoints?.find((c) => c.open);
    if (open === undefined || open.seq > seq) return seq;
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
