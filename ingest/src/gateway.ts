// The only file that knows uWebSockets.js. Its manners, each of which ends the process or lies when forgotten:
// - a request is gone after the first await, a message after its callback, a socket after its close;
// - a request that is not answered needs an abort handler, and answers belong inside `cork`;
// - its own closes (too large, too much unread, idle) reach the client as 1006, so our limits lie below its own;
// - it never ends a request that we leave unanswered;
// - by default several processes share a port, and a second one that means to be alone does not notice.

import './header-limit.js';
import {
  App,
  type HttpRequest,
  type HttpResponse,
  type ListenOptions,
  type TemplatedApp,
  type us_listen_socket,
  us_listen_socket_close,
  us_socket_local_port,
  type WebSocket,
} from 'uWebSockets.js';
import { STREAM_PATH } from '@whereabouts/client/protocol';
import { withDeadline } from '@whereabouts/infra/service/deadline';
import { claimedSubject, TokenError, type VerifiedToken } from '@whereabouts/infra/service/tokens';
import {
  type Admission,
  isRefusal,
  NOT_FOUND,
  problemJson,
  type Refusal,
  readUpgrade,
  refusalOf,
  tooOften,
  UPGRADE_REQUIRED,
  unavailable,
} from './admission.js';
import { type Connection, MAX_BATCH_BYTES } from './connection.js';
import type { Connections } from './connections.js';
import { BINARY_DIALECT, JSON_DIALECT } from './dialect.js';
import type { Edge } from './edge.js';
import { type HandshakeLimits, Handshakes } from './handshakes.js';

export interface GatewayParts {
  edge: Edge;
  connections: Connections;
  host: string;
  port: number;
  /** Several processes listen on the same port. */
  sharesPort: boolean;
  /** The reason to refuse all connections now, or null. */
  unready(): string | null;
  handshakeLimits: HandshakeLimits;
}

export class ListenError extends Error {
  readonly code = 'port_taken';
}

/** What uWebSockets.js keeps with a socket: it copies these properties, so there is one. */
interface SocketData {
  connection: Connection | null;
}

interface Handshake {
  res: HttpResponse;
  key: string;
  context: Parameters<HttpResponse['upgrade']>[4];
  aborted: boolean;
}

// The package's types name the enum, which exists only in them.
const SHARED = 0 as ListenOptions;
const EXCLUSIVE = 1 as ListenOptions;
const UPGRADE_DEADLINE_MS = 2000;
// A backstop: connections are pinged after 12 s and closed after 30 s of silence, with a code.
const IDLE_TIMEOUT_S = 60;
const MAX_PAYLOAD_BYTES = MAX_BATCH_BYTES + 8 * 1024;
const MAX_BACKPRESSURE_BYTES = 16 * 1024;

export class Gateway {
  readonly #parts: GatewayParts;
  readonly #app: TemplatedApp;
  readonly #handshakes: Handshakes;
  #listenSocket: us_listen_socket | null = null;
  #admitting = 0;
  /** The WebSocket that the upgrade under way has become. */
  #opened: WebSocket<SocketData> | null = null;
  /** Any open one. */
  #anchor: WebSocket<SocketData> | null = null;

  static async listen(parts: GatewayParts): Promise<Gateway> {
    const gateway = new Gateway(parts);
    gateway.#listenSocket = await listen(
      gateway.#app,
      parts.host,
      parts.port,
      parts.sharesPort ? SHARED : EXCLUSIVE,
    );
    return gateway;
  }

  private constructor(parts: GatewayParts) {
    this.#parts = parts;
    this.#handshakes = new Handshakes(parts.handshakeLimits);
    this.#app = App();
    this.#app.filter((res, change) => this.#count(res, change));
    this.#app.ws<SocketData>(STREAM_PATH, {
      maxPayloadLength: MAX_PAYLOAD_BYTES,
      idleTimeout: IDLE_TIMEOUT_S,
      sendPingsAutomatically: false,
      maxBackpressure: MAX_BACKPRESSURE_BYTES,
      closeOnBackpressureLimit: true,
      upgrade: (res, req, context) => this.#upgrade(res, req, context),
      open: (ws) => {
        this.#opened = ws;
      },
      message: (ws, message, isBinary) => ws.getUserData().connection?.received(message, isBinary),
      ping: (ws) => ws.getUserData().connection?.receivedControl('ping'),
      pong: (ws) => ws.getUserData().connection?.receivedControl('pong'),
      close: (ws, code) => this.#close(ws, code),
    });
    this.#app.any('/*', (res, req) => {
      this.#handshakes.asked(addressOf(res));
      this.#refuse(res, req.getUrl() === STREAM_PATH ? UPGRADE_REQUIRED : NOT_FOUND);
    });
  }

  get port(): number {
    // The types know sockets of connections only; the function reads a listening one just as well.
    return this.#listenSocket === null ? 0 : us_socket_local_port(this.#listenSocket as never);
  }

  /** Sockets that are no WebSocket. */
  get handshakes(): number {
    return this.#handshakes.size;
  }

  /** About once a second. */
  look(): void {
    this.#handshakes.forgetOld(this.#parts.edge.clock.monotonicMs());
  }

  /** Upgrades whose token is being verified: they count as connections. */
  get admitting(): number {
    return this.#admitting;
  }

  stopListening(): void {
    if (this.#listenSocket !== null) us_listen_socket_close(this.#listenSocket);
    this.#listenSocket = null;
  }

  /** Ends whatever is still open, without a word. */
  close(): void {
    this.stopListening();
    this.#app.close();
  }

  /** A socket opened (1), or one that is no WebSocket closed (-1). Beyond the limits it is refused before it asks. */
  #count(res: HttpResponse, change: number): void {
    if (change < 0) {
      this.#handshakes.left();
      return;
    }
    const address = addressOf(res);
    if (this.#handshakes.opened(address, this.#parts.edge.clock.monotonicMs())) return;
    res.cork(() => this.#refuse(res, unavailable('handshakes', 'too many connections that ask for nothing')));
  }

  #upgrade(res: HttpResponse, req: HttpRequest, context: Handshake['context']): void {
    this.#handshakes.asked(addressOf(res));
    const handshake: Handshake = { res, key: req.getHeader('sec-websocket-key'), context, aborted: false };
    const admission = readUpgrade({
      // Undefined, although the types promise an empty string.
      query: (req.getQuery() as string | undefined) ?? '',
      authorization: req.getHeader('authorization'),
      subprotocols: req.getHeader('sec-websocket-protocol'),
    });
    const refusal = isRefusal(admission)
      ? admission
      : (this.#refusalNow() ?? this.#pauseOf(claimedSubject(admission.token)));
    if (refusal !== null) {
      this.#refuse(res, refusal);
      return;
    }
    res.onAborted(() => {
      handshake.aborted = true;
    });
    void this.#admit(handshake, admission as Admission);
  }

  async #admit(handshake: Handshake, admission: Admission): Promise<void> {
    this.#admitting++;
    const answer = await this.#verified(admission.token);
    this.#admitting--;
    if (handshake.aborted) return;
    const { res, key, context } = handshake;
    const refusal = isToken(answer) ? (this.#refusalNow() ?? this.#admissionOf(answer.subject)) : answer;
    if (refusal !== null || !isToken(answer)) {
      res.cork(() => this.#refuse(res, refusal ?? NOT_FOUND));
      return;
    }
    this.#opened = null;
    this.#handshakes.left();
    this.#uncorked(res, () =>
      res.upgrade<SocketData>({ connection: null }, key, admission.subprotocol, '', context),
    );
    this.#connect(admission, answer);
  }

  /**
   * When `cork` ends it reads the state of the response once more. An upgrade has already freed that memory: what is
   * there now may read as "to be closed", and the new WebSocket is closed (one of 600 to 2,000 on a busy machine).
   * `cork` does not read it while another socket is corked. So we cork another one during the upgrade; the price is
   * that the dozen lines of the answer are sent one by one. With no other socket open we accept the risk, and allocate
   * as little as possible before `cork` ends: the connection is made after it, not in the open handler.
   */
  #uncorked(res: HttpResponse, upgrade: () => void): void {
    if (this.#anchor === null) res.cork(upgrade);
    else this.#anchor.cork(() => res.cork(upgrade));
  }

  #connect({ ackMode, binary }: Admission, { subject, expiresAtMs }: VerifiedToken): void {
    const ws = this.#opened;
    this.#opened = null;
    if (ws === null) return;
    this.#anchor ??= ws;
    ws.getUserData().connection = this.#parts.connections.open(
      {
        driverId: subject,
        tokenExpiresAtMs: expiresAtMs,
        dialect: binary ? BINARY_DIALECT : JSON_DIALECT,
        sparseAcks: ackMode === 'sparse',
      },
      ws,
    );
  }

  /** The token's content, or why there will be no upgrade; within the deadline, whatever the verifier does. */
  async #verified(token: string): Promise<VerifiedToken | Refusal> {
    try {
      return await withDeadline<VerifiedToken | Refusal>(
        this.#parts.edge.verify(token),
        UPGRADE_DEADLINE_MS,
        () => unavailable('token_timeout', 'the token could not be verified in time'),
      );
    } catch (error) {
      if (error instanceof TokenError) return refusalOf(error);
      throw error;
    }
  }

  /** Before the token is verified, as that is most of what an upgrade costs. */
  #pauseOf(driverId: string | null): Refusal | null {
    const pauseMs = driverId === null ? 0 : this.#parts.connections.pauseMs(driverId);
    return pauseMs === 0 ? null : tooOften(pauseMs);
  }

  #admissionOf(driverId: string): Refusal | null {
    const pauseMs = this.#parts.connections.admitMs(driverId);
    return pauseMs === 0 ? null : tooOften(pauseMs);
  }

  #refusalNow(): Refusal | null {
    const { edge, connections, unready } = this.#parts;
    if (edge.draining) return unavailable('draining', 'this server is stopping');
    const reason = unready();
    if (reason !== null) return unavailable('not_ready', reason);
    if (connections.size + this.#admitting < edge.settings.maxConnections) return null;
    return unavailable('full', 'this server has as many connections as it takes');
  }

  #refuse(res: HttpResponse, refusal: Refusal): void {
    this.#parts.edge.counters.countRefusedUpgrade(refusal.reason);
    res.writeStatus(`${refusal.status} ${refusal.title}`);
    for (const [name, value] of refusal.headers) res.writeHeader(name, value);
    res.writeHeader('Content-Type', 'application/problem+json');
    res.end(problemJson(refusal), true);
  }

  #close(ws: WebSocket<SocketData>, code: number): void {
    if (this.#opened === ws) this.#opened = null;
    if (this.#anchor === ws) this.#anchor = null;
    const data = ws.getUserData();
    if (data.connection !== null) this.#parts.connections.closed(data.connection, code);
    data.connection = null;
  }
}

/** In the bytes of its family; two sockets of one peer have the same. */
function addressOf(res: HttpResponse): string {
  return Buffer.from(res.getRemoteAddress()).toString('latin1');
}

function isToken(answer: VerifiedToken | Refusal): answer is VerifiedToken {
  return 'subject' in answer;
}

type Listen = (
  host: string,
  port: number,
  options: ListenOptions,
  done: (socket: us_listen_socket | false) => void,
) => void;

function listen(
  app: TemplatedApp,
  host: string,
  port: number,
  options: ListenOptions,
): Promise<us_listen_socket> {
  return new Promise((resolve, reject) => {
    // Host, port and options together are taken, but missing in the package's types.
    (app.listen as unknown as Listen).call(app, host, port, options, (socket) => {
      if (socket) resolve(socket);
      else reject(new ListenError(`cannot listen on ${host}, PORT ${port}: give a free one`));
    });
  });
}

/**
 * The port (a free one for 0), after a check that nothing listens on it. Processes that share a port must check first:
 * the kernel would also share it with another clone, and the two would mix their drivers.
 */
export async function findExclusivePort(host: string, port: number): Promise<number> {
  const app = App();
  const socket = await listen(app, host, port, EXCLUSIVE);
  const found = us_socket_local_port(socket as never);
  us_listen_socket_close(socket);
  return found;
}
