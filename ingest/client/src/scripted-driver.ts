// One connection of a driver, scripted by a test, a drill or a bench, in Node alone: it sends what it is given, valid
// or not, and passes on everything it receives. It repeats, corrects and reconnects nothing; DriverClient does that.
//
//  A load of thousands of drivers uses separate frames and sockets (bench/src/load), at a tenth of this one's CPU.
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { decodeServerMessage, encodeClientMessage } from './frame.js';
import type { ClientMessage, PositionReport, ServerMessage } from './protocol.js';

export interface ScriptedDriverOptions {
  /** With path and query. */
  url: string;
  token: string;
  binary?: boolean | undefined;
  /** Answer pings; true by default. */
  autoPong?: boolean | undefined;
  handshakeTimeoutMs?: number | undefined;
}

export interface ScriptedDriverListener {
  message(message: ServerMessage): void;
  ping?(): void;
  closed?(code: number): void;
}

export class ScriptedDriver {
  /** For what no driver sends: raw frames, pings, a broken socket. */
  readonly ws: WebSocket;
  closeCode: number | null = null;
  closeReason = '';
  readonly #binary: boolean;

  /** Connects; `hello` is still to come. */
  constructor(options: ScriptedDriverOptions, listener: ScriptedDriverListener) {
    const { url, token, binary = false, autoPong = true, handshakeTimeoutMs } = options;
    this.#binary = binary;
    this.ws = new WebSocket(url, [binary ? 'whereabouts.v1.bin' : 'whereabouts.v1.json'], {
      headers: { authorization: `Bearer ${token}` },
      autoPong,
      perMessageDeflate: false,
      ...(handshakeTimeoutMs !== undefined && { handshakeTimeout: handshakeTimeoutMs }),
    });
    this.ws.on('message', (data: Buffer, isBinary) => {
      if (isBinary !== binary) throw new Error(`the server answered with a ${isBinary ? 'frame' : 'text'}`);
      listener.message(binary ? decodeServerMessage(data) : JSON.parse(data.toString()));
    });
    this.ws.on('ping', () => listener.ping?.());
    this.ws.on('error', () => {}); // the close that follows shows what is wrong
    this.ws.on('close', (code, reason) => {
      this.closeCode = code;
      this.closeReason = reason.toString();
      listener.closed?.(code);
    });
  }

  send(message: ClientMessage<PositionReport>): void {
    this.ws.send(this.#binary ? encodeClientMessage(message) : JSON.stringify(message));
  }

  sendText(text: string): void {
    this.ws.send(text);
  }

  async close(): Promise<void> {
    await this.#end(() => this.ws.close(1000));
  }

  /** Disappears without a close, as in a tunnel. */
  async drop(): Promise<void> {
    await this.#end(() => this.ws.terminate());
  }

  async #end(end: () => void): Promise<void> {
    if (this.closeCode !== null) return;
    end();
    await once(this.ws, 'close');
  }
}
