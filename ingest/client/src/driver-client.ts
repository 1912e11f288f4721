// A driver's connection to the service: reports the newest position, hands over checkpoints, and comes back by itself.
//
//   waiting ──its time──────────────────┐
//   refused ──its time, another token───┴──▶ connecting ──hello──▶ open
//      ▲                                          │                  │
//      ├── 401, 403, 4401: the token was ◀────────┴──────────────────┤
//   waiting ◀── any other trouble ───────────────────────────────────┤
//   closed ◀─── close(), 4403, 4409 ─────────────────────────────────┘
//
// Always: a connection exists in `connecting` and `open`, and in `closed` until the goodbye is answered. One wake-up
// is set for whatever comes first.
import { Comeback } from './comeback.js';
import { Connection, type Loss, socketOpener } from './connection.js';
import {
  type CheckpointOptions,
  type ClientState,
  type DriverClientEvents,
  type DriverClientOptions,
  streamUrl,
} from './driver-client-options.js';
import { type DriverPosition, reportFields } from './driver-position.js';
import { Emitter } from './emitter.js';
import { ABNORMAL_CLOSE } from './handshake-refusal.js';
import { CheckpointError, Outbox, type OutboxStats } from './outbox.js';
import { CHECKPOINT_ID, type HelloMessage, type ServerMessage } from './protocol.js';
import { DEFAULT_BACKOFF, DEFAULT_TOKEN_BACKOFF } from './reconnect.js';
import { Renewal } from './renewal.js';
import { TokenKeeper } from './token-keeper.js';
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
/** A connection that held this long earns a quick return. */
const STEADY_MS = 30_000;
const CONGESTION_PAUSE_MS = 1000;
const NEVER = Number.POSITIVE_INFINITY;

export class DriverClient extends Emitter<DriverClientEvents> {
  readonly #options: DriverClientOptions;
  readonly #url: string;
  readonly #tokens: TokenKeeper;
  readonly #comeback: Comeback;
  readonly #renewal: Renewal;
  readonly #outbox = new Outbox();
  readonly #wakeUp = new WakeUp((nowMs) => this.#wake(nowMs));
  #state: ClientState = 'waiting';
  #connection: Connection | undefined;
  #attempts = 0;
  #connections = 0;
  // the deadline of the state: the next attempt, the end of a handshake or of a goodbye
  #deadlineMs = performance.now();
  #openedAtMs = 0;
  #holdUntilMs = 0;
  #closing: { promise: Promise<void>; done: () => void } | undefined;

  constructor(options: DriverClientOptions) {
    super();
    if ((options.token === undefined) === (options.getToken === undefined))
      throw new TypeError('give one of token and getToken');
    this.#options = options;
    this.#url = streamUrl(options.url, options.ack ?? 'sparse');
    const tokenBackoff = { ...DEFAULT_TOKEN_BACKOFF, ...options.tokenBackoff };
    this.#tokens = new TokenKeeper(options.token ?? '', tokenBackoff, Math.random);
    this.#comeback = new Comeback(this.#tokens, { ...DEFAULT_BACKOFF, ...options.backoff }, Math.random);
    this.#renewal = new Renewal(tokenBackoff, Math.random);
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

  /** Replaces a report that has not been sent yet. False once the client is closed. */
  report(position: DriverPosition): boolean {
    const fields = reportFields(position);
    if (this.#state === 'closed') return false;
    this.#outbox.report(fields, performance.now());
    this.#sendDue();
    return true;
  }

  /**
   * Resolves when the position is in the archive, over as many connections as that takes; rejects with a
   * CheckpointError. An app that gives an id (a trip's) may ask again after a restart: one row results. After its
   * deadline a checkpoint is not sent again, but one that was already sent may still reach the archive.
   */
  checkpoint(
    position: DriverPosition,
    checkpointId = randomId(),
    { deadlineMs = NEVER }: CheckpointOptions = {},
  ): Promise<void> {
    const fields = reportFields(position);
    if (!CHECKPOINT_ID.test(checkpointId)) throw new RangeError('checkpointId: 1 to 64 of A-Za-z0-9_-');
    if (!(deadlineMs > 0)) throw new RangeError(`deadlineMs: ${deadlineMs} is not above 0`);
    if (this.#state === 'closed')
      return Promise.reject(new CheckpointError('closed', 'the client is closed'));
    const persisted = this.#outbox.checkpoint(fields, checkpointId, performance.now(), deadlineMs);
    this.#sendDue();
    return persisted;
  }

  /** A fresh token: used at once on the open connection, or for the next one, which it hastens after a refusal. */
  renewToken(token: string): void {
    if (!this.#tokens.take(token)) return;
    if (this.#state === 'open') this.#sendToken();
    else if (this.#state === 'refused') void this.#connect();
  }

  /** Goes offline. Waiting checkpoints are rejected: await them first. */
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
      if (fetched !== undefined) this.#tokens.take(fetched);
      const nowMs = performance.now();
      const token = this.#tokens.choose(nowMs);
      if (token === null) return this.#setState('refused', this.#comeback.askAtMs(nowMs));
      this.#connection = new Connection(open, this.#url, token, format ?? 'json', {
        opened: () => this.emit('open', undefined),
        received: (message) => this.#received(message),
        lost: (loss) => this.#lost(loss),
      });
    } catch (error) {
      if (isCurrent()) this.#lostHere(error instanceof Error ? error.message : String(error));
    }
  }

  #lost(loss: Loss): void {
    const nowMs = performance.now();
    const { code, reason, status } = loss;
    this.#connection = undefined;
    this.#renewal.clear();
    this.#outbox.lost();
    if (this.#state === 'closed') {
      this.#endClosing();
      this.emit('close', { code, reason, status, reconnectInMs: null });
      return;
    }
    if (this.#state === 'open' && nowMs - this.#openedAtMs >= STEADY_MS) this.#comeback.proved();
    const plan = this.#comeback.plan(loss, nowMs, this.#options.getToken !== undefined);
    const { reconnectInMs, retryInMs } = plan;
    if (reconnectInMs === null) this.#finish(plan.why);
    else this.#setState(plan.state, nowMs + reconnectInMs);
    if (plan.isRefusal) this.emit('refused', { code, reason, status, retryInMs });
    this.emit('close', { code, reason, status, reconnectInMs });
  }

  /** For a reason that no server gave. */
  #lostHere(reason: string): void {
    this.#lost({ code: ABNORMAL_CLOSE, reason, status: null, retryAfterMs: 0 });
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
    } else connection.drop(ABNORMAL_CLOSE, why);
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
    // A phone that slept may have stopped even its monotonic clock; the next hello gives the time anew.
    if (clockIsWrong) this.#connection?.drop(ABNORMAL_CLOSE, 'the time has to be learnt anew');
  }

  #apply(message: ServerMessage, nowMs: number): boolean {
    switch (message.type) {
      case 'hello':
        if (this.#state === 'connecting') this.#welcome(message, nowMs);
        return false;
      case 'ack':
        this.#comeback.proved();
        this.#outbox.ack(message.seq, nowMs);
        return false;
      case 'persisted':
        this.#outbox.persisted(message.seq);
        return false;
      case 'pace':
        this.#outbox.pace(message.report_interval_ms);
        return false;
      case 'nack':
        if (message.seq === null) this.#renewal.nackedWithoutSeq(nowMs, message.retry_after_ms ?? 0);
        return this.#outbox.nack(message, nowMs);
    }
  }

  #welcome(hello: HelloMessage, nowMs: number): void {
    this.#connections++;
    this.#openedAtMs = nowMs;
    this.#holdUntilMs = 0;
    this.#outbox.hello(hello, nowMs);
    this.#renewal.reset();
    this.#planRenewal();
    this.#setState('open', NEVER);
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
    if (this.#options.getToken === undefined) {
      this.#renewal.clear();
      return;
    }
    const nowMs = performance.now();
    this.#renewal.plan(this.#tokens.token, nowMs, this.#outbox.clock.at(nowMs) ?? 0);
  }

  #sendToken(): void {
    this.#connection?.send({ type: 'token', token: this.#tokens.token });
    this.#planRenewal();
    this.#renewal.sent(performance.now());
    this.#arm();
  }

  /** If no fresh token comes, the old one expires: then the server closes with 4401, and the client asks again. */
  async #renew(): Promise<void> {
    this.#renewal.clear();
    const connection = this.#connection;
    const fetched = await this.#fetchedToken();
    if (connection !== this.#connection || this.#state !== 'open') return;
    const isNew = fetched !== undefined && fetched !== this.#tokens.token && this.#tokens.take(fetched);
    if (isNew || this.#renewal.isRefused) this.#sendToken();
    else this.#renewal.failed(performance.now());
    this.#arm();
  }

  async #fetchedToken(): Promise<string | undefined> {
    try {
      return await this.#options.getToken?.();
    } catch {
      return undefined;
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
      atMs = Math.min(dueMs, this.#renewal.atMs, this.#outbox.answerDueAtMs);
    }
    wakeUps.set(this.#wakeUp, Math.min(atMs, this.#outbox.expiresAtMs));
  }

  #wake(nowMs: number): void {
    this.#outbox.expire(nowMs);
    if (this.#state === 'open') {
      if (nowMs >= this.#renewal.atMs) void this.#renew();
      if (nowMs >= this.#outbox.answerDueAtMs) this.#connection?.drop(ABNORMAL_CLOSE, 'no answer');
      else this.#sendDue();
    } else if (nowMs < this.#deadlineMs) this.#arm();
    else if (this.#state === 'waiting' || this.#state === 'refused') void this.#connect();
    else if (this.#connection !== undefined) this.#connection.drop(ABNORMAL_CLOSE, 'no answer');
    else if (this.#state === 'connecting') this.#lostHere('no token');
  }
}

function randomId(): string {
  let id = '';
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) id += byte.toString(16).padStart(2, '0');
  return id;
}
