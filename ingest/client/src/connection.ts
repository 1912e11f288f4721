// One WebSocket from its handshake to its end, in Node or in a browser; it speaks messages instead of frames. Always:
// `lost` is called exactly once, and nothing after it.
import { decodeServerMessage, encodeClientMessage } from './frame.js';
import {
  ABNORMAL_CLOSE,
  closeCodeOf,
  type HandshakeRefusal,
  type HttpAnswer,
  readRefusal,
} from './handshake-refusal.js';
import {
  CLOSE_CODES,
  type ClientMessage,
  type PositionReport,
  ProtocolError,
  type ServerMessage,
  SUBPROTOCOL_BEARER_PREFIX,
  SUBPROTOCOL_BIN,
  SUBPROTOCOL_JSON,
} from './protocol.js';
import { parseServerMessage } from './server-message.js';

export type Format = 'json' | 'bin';

/** The browser's WebSocket, or anything made like it. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => unknown;

interface Socket {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: { message?: string; error?: { code?: string } }) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  terminate?(): void;
}

/** How a connection ended, or why it was never made. */
export interface Loss {
  code: number;
  reason: string;
  /** The HTTP status of a refused handshake, if it is visible. */
  status: number | null;
  retryAfterMs: number;
}

export interface ConnectionEvents {
  opened(): void;
  received(message: ServerMessage): void;
  lost(loss: Loss): void;
}

type OpenSocket = (
  url: string,
  subprotocol: string,
  token: string,
  refused: (refusal: HandshakeRefusal) => void,
) => Socket;

/** With more than this unsent the network is behind. Positions age in a queue, so only the newest is worth sending. */
const CONGESTED_BYTES = 16 * 1024;
const MAX_SERVER_MESSAGE_BYTES = 64 * 1024;

let nodeOpener: Promise<OpenSocket> | undefined;

/**
 * How to open sockets here. Browsers and given constructors cannot set a header, so the token is then a subprotocol.
 */
export function socketOpener(given: WebSocketConstructor | undefined): Promise<OpenSocket> {
  const inNode = typeof process !== 'undefined' && process.versions?.node !== undefined;
  const browsers = (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  const WebSocketHere = given ?? (inNode ? undefined : browsers);
  if (WebSocketHere !== undefined)
    return Promise.resolve(
      (url, subprotocol, token) =>
        new WebSocketHere(url, [subprotocol, SUBPROTOCOL_BEARER_PREFIX + token]) as Socket,
    );
  nodeOpener ??= import('ws').then(
    ({ WebSocket }): OpenSocket =>
      (url, subprotocol, token, refused) => {
        const headers = { authorization: `Bearer ${token}` };
        const limits = { perMessageDeflate: false, maxPayload: MAX_SERVER_MESSAGE_BYTES };
        const socket = new WebSocket(url, [subprotocol], { headers, ...limits });
        socket.on('unexpected-response', async (_request: unknown, response: HttpAnswer) => {
          refused(await readRefusal(response));
          socket.terminate();
        });
        return socket as unknown as Socket;
      },
  );
  return nodeOpener;
}

export class Connection {
  readonly #socket: Socket;
  readonly #format: Format;
  readonly #events: ConnectionEvents;
  #refusal: HandshakeRefusal | undefined;
  #error = '';
  #hasOpened = false;
  #lost = false;

  constructor(open: OpenSocket, url: string, token: string, format: Format, events: ConnectionEvents) {
    this.#format = format;
    this.#events = events;
    const subprotocol = format === 'bin' ? SUBPROTOCOL_BIN : SUBPROTOCOL_JSON;
    this.#socket = open(url, subprotocol, token, (refusal) => {
      this.#refusal = refusal;
    });
    this.#socket.binaryType = 'arraybuffer';
    this.#socket.onopen = () => {
      this.#hasOpened = true;
      events.opened();
    };
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = ({ code, reason }) => this.#end(this.#lossOf(code, reason));
    this.#socket.onerror = ({ message, error }) => {
      // An attempt at several addresses reports its failure by its code alone.
      this.#error = message || error?.code || '';
    };
  }

  get congested(): boolean {
    return this.#socket.bufferedAmount > CONGESTED_BYTES;
  }

  send(message: ClientMessage<PositionReport>): void {
    this.#socket.send(this.#format === 'bin' ? encodeClientMessage(message) : JSON.stringify(message));
  }

  /** Closes politely; `lost` follows when the peer has answered. */
  close(): void {
    this.#socket.close(CLOSE_CODES.normal);
  }

  /** Ends it now, without waiting for the peer. */
  drop(code: number, reason: string): void {
    this.#end({ code, reason, status: null, retryAfterMs: 0 });
    if (this.#socket.terminate !== undefined) this.#socket.terminate();
    else this.#socket.close();
  }

  #receive(data: unknown): void {
    let message: ServerMessage;
    try {
      message =
        typeof data === 'string' ? parseServerMessage(data) : decodeServerMessage(data as ArrayBuffer);
    } catch (error) {
      if (error instanceof ProtocolError) return; // a later server may send more kinds of messages
      throw error;
    }
    this.#events.received(message);
  }

  /** Browsers reveal neither why a handshake failed nor that it was refused. */
  #lossOf(code: number, reason: string): Loss {
    if (this.#refusal !== undefined) return { ...this.#refusal, code: closeCodeOf(this.#refusal.status) };
    // A `WebSocket` that the app supplies may resemble `ws`, and report this much.
    const status = Number(/^Unexpected server response: (\d+)$/.exec(this.#error)?.[1] ?? 0);
    if (status > 0) return { code: closeCodeOf(status), reason: `HTTP ${status}`, status, retryAfterMs: 0 };
    const silence = this.#hasOpened ? 'the connection broke' : 'the connection could not be made';
    const why = code === ABNORMAL_CLOSE ? reason || this.#error || silence : reason;
    return { code, reason: why, status: null, retryAfterMs: 0 };
  }

  #end(loss: Loss): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#socket.onopen = null;
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    this.#socket.onerror = () => {}; // not null: `ws` would throw the error of a terminated handshake
    this.#events.lost(loss);
  }
}
