// What one client is told. Nothing is sent to a socket that has gone, nor piled up before one that does not read.
import {
  CLOSE_CODES,
  type NackCode,
  nackMessage,
  RETRYABLE,
  type ServerMessage,
} from '@whereabouts/client/protocol';
import type { AckLedger } from './ack-ledger.js';
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

export class Outbox {
  readonly #edge: Edge;
  readonly #dialect: Dialect;
  readonly #ledger: AckLedger;
  /** Null from its close on. */
  #socket: Socket | null;
  #toldIntervalMs: number;

  constructor(edge: Edge, socket: Socket, dialect: Dialect, ledger: AckLedger) {
    this.#edge = edge;
    this.#socket = socket;
    this.#dialect = dialect;
    this.#ledger = ledger;
    this.#toldIntervalMs = edge.reportIntervalMs;
  }

  send(message: ServerMessage): void {
    this.#write(this.#dialect.encode(message));
  }

  acknowledge(seq: number, nowMs: number): void {
    if (seq === 0 || this.#socket === null) return;
    const durability = this.#ledger.degraded ? 'cache' : undefined;
    this.#ledger.told(seq, nowMs);
    this.#edge.counters.acks++;
    this.#write(this.#dialect.ack(seq, durability));
  }

  refuse(code: NackCode, seq: number | null, detail: string, retryAfterMs: number | null): void {
    if (this.#socket === null) return;
    // One that can be retried refuses all from the last acknowledgement on, so that goes out first.
    if (RETRYABLE[code]) this.acknowledge(this.#ledger.lastSeq(), this.#edge.clock.monotonicMs());
    this.#ledger.nacked();
    this.#edge.counters.nacks[code]++;
    this.send(nackMessage(code, seq, detail, retryAfterMs ?? undefined));
  }

  /** Where the pace has changed since this client last heard of it. */
  tellPace(): void {
    if (this.#toldIntervalMs === this.#edge.reportIntervalMs) return;
    this.#toldIntervalMs = this.#edge.reportIntervalMs;
    this.send({ type: 'pace', report_interval_ms: this.#toldIntervalMs });
  }

  ping(): void {
    this.#socket?.ping();
  }

  end(code: number, reason: string): void {
    this.#socket?.end(code, reason);
  }

  cutOff(): void {
    this.#socket?.close();
  }

  closed(): void {
    this.#socket = null;
  }

  #write(payload: Payload): void {
    if (this.#socket === null) return;
    this.#edge.counters.bytesOut += payload.length;
    if (this.#socket.send(payload, this.#dialect.binary) !== 0) return;
    if (this.#socket !== null && this.#socket.getBufferedAmount() > MAX_BUFFERED_BYTES) {
      this.end(CLOSE_CODES.overloaded, 'the client does not read what it is sent');
    }
  }
}
