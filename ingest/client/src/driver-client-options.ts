// What a DriverClient is given, and what it tells.
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
  /** `wss://host`, or with a path of its own where a proxy wants one. */
  url: string;
  /** One of the two. `getToken` is asked before each connection, and again before the token ends. */
  token?: string;
  getToken?: () => string | Promise<string>;
  ack?: AckMode;
  format?: Format;
  /** Browsers' own is found by itself; in Node it is `ws` unless another is given. */
  WebSocket?: WebSocketConstructor;
  backoff?: Partial<BackoffBounds>;
  onState?: (state: ClientState) => void;
}

export interface CloseEvent {
  code: number;
  reason: string;
  /** Null where the client does not come back by itself. */
  reconnectInMs: number | null;
}

export interface DriverClientEvents {
  open: undefined;
  hello: HelloMessage;
  ack: AckMessage;
  nack: NackMessage;
  persisted: PersistedMessage;
  pace: PaceMessage;
  close: CloseEvent;
}

export function streamUrl(url: string, ack: AckMode): string {
  const stream = new URL(url);
  if (stream.pathname === '/') stream.pathname = STREAM_PATH;
  stream.searchParams.set('ack', ack);
  return stream.href;
}
