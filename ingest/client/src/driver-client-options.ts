// The options of a DriverClient, and its events.
import type { Format, WebSocketConstructor } from './connection.js';
import {
  type AckMessage,
  type AckMode,
  type HelloMessage,
  type NackMessage,
  type PaceMessage,
  type PersistedMessage,
  STREAM_PATH,
} from './protocol.js';
import type { BackoffBounds } from './reconnect.js';

export type ClientState = 'waiting' | 'connecting' | 'open' | 'refused' | 'closed';

export interface DriverClientOptions {
  /** `wss://host`, or with a path if a proxy needs one. */
  url: string;
  /** Give one of the two. `getToken` is called before each connection, and again before the token expires. */
  token?: string;
  getToken?: () => string | Promise<string>;
  ack?: AckMode;
  format?: Format;
  /** The browser's WebSocket is found automatically; in Node it is `ws` unless another is given. */
  WebSocket?: WebSocketConstructor;
  backoff?: Partial<BackoffBounds>;
  /** How long to wait before a refused token is tried again. */
  tokenBackoff?: Partial<BackoffBounds>;
  onState?: (state: ClientState) => void;
}

/** A connection has ended, or could not be made. */
export interface CloseEvent {
  code: number;
  reason: string;
  /** The HTTP status of a refused handshake; null if there was none, and in browsers. */
  status: number | null;
  /** Null if the client does not come back without help. */
  reconnectInMs: number | null;
}

/** The token, or what it allows, was refused; the close event follows. */
export interface RefusedEvent {
  /** 4401 or 4403: the server's close code, or what it would have been after the handshake. */
  code: number;
  reason: string;
  status: number | null;
  /** When the same token is tried again, if no other comes before; null if it is not. */
  retryInMs: number | null;
}

export interface CheckpointOptions {
  /** Rejects with the code `deadline` when the checkpoint is not persisted by then. */
  deadlineMs?: number;
}

export interface DriverClientEvents {
  open: undefined;
  hello: HelloMessage;
  ack: AckMessage;
  nack: NackMessage;
  persisted: PersistedMessage;
  pace: PaceMessage;
  refused: RefusedEvent;
  close: CloseEvent;
}

const SCHEMES = ['ws:', 'wss:', 'http:', 'https:'];

/** Throws a TypeError if the address cannot be a WebSocket's. */
export function streamUrl(url: string, ack: AckMode): string {
  const stream = new URL(url);
  if (!SCHEMES.includes(stream.protocol)) throw new TypeError(`url: ${url} is not a WebSocket's address`);
  stream.protocol = stream.protocol.replace('http', 'ws');
  stream.hash = '';
  if (stream.pathname === '/') stream.pathname = STREAM_PATH;
  stream.searchParams.set('ack', ack);
  return stream.href;
}
