// A WebSocket client on a bare TCP socket, as cheap as Node's sockets allow: frames are prepared once and changed in
// place, the masking key is zero (a client's frame must carry one; zero leaves the payload as it is), and it reads of
// the server's frames only what a load needs.

import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

export interface WsSocketOptions {
  host: string;
  port: number;
  path: string;
  headers: Record<string, string>;
  /** One address of the loopback range holds about 28,000 connections to one port. */
  localAddress: string;
}

export interface WsSocketListener {
  open(): void;
  /** A whole message; valid during the call. */
  message(payload: Buffer, isBinary: boolean): void;
  closed(why: string): void;
}

const OPCODE_CLOSE = 0x8;
const OPCODE_PING = 0x9;
const MASKED = 0x80;
const HEADER_BYTES = 6;
const EMPTY = Buffer.alloc(0);

/** A frame of up to 125 bytes; the payload begins at `FRAME_PAYLOAD_AT`. */
export function clientFrame(payloadBytes: number, opcode: 1 | 2): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + payloadBytes);
  frame[0] = 0x80 | opcode;
  frame[1] = MASKED | payloadBytes;
  return frame;
}
export const FRAME_PAYLOAD_AT = HEADER_BYTES;

export class WsSocket {
  readonly #socket: Socket;
  readonly #listener: WsSocketListener;
  #upgraded = false;
  #rest: Buffer = EMPTY;

  constructor(options: WsSocketOptions, listener: WsSocketListener) {
    this.#listener = listener;
    const { host, port, path, headers, localAddress } = options;
    this.#socket = connect({ host, port, localAddress, noDelay: true });
    this.#socket.on('connect', () => {
      const lines = Object.entries({
        Host: `${host}:${port}`,
        Upgrade: 'websocket',
        Connection: 'Upgrade',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
        ...headers,
      }).map(([name, value]) => `${name}: ${value}\r\n`);
      this.#socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
    });
    this.#socket.on('data', (chunk) => this.#data(chunk));
    this.#socket.on('error', (error) => this.#socket.destroy(error));
    this.#socket.on('close', () => listener.closed(this.#upgraded ? 'connection closed' : 'no upgrade'));
  }

  send(frame: Buffer): void {
    this.#socket.write(frame);
  }

  #data(chunk: Buffer): void {
    let data = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    if (!this.#upgraded) {
      const end = data.indexOf('\r\n\r\n');
      if (end < 0) {
        this.#rest = data;
        return;
      }
      const status = data.subarray(0, data.indexOf('\r\n')).toString();
      if (!status.startsWith('HTTP/1.1 101')) {
        this.#socket.destroy();
        return;
      }
      this.#upgraded = true;
      data = data.subarray(end + 4);
      this.#listener.open();
    }
    const used = this.#frames(data);
    this.#rest = used < data.length ? Buffer.from(data.subarray(used)) : EMPTY;
  }

  /** Reads whole frames, and returns how many bytes they took. */
  #frames(data: Buffer): number {
    let at = 0;
    while (at + 2 <= data.length) {
      const opcode = (data[at] as number) & 0x0f;
      let length = (data[at + 1] as number) & 0x7f;
      let payloadAt = at + 2;
      if (length === 126) {
        if (at + 4 > data.length) break;
        length = data.readUInt16BE(at + 2);
        payloadAt = at + 4;
      }
      if (payloadAt + length > data.length) break;
      const payload = data.subarray(payloadAt, payloadAt + length);
      if (opcode === OPCODE_PING) this.#pong(payload);
      else if (opcode === OPCODE_CLOSE) this.#socket.end();
      else this.#listener.message(payload, opcode === 2);
      at = payloadAt + length;
    }
    return at;
  }

  #pong(payload: Buffer): void {
    const frame = Buffer.alloc(HEADER_BYTES + payload.length);
    frame[0] = 0x8a;
    frame[1] = MASKED | payload.length;
    payload.copy(frame, HEADER_BYTES);
    this.#socket.write(frame);
  }
}
