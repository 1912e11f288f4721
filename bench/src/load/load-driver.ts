// One driver of a load: a frame that is changed in place, and the outcome of its reports.

import type { Latencies } from './latencies.js';
import { clientFrame, FRAME_PAYLOAD_AT, WsSocket, type WsSocketOptions } from './ws-socket.js';

export type Format = 'bin' | 'json';

export interface LoadTotals {
  open: number;
  closed: number;
  sent: number;
  acks: number;
  nacks: number;
}

const POSITION_BYTES = 28;
const TYPE_POSITION = 0x11;
const TYPE_ACK = 0x19;
const TYPE_NACK = 0x1b;
const STATUS_AVAILABLE = 1;
const NONE_U16 = 65_535;
/** About 10 m/s on the ground at one report in 2 s. */
const STEP_E7 = 1800;
const RECONNECT_MS = 2000;
/** Reports whose acknowledgement is still awaited; at one each 2 s this is more than the latencies can express. */
const REMEMBERED = 8;

export class LoadDriver {
  readonly #options: WsSocketOptions;
  #socket: WsSocket;
  readonly #format: Format;
  readonly #totals: LoadTotals;
  readonly #latencies: Latencies;
  readonly #frame = clientFrame(POSITION_BYTES, 2);
  #latE7: number;
  #lonE7: number;
  #seq = 0;
  /** By seq modulo REMEMBERED: an overloaded server acknowledges what was sent long before the newest. */
  readonly #sentAtMs = new Float64Array(REMEMBERED);
  readonly #recordedAtMs = new Float64Array(REMEMBERED);
  #ackedRecordedAtMs = 0;
  #isOpen = false;

  constructor(
    options: WsSocketOptions & { format: Format; lat: number; lon: number },
    totals: LoadTotals,
    latencies: Latencies,
  ) {
    this.#format = options.format;
    this.#totals = totals;
    this.#latencies = latencies;
    this.#latE7 = Math.round(options.lat * 1e7);
    this.#lonE7 = Math.round(options.lon * 1e7);
    const frame = this.#frame;
    frame[FRAME_PAYLOAD_AT] = TYPE_POSITION;
    for (const at of [19, 21, 23]) frame.writeUInt16LE(NONE_U16, FRAME_PAYLOAD_AT + at);
    frame[FRAME_PAYLOAD_AT + 25] = STATUS_AVAILABLE;
    this.#options = options;
    this.#socket = this.#connect();
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Of the newest acknowledged report; 0 before the first. */
  get ackedRecordedAtMs(): number {
    return this.#ackedRecordedAtMs;
  }

  report(nowMs: number): void {
    this.#seq++;
    this.#sentAtMs[this.#seq % REMEMBERED] = nowMs;
    this.#recordedAtMs[this.#seq % REMEMBERED] = Date.now();
    this.#latE7 += this.#seq % 2 === 0 ? STEP_E7 : -STEP_E7;
    this.#lonE7 += this.#seq % 4 < 2 ? STEP_E7 : -STEP_E7;
    this.#socket.send(this.#format === 'bin' ? this.#binary() : this.#json());
    this.#totals.sent++;
  }

  #connect(): WsSocket {
    return new WsSocket(this.#options, {
      open: () => {
        this.#isOpen = true;
        this.#seq = 0;
        this.#totals.open++;
      },
      message: (payload) => this.#message(payload),
      closed: () => {
        if (this.#isOpen) this.#totals.open--;
        this.#isOpen = false;
        this.#totals.closed++;
        setTimeout(() => {
          this.#socket = this.#connect();
        }, RECONNECT_MS * Math.random());
      },
    });
  }

  #binary(): Buffer {
    const frame = this.#frame;
    frame.writeUInt32LE(this.#seq, FRAME_PAYLOAD_AT + 1);
    frame.writeUIntLE(this.#recordedAtMs[this.#seq % REMEMBERED] as number, FRAME_PAYLOAD_AT + 5, 6);
    frame.writeInt32LE(this.#latE7, FRAME_PAYLOAD_AT + 11);
    frame.writeInt32LE(this.#lonE7, FRAME_PAYLOAD_AT + 15);
    return frame;
  }

  #json(): Buffer {
    const lat = this.#latE7 / 1e7;
    const lon = this.#lonE7 / 1e7;
    const recordedAtMs = this.#recordedAtMs[this.#seq % REMEMBERED];
    const text = `{"type":"position","seq":${this.#seq},"recorded_at_ms":${recordedAtMs},"lat":${lat},"lon":${lon}}`;
    const frame = clientFrame(text.length, 1);
    frame.write(text, FRAME_PAYLOAD_AT, 'latin1');
    return frame;
  }

  #message(payload: Buffer): void {
    if (this.#format === 'bin') {
      if (payload[0] === TYPE_ACK) this.#acknowledged(payload.readUInt32LE(1));
      else if (payload[0] === TYPE_NACK) this.#totals.nacks++;
      return;
    }
    const text = payload.toString('latin1');
    if (text.startsWith('{"type":"ack","seq":')) this.#acknowledged(Number.parseInt(text.slice(20), 10));
    else if (text.startsWith('{"type":"nack"')) this.#totals.nacks++;
  }

  #acknowledged(seq: number): void {
    this.#totals.acks++;
    const isForgotten = seq + REMEMBERED <= this.#seq;
    const sentAtMs = isForgotten ? Number.NEGATIVE_INFINITY : (this.#sentAtMs[seq % REMEMBERED] as number);
    this.#latencies.add(performance.now() - sentAtMs);
    if (isForgotten) return;
    const recordedAtMs = this.#recordedAtMs[seq % REMEMBERED] as number;
    this.#ackedRecordedAtMs = Math.max(this.#ackedRecordedAtMs, recordedAtMs);
  }
}
