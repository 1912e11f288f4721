// One driver of a drill: a plain WebSocket that stands in its partition, reports, and writes down what it hears.
//
// It comes back by itself when its connection breaks, after the waits of the product's own client.

import type { Durability, PositionReport, ServerMessage } from '@whereabouts/client/protocol';
import { afterClose, DEFAULT_BACKOFF, reconnectDelayMs } from '@whereabouts/client/reconnect';
import { WebSocket } from 'ws';
import type { Acknowledged } from '../testing/driver-socket.js';

export interface Spot {
  partition: number;
  lat: number;
  lon: number;
}

export interface DriverBook {
  acknowledged(driver: DrillDriver, sentAtMs: number, report: Acknowledged, durability: Durability): void;
  persisted(driver: DrillDriver, seq: number): void;
  refused(driver: DrillDriver, code: string): void;
  connected(driver: DrillDriver): void;
}

interface Open {
  sentAtMs: number;
  report: PositionReport;
}

/** Degrees: it moves a few metres, so that each report is another position. */
const STEP_DEG = 0.00002;
const STEPS = 20;

export class DrillDriver {
  readonly driverId: string;
  readonly spot: Spot;
  /** In the order of their seq; nothing was heard of them yet. */
  open: Open[] = [];
  isOpen = false;
  /** What `hello` promised. */
  durability: Durability = 'cache';
  #ws: WebSocket | undefined;
  #session = 0;
  #seq = 0;
  #lastRecordedAtMs = 0;
  #clockOffsetMs = 0;
  #attempt = 0;
  #closing = false;
  readonly #url: string;
  readonly #token: string;
  readonly #book: DriverBook;

  constructor(url: string, token: string, driverId: string, spot: Spot, book: DriverBook) {
    this.#url = url;
    this.#token = token;
    this.driverId = driverId;
    this.spot = spot;
    this.#book = book;
  }

  connect(): void {
    const ws = new WebSocket(`${this.#url}/v1/stream?ack=each`, ['whereabouts.v1.json'], {
      headers: { authorization: `Bearer ${this.#token}` },
      perMessageDeflate: false,
      handshakeTimeout: 5_000,
    });
    this.#ws = ws;
    ws.on('message', (data) => this.#take(JSON.parse(data.toString()) as ServerMessage));
    ws.on('error', () => {}); // the close that follows says enough
    ws.on('close', (code) => {
      this.isOpen = false;
      this.open = []; // of these nothing will be heard
      if (this.#closing) return;
      const delayMs = reconnectDelayMs(afterClose(code), this.#attempt++, DEFAULT_BACKOFF, Math.random);
      setTimeout(() => this.#closing || this.connect(), delayMs);
    });
  }

  /** Returns its seq; null while there is no connection. */
  report(checkpointId?: string): number | null {
    if (!this.isOpen) return null;
    const step = (this.#seq % STEPS) * STEP_DEG;
    this.#lastRecordedAtMs = Math.max(this.#lastRecordedAtMs + 1, Date.now() + this.#clockOffsetMs);
    const report: PositionReport = {
      seq: ++this.#seq,
      recorded_at_ms: this.#lastRecordedAtMs,
      lat: this.spot.lat + step,
      lon: this.spot.lon + step,
      ...(checkpointId !== undefined && { checkpoint: true, checkpoint_id: checkpointId }),
    };
    this.open.push({ sentAtMs: performance.now(), report });
    this.#ws?.send(JSON.stringify({ type: 'position', ...report }));
    return report.seq;
  }

  close(): void {
    this.#closing = true;
    this.#ws?.terminate();
  }

  #take(message: ServerMessage): void {
    if (message.type === 'hello') {
      this.#session = message.session;
      this.#seq = 0;
      this.#attempt = 0;
      this.durability = message.durability;
      this.#clockOffsetMs = Math.min(0, message.server_time_ms - Date.now());
      this.isOpen = true;
      this.#book.connected(this);
    } else if (message.type === 'ack') this.#settle(message.seq, message.durability ?? this.durability);
    else if (message.type === 'persisted') this.#book.persisted(this, message.seq);
    else if (message.type === 'nack') {
      this.open = this.open.filter(({ report }) => report.seq !== message.seq);
      this.#book.refused(this, message.code);
    }
  }

  #settle(seq: number, durability: Durability): void {
    while (this.open[0] !== undefined && this.open[0].report.seq <= seq) {
      const { sentAtMs, report } = this.open.shift() as Open;
      const acknowledged = { driverId: this.driverId, session: this.#session, report };
      this.#book.acknowledged(this, sentAtMs, acknowledged, durability);
    }
  }
}
