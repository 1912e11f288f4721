// One WebSocket from its handshake to its end, in Node or in a browser, speaking messages instead of frames.
// Always: `lost` is called exactly once, and nothing after it.
import { decodeServerMessage, encodeClientMessage } from './frame.js';
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
  onerror: ((event: { message?: string }) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  terminate?(): void;
}

export interface ConnectionEvents {
  opened(): void;
  received(message: ServerMessage): void;
  lost(code: number, reason: string): void;
}

type OpenSocket = (url: string, subprotocol: string, token: string) => Socket;

/** Positions outlive no queue: with more than this unsent the network is behind, and only the newest is worth sending. */
const CONGESTED_BYTES = 16 * 1024;
const MAX_SERVER_MESSAGE_BYTES = 64 * 1024;
const ABNORMAL_CLOSE = 1006;

let nodeOpener: Promise<OpenSocket> | undefined;

/** How to open sockets here. Browsers and given constructors cannot set a header: the token is a subprotocol then. */
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
      (url, subprotocol, token) => {
        const headers = { authorization: `Bearer ${token}` };
        const limits = { perMessageDeflate: false, maxPayload: MAX_SERVER_MESSAGE_BYTES };
        return new WebSocket(url, [subprotocol], { headers, ...limits }) as unknown as Socket;
      },
  );
  return nodeOpener;
}

export class Connection {
  readonly #socket: Socket;
  readonly #format: Format;
  readonly #events: ConnectionEvents;
  #refusal: string | undefined;
  #lost = false;

  constructor(open: OpenSocket, url: string, token: string, format: Format, events: ConnectionEvents) {
    this.#format = format;
    this.#events = events;
    this.#socket = open(url, format === 'bin' ? SUBPROTOCOL_BIN : SUBPROTOCOL_JSON, token);
    this.#socket.binaryType = 'arraybuffer';
    this.#socket.onopen = () => events.opened();
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = ({ code, reason }) => this.#end(...this.#meaning(code, reason));
    this.#socket.onerror = ({ message }) => {
      this.#refusal = message;
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

  /** Ends it now, whatever the peer says or does not say. */
  drop(code: number, reason: string): void {
    this.#end(code, reason);
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

  /** A refused handshake means what the close code of the same trouble means; browsers do not tell it apart. */
  #meaning(code: number, reason: string): [number, string] {
    if (code !== ABNORMAL_CLOSE || this.#refusal === undefined) return [code, reason];
    const status = /^Unexpected server response: (\d+)$/.exec(this.#refusal)?.[1];
    if (status === '401') return [CLOSE_CODES.tokenExpired, 'HTTP 401'];
    if (status === '403') return [CLOSE_CODES.forbidden, 'HTTP 403'];
    if (status === '429' || status === '503') return [CLOSE_CODES.overloaded, `HTTP ${status}`];
    return [code, status === undefined ? this.#refusal : `HTTP ${status}`];
  }

  #end(code: number, reason: string): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#socket.onopen = null;
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    this.#socket.onerror = () => {}; // not null: `ws` would throw the error of a terminated handshake
    this.#events.lost(code, reason);
  }
}
