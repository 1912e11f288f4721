// A driver's connection to the service: reports the newest position, hands over checkpoints, and comes back by itself.
//
//   waiting ──its time──▶ connecting ──hello──▶ open        refused: the token was; renewToken() goes on
//      ▲                       │                 │          closed: for good, by close(), 4403 or 4409
//      └───────── lost ────────┴─────────────────┘
//
// Always: a connection stands in `connecting` and `open`, and in `closed` until the goodbye is answered. One wake-up
// is set for whatever comes first.
import { Connection, socketOpener } from './connection.js';
import {
  type ClientState,
  type DriverClientEvents,
  type DriverClientOptions,
  streamUrl,
} from './driver-client-options.js';
import { type DriverPosition, reportFields } from './driver-position.js';
import { Emitter } from './emitter.js';
import { CheckpointError, Outbox, type OutboxStats } from './outbox.js';
import { CHECKPOINT_ID, CLOSE_CODES, type HelloMessage, type ServerMessage } from './protocol.js';
import { afterClose, type BackoffBounds, DEFAULT_BACKOFF, reconnectDelayMs } from './reconnect.js';
import { renewDelayMs } from './token.js';
import { WakeUp, wakeUps } from './wake-ups.js';

const ALLOWED_FROM: Readonly<Record<ClientState, readonly ClientState[]>> = {
  waiting: ['connecting', 'open'],
  connecting: ['waiting', 'refused'],
  open: ['connecting'],
  refused: ['connecting', 'open'],
  closed: ['waiting', 'connecting', 'open', 'refused'],
};

const CONNECT_DEADLINE_MS = 10_000;
const CLOSE_DEADLINE_MS = 2000;
/** A connection that held this long has earned a quick return. */
const STEADY_MS = 30_000;
const CONGESTION_PAUSE_MS = 1000;
const NEVER = Number.POSITIVE_INFINITY;
const LOCAL_CLOSE = 1006; // what a peer that vanished looks like

export class DriverClient extends Emitter<DriverClientEvents> {
  readonly #options: DriverClientOptions;
  readonly #url: string;
  readonly #backoff: BackoffBounds;
  readonly #outbox = new Outbox();
  readonly #wakeUp = new WakeUp((nowMs) => this.#wake(nowMs));
  #state: ClientState = 'waiting';
  #connection: Connection | undefined;
  #failures = 0; // since the last acknowledgement
  #attempts = 0;
  #connections = 0;
  #token: string;
  #usedToken = ''; // by the handshake of this connection or the last
  #refusedToken: string | undefined;
  #deadlineMs = performance.now(); // of the state: the next attempt, the end of a handshake or of a goodbye
  #openedAtMs = 0;
  #renewAtMs = NEVER;
  #holdUntilMs = 0;
  #closing: { promise: Promise<void>; done: () => void } | undefined;

  constructor(options: DriverClientOptions) {
    super();
    if ((options.token === undefined) === (options.getToken === undefined))
      throw new TypeError('give one of token and getToken');
    this.#options = options;
    this.#url = streamUrl(options.url, options.ack ?? 'sparse');
    this.#backoff = { ...DEFAULT_BACKOFF, ...options.backoff };
    this.#token = options.token ?? '';
    this.#arm();
  }

  get state(): ClientState {
    return this.#state;
  }

  get stats(): Readonly<OutboxStats & { connections: number; waitingCheckpoints: number }> {
    const { stats, waitingCheckpoints } = this.#outbox;
    return { ...stats, nacked: { ...stats.nacked }, connections: this.#connections, waitingCheckpoints };
  }

  /** The server's time, or null before the first `hello`. */
  get serverTimeMs(): number | null {
    return this.#outbox.clock.at(performance.now());
  }

  /** Takes the place of a report that has not gone out yet. False once the client is closed. */
  report(position: DriverPosition): boolean {
    const fields = reportFields(position);
    if (this.#state === 'closed') return false;
    this.#outbox.report(fields, performance.now());
    this.#sendDue();
    return true;
  }

  /**
   * Resolves when the position stands in the archive, over as many connections as that takes; rejects with a
   * CheckpointError. An app that gives an id of its own (a trip's) may ask again after a restart: one row results.
   */
  checkpoint(position: DriverPosition, checkpointId = randomId()): Promise<void> {
    const fields = reportFields(position);
    if (!CHECKPOINT_ID.test(checkpointId)) throw new RangeError('checkpointId: 1 to 64 of A-Za-z0-9_-');
    if (this.#state === 'closed')
      return Promise.reject(new CheckpointError('closed', 'the client is closed'));
    const persisted = this.#outbox.checkpoint(fields, checkpointId, performance.now());
    this.#sendDue();
    return persisted;
  }

  /** A fresh token for the connection that stands, or for the next one where the last token was refused. */
  renewToken(token: string): void {
    if (token === this.#refusedToken) return;
    this.#token = token;
    if (this.#state === 'open') {
      this.#connection?.send({ type: 'token', token });
      this.#planRenewal();
    } else if (this.#state === 'refused') void this.#connect();
  }

  /** Goes offline. Checkpoints that still wait are rejected: await them first. */
  close(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing.promise;
    let done = (): void => {};
    const promise = new Promise<void>((resolve) => {
      done = resolve;
    });
    this.#closing = { promise, done };
    if (this.#state === 'closed') done();
    else this.#finish('the client was closed');
    return promise;
  }

  // ---- the connection

  async #connect(): Promise<void> {
    this.#setState('connecting', performance.now() + CONNECT_DEADLINE_MS);
    const attempt = ++this.#attempts;
    const isCurrent = (): boolean => attempt === this.#attempts && this.#state === 'connecting';
    try {
      const { getToken, WebSocket, format } = this.#options;
      const [open, fetched] = await Promise.all([socketOpener(WebSocket), getToken?.()]);
      if (!isCurrent()) return;
      this.#token = fetched ?? this.#token;
      if (this.#token === this.#refusedToken) throw new Error('the token is still the refused one');
      this.#usedToken = this.#token;
      this.#connection = new Connection(open, this.#url, this.#token, format ?? 'json', {
        opened: () => this.emit('open', undefined),
        received: (message) => this.#received(message),
        lost: (code, reason) => this.#lost(code, reason),
      });
    } catch (error) {
      if (isCurrent()) this.#lost(LOCAL_CLOSE, error instanceof Error ? error.message : String(error));
    }
  }

  #lost(code: number, reason: string): void {
    const nowMs = performance.now();
    this.#connection = undefined;
    this.#renewAtMs = NEVER;
    this.#outbox.lost();
    let reconnectInMs: number | null = null;
    if (this.#state === 'closed') this.#endClosing();
    else {
      if (this.#state === 'open' && nowMs - this.#openedAtMs >= STEADY_MS) this.#failures = 0;
      reconnectInMs = this.#planReturn(code, nowMs);
    }
    this.emit('close', { code, reason, reconnectInMs });
  }

  #planReturn(code: number, nowMs: number): number | null {
    const after = afterClose(code);
    if (after === 'never') {
      this.#finish(
        code === CLOSE_CODES.superseded ? 'another connection of this driver took over' : 'forbidden',
      );
      return null;
    }
    if (after === 'fresh_token') {
      this.#refusedToken = this.#usedToken;
      if (this.#options.getToken === undefined && this.#token === this.#refusedToken) {
        this.#setState('refused', NEVER);
        return null;
      }
    }
    const delayMs = reconnectDelayMs(after, this.#failures++, this.#backoff, Math.random);
    this.#setState('waiting', nowMs + delayMs);
    return delayMs;
  }

  #finish(why: string): void {
    const connection = this.#connection;
    const said = this.#state === 'open';
    this.#setState('closed', connection === undefined ? NEVER : performance.now() + CLOSE_DEADLINE_MS);
    this.#outbox.refuseCheckpoints(new CheckpointError('closed', why));
    if (connection === undefined) this.#endClosing();
    else if (said) {
      connection.send({ type: 'bye' });
      connection.close();
    } else connection.drop(LOCAL_CLOSE, why);
  }

  #endClosing(): void {
    this.#deadlineMs = NEVER;
    this.#arm();
    this.#closing?.done();
  }

  // ---- messages

  #received(message: ServerMessage): void {
    this.#outbox.heard();
    const clockIsWrong = this.#apply(message, performance.now());
    this.#sendDue();
    this.emit(message.type, message); // last, so that a listener that throws leaves no state half changed
    // A phone that slept may have stopped even its monotonic clock; the next hello tells the time anew.
    if (clockIsWrong) this.#connection?.drop(LOCAL_CLOSE, 'the time has to be learnt anew');
  }

  #apply(message: ServerMessage, nowMs: number): boolean {
    switch (message.type) {
      case 'hello':
        if (this.#state === 'connecting') this.#welcome(message, nowMs);
        return false;
      case 'ack':
        this.#failures = 0;
        this.#outbox.ack(message.seq, nowMs);
        return false;
      case 'persisted':
        this.#outbox.persisted(message.seq);
        return false;
      case 'pace':
        this.#outbox.pace(message.report_interval_ms);
        return false;
      case 'nack':
        return this.#outbox.nack(message, nowMs);
    }
  }

  #welcome(hello: HelloMessage, nowMs: number): void {
    this.#connections++;
    this.#openedAtMs = nowMs;
    this.#refusedToken = undefined;
    this.#holdUntilMs = 0;
    this.#outbox.hello(hello, nowMs);
    this.#setState('open', NEVER);
    this.#planRenewal();
  }

  /** Sends what is due, and sets the wake-up for the rest. */
  #sendDue(): void {
    const nowMs = performance.now();
    const connection = this.#connection;
    while (this.#state === 'open' && connection !== undefined && nowMs >= this.#holdUntilMs) {
      if (connection.congested) {
        this.#holdUntilMs = nowMs + CONGESTION_PAUSE_MS;
        break;
      }
      const message = this.#outbox.next(nowMs);
      if (message === null) break;
      connection.send(message);
    }
    this.#arm();
  }

  #planRenewal(): void {
    const nowMs = performance.now();
    const { getToken } = this.#options;
    this.#renewAtMs =
      getToken === undefined ? NEVER : nowMs + renewDelayMs(this.#token, this.#outbox.clock.at(nowMs) ?? 0);
  }

  async #renew(): Promise<void> {
    this.#renewAtMs = NEVER;
    const connection = this.#connection;
    try {
      const token = await this.#options.getToken?.();
      if (token === undefined || token === this.#token || connection !== this.#connection) return;
      this.renewToken(token);
      this.#arm();
    } catch {
      // Without a fresh token this one simply ends: then comes 4401, and asking again with backoff.
    }
  }

  // ---- time

  #setState(next: ClientState, deadlineMs: number): void {
    if (!ALLOWED_FROM[next].includes(this.#state))
      throw new Error(`driver client: ${this.#state} to ${next}`);
    this.#state = next;
    this.#deadlineMs = deadlineMs;
    this.#arm();
    this.#options.onState?.(next);
  }

  #arm(): void {
    let atMs = this.#deadlineMs;
    if (this.#state === 'open') {
      const dueMs = Math.max(this.#outbox.dueAtMs, this.#holdUntilMs);
      atMs = Math.min(dueMs, this.#renewAtMs, this.#outbox.answerDueAtMs);
    }
    wakeUps.set(this.#wakeUp, atMs);
  }

  #wake(nowMs: number): void {
    if (this.#state === 'open') {
      if (nowMs >= this.#renewAtMs) void this.#renew();
      if (nowMs >= this.#outbox.answerDueAtMs) this.#connection?.drop(LOCAL_CLOSE, 'no answer');
      else this.#sendDue();
    } else if (this.#state === 'waiting') void this.#connect();
    else if (this.#connection !== undefined) this.#connection.drop(LOCAL_CLOSE, 'no answer');
    else if (this.#state === 'connecting') this.#lost(LOCAL_CLOSE, 'no token');
  }
}

function randomId(): string {
  let id = '';
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) id += byte.toString(16).padStart(2, '0');
  return id;
}
