// Sends the answers to one client, and ends the connection if it is refused too often. Sends nothing to a closed socket,
// and buffers nothing for a client that does not read.
import {
  CLOSE_CODES,
  type NackCode,
  nackMessage,
  RETRYABLE,
  type ServerMessage,
} from '@whereabouts/client/protocol';
import type { AckLedger } from './ack-ledger.js';
import { type Conduct, CUT_OFF } from './conduct.js';
import type { Dialect, Payload } from './dialect.js';
import type { Edge } from './edge.js';

/** What is needed of a WebSocket. */
export interface Socket {
  /** 1 sent, 0 queued behind what the client has not read, 2 dropped. */
  send(payload: Payload, isBinary: boolean): number;
  getBufferedAmount(): number;
  ping(): number;
  /** Calls the close handler before it returns. */
  end(code: number, reason: string): void;
  /** The same at once and without a word: what is still in the socket is not read. */
  close(): void;
}

// uWebSockets.js's own limit lies above, so that we close first and the client learns why.
const MAX_BUFFERED_BYTES = 8 * 1024;
const RETRY_AFTER_MS = 1000;
const MAX_AFTER_VERDICT = 100;

export class Answers {
  readonly #edge: Edge;
  readonly #dialect: Dialect;
  readonly #ledger: AckLedger;
  readonly #conduct: Conduct;
  /** Null from its close on. */
  #socket: Socket | null;
  #toldIntervalMs: number;
  /** Messages that came in the turn in which it was decided that this connection ends; -1: it goes on. */
  #afterVerdict = -1;

  constructor(edge: Edge, socket: Socket, dialect: Dialect, ledger: AckLedger, conduct: Conduct) {
    this.#edge = edge;
    this.#socket = socket;
    this.#dialect = dialect;
    this.#ledger = ledger;
    this.#conduct = conduct;
    this.#toldIntervalMs = edge.reportIntervalMs;
  }

  send(message: ServerMessage): void {
    this.#write(this.#dialect.encode(message));
  }

  /** What is due by now. */
  acknowledge(nowMs: number): void {
    this.#acknowledge(this.#ledger.dueSeq(nowMs), nowMs);
  }

  /** Where `retryAfterMs` is not given, a code that is worth another try says a second. `count`: it refuses so many. */
  refuse(code: NackCode, seq: number | null, detail: string, retryAfterMs?: number | null, count = 1): void {
    if (this.#socket === null) return;
    const nowMs = this.#edge.clock.monotonicMs();
    // A retryable nack refuses everything since the last acknowledgement, so that is sent first.
    if (RETRYABLE[code]) this.#acknowledge(this.#ledger.lastSeq(), nowMs);
    this.#ledger.nacked();
    this.#edge.counters.nacks[code]++;
    const afterMs = retryAfterMs === undefined && RETRYABLE[code] ? RETRY_AFTER_MS : retryAfterMs;
    this.send(nackMessage(code, seq, detail, afterMs ?? undefined));
    this.countRefusal(code, count);
  }

  badMessage(seq: number | null, detail: string, count = 1): void {
    this.#edge.counters.messages.unreadable++;
    this.refuse('bad_message', seq, detail, undefined, count);
  }

  tooFast(seq: number | null, more = ''): void {
    this.refuse('too_fast', seq, this.#tooFastDetail() + more);
  }

  /** A client that is refused too often, for whatever reason, is disconnected. */
  countRefusal(code: NackCode, count = 1): void {
    const nowMs = this.#edge.clock.monotonicMs();
    const end = this.#conduct.refused(code, nowMs, count);
    if (end === CUT_OFF) this.#cutOff();
    else if (end === CLOSE_CODES.tooFast) this.#endWith(end, this.#tooFastDetail());
    else if (end !== null) this.#endWith(end, 'too many messages that were refused');
  }

  /** False if this connection is about to end. Call it once for each message. */
  mayListen(): boolean {
    if (this.#afterVerdict < 0) return true;
    if (++this.#afterVerdict > MAX_AFTER_VERDICT) this.#cutOff();
    return false;
  }

  /** If the pace has changed since this client last got it. */
  tellPace(): void {
    if (this.#toldIntervalMs === this.#edge.reportIntervalMs) return;
    this.#toldIntervalMs = this.#edge.reportIntervalMs;
    this.send({ type: 'pace', report_interval_ms: this.#toldIntervalMs });
  }

  ping(): void {
    this.#socket?.ping();
  }

  /** Says what is still to be said, then ends the connection. */
  close(code: number, reason: string): void {
    if (this.#socket === null) return;
    this.#acknowledge(this.#ledger.lastSeq(), this.#edge.clock.monotonicMs());
    this.#socket?.end(code, reason);
  }

  /** The socket has gone. */
  closed(): void {
    this.#socket = null;
  }

  #acknowledge(seq: number, nowMs: number): void {
    if (seq === 0 || this.#socket === null) return;
    const durability = this.#ledger.degraded ? 'cache' : undefined;
    this.#ledger.told(seq, nowMs);
    this.#edge.counters.acks++;
    this.#write(this.#dialect.ack(seq, durability));
  }

  /** At the end of this turn: by then a flood can be recognised. */
  #endWith(code: number, reason: string): void {
    if (this.#afterVerdict >= 0) return;
    this.#afterVerdict = 0;
    setImmediate(() => this.close(code, reason));
  }

  /** Without a word, as uWebSockets.js goes on reading a socket that it closes in good order. */
  #cutOff(): void {
    this.#conduct.strike(this.#edge.clock.monotonicMs());
    this.#socket?.close();
  }

  #tooFastDetail(): string {
    return `more than ${this.#edge.settings.maxReportsPerS} reports a second`;
  }

  #write(payload: Payload): void {
    if (this.#socket === null) return;
    this.#edge.counters.bytesOut += payload.length;
    if (this.#socket.send(payload, this.#dialect.binary) !== 0) return;
    if (this.#socket !== null && this.#socket.getBufferedAmount() > MAX_BUFFERED_BYTES) {
      this.#socket.end(CLOSE_CODES.overloaded, 'the client does not read what it is sent');
    }
  }
}
