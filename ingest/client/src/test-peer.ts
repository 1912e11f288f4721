// A WebSocket server for the client's tests: real sockets, and answers that the test scripts.
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { decodeClientMessage, encodeServerMessage } from './frame.js';
import {
  type ClientMessage,
  type HelloLimits,
  parseClientMessage,
  type ServerMessage,
  SUBPROTOCOL_BIN,
} from './protocol.js';

export const LIMITS: HelloLimits = {
  report_interval_ms: 0,
  max_reports_per_s: 1000,
  burst: 1000,
  max_message_bytes: 4096,
  max_positions: 100,
  freshness_ms: 10_000,
  max_clock_ahead_ms: 5000,
  max_waiting_checkpoints: 10,
};

export class Peer {
  readonly request: IncomingMessage;
  readonly received: ClientMessage[] = [];
  readonly #socket: WebSocket;

  constructor(
    socket: WebSocket,
    request: IncomingMessage,
    onMessage: (peer: Peer, m: ClientMessage) => void,
  ) {
    this.#socket = socket;
    this.request = request;
    socket.on('message', (data: Buffer, isBinary) => {
      const message = isBinary ? decodeClientMessage(data) : parseClientMessage(data.toString());
      this.received.push(message);
      onMessage(this, message);
    });
  }

  get positions() {
    return this.received.filter((message) => message.type === 'position');
  }

  send(message: ServerMessage): void {
    const isBinary = this.#socket.protocol === SUBPROTOCOL_BIN;
    this.#socket.send(isBinary ? encodeServerMessage(message) : JSON.stringify(message));
  }

  sendText(text: string): void {
    this.#socket.send(text);
  }

  hello(limits: Partial<HelloLimits> = {}, serverTimeMs = Date.now()): void {
    const all = { ...LIMITS, ...limits };
    this.send({
      type: 'hello',
      session: serverTimeMs,
      server_time_ms: serverTimeMs,
      limits: all,
      durability: 'cache',
    });
  }

  close(code: number): void {
    this.#socket.close(code);
  }

  /** As if its process was killed. */
  cut(): void {
    this.#socket.terminate();
  }
}

export interface TestRefusal {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

export interface PeerScript {
  /** The HTTP status of a refusal, or more of it, or undefined to accept. */
  upgrade?(request: IncomingMessage, nth: number): number | TestRefusal | undefined;
  connection?(peer: Peer, nth: number): void;
  message?(peer: Peer, message: ClientMessage): void;
}

export class TestServer {
  readonly peers: Peer[] = [];
  readonly url: string;
  upgrades = 0;
  readonly #close: () => Promise<void>;

  private constructor(port: number, close: () => Promise<void>) {
    this.url = `ws://127.0.0.1:${port}`;
    this.#close = close;
  }

  static async start(script: PeerScript = {}): Promise<TestServer> {
    const http = createServer();
    const sockets = new WebSocketServer({ noServer: true });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    const server = new TestServer((http.address() as AddressInfo).port, async () => {
      for (const socket of sockets.clients) socket.terminate();
      http.closeAllConnections();
      http.close();
      await once(http, 'close');
    });
    http.on('upgrade', (request, socket, head) => {
      const nth = ++server.upgrades;
      const refusal = script.upgrade?.(request, nth);
      if (refusal !== undefined) {
        socket.on('error', () => {}); // of a client that does not read to the end
        return socket.end(httpText(refusal));
      }
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        const peer = new Peer(webSocket, request, (from, message) => script.message?.(from, message));
        server.peers.push(peer);
        if (script.connection) script.connection(peer, nth);
        else peer.hello();
      });
      return undefined;
    });
    return server;
  }

  get last(): Peer {
    const peer = this.peers.at(-1);
    if (peer === undefined) throw new Error('nobody has connected');
    return peer;
  }

  stop(): Promise<void> {
    return this.#close();
  }
}

function httpText(refusal: number | TestRefusal): string {
  const { status, headers = {}, body = '' } = typeof refusal === 'number' ? { status: refusal } : refusal;
  const lines = Object.entries({ ...headers, connection: 'close' }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  return [`HTTP/1.1 ${status} No`, ...lines, '', body].join('\r\n');
}

/** Polls until the condition holds; fails at the deadline with what it was waiting for. */
export async function until(what: string, holds: () => boolean, deadlineMs = 10_000): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
