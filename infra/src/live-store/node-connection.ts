// One node of the cluster: a connection for data and one for control, replicas too, so that a promotion needs no
// connecting; and, once somebody asks for it, one that waits for the replicas.
// Calls of one turn of the event loop leave in one write, and share one deadline.
//
// ioredis connects, signs in and comes again; commands and replies of the data connection are ours (command-stream.ts).
// It is used plainly: no offline queue, no resending, no retries, for a late replay could overwrite nothing but
// would hide an outage. A socket that is silent while an answer is due is closed: without that a frozen master is
// never given up.

import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { Redis, type RedisOptions } from 'ioredis';
import { announcedAddress, parseAddress } from '../node-address.js';
import { backoffMs } from '../service/backoff.js';
import { withDeadline } from '../service/deadline.js';
import type { RedisTls } from '../service/redis-tls.js';
import type { RedisSettings } from '../service/settings.js';
import type { Argument } from './command-bytes.js';
import { CommandStream, type SentCall } from './command-stream.js';
import { ReplicaWaits } from './replica-waits.js';
import { StoreError, storeErrorOfReply } from './store-error.js';
import { TlsConnector } from './tls-connector.js';

export type Reply = unknown;

/** Plain commands that leave together and are answered together, or fail together. The reply is the list of theirs. */
export class Pipeline {
  constructor(readonly commands: readonly (readonly Argument[])[]) {}
}

export type Request = readonly Argument[] | Pipeline;

interface Call {
  request: Request;
  asking: boolean;
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

/** A node that was just lost is tried again at once, one that stays away less and less often. */
const RECONNECT = { firstMs: 50, steadyAttempts: 60, growth: 1.2, limitMs: 1000 };

/** An error reply of Redis. The caller follows redirections. */
export class RedirectError extends Error {
  constructor(
    readonly kind: 'moved' | 'ask',
    readonly address: string,
  ) {
    super(`${kind} ${address}`);
    this.name = 'RedirectError';
  }
}

interface NodeEvents {
  /** A connection could not be made, or broke, with that error. */
  failed: [Error];
  /** Either connection's socket closed. */
  closed: [];
  /** The data connection can be used. */
  ready: [];
  timeout: [];
}

export class NodeConnection extends EventEmitter<NodeEvents> {
  readonly address: string;
  readonly #data: Redis;
  readonly #control: Redis;
  readonly #settings: RedisSettings;
  #replicaWaits: ReplicaWaits | undefined;
  /** Calls that leave together. */
  #queue: Call[] = [];
  #ended = false;
  #connections = 0;
  #place: string;
  /** Null: not connected. */
  #stream: CommandStream | null = null;
  #trouble: string | null = null;
  readonly #name: string | undefined;

  /** `name`: what the node calls itself beside its address. */
  constructor(address: string, settings: RedisSettings, name?: string) {
    super();
    this.address = address;
    this.#place = `${address}#0`;
    this.#settings = settings;
    this.#name = name;
    this.#data = this.#connect();
    this.#control = this.#connect();
    this.#data.on('close', () => {
      this.#stream = null;
      this.emit('closed');
    });
    this.#data.on('ready', () => {
      if (this.#data.status !== 'ready') return; // it is told of a turn later
      this.#stream = new CommandStream(this.#data.stream as Socket, settings.socketTimeoutMs);
      this.#place = `${address}#${++this.#connections}`;
      this.emit('ready');
    });
  }

  /** Names the process behind the data connection: a process that was started again has another one. */
  get place(): string {
    return this.#place;
  }

  get ready(): boolean {
    return !this.#ended && this.#stream !== null && this.#data.status === 'ready';
  }

  /** Why it could not connect last; null once it has an answer. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /** Rejects with StoreError or RedirectError. `asking` follows an ASK redirection. */
  call(request: Request, asking = false): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#enqueue({ request, asking, resolve, reject });
    });
  }

  /** How many replicas, of so many, have all that was answered so far. Takes 200 ms at most, and never rejects. */
  replicasInStep(replicas: number, emptyWrite: readonly Argument[]): Promise<number> {
    // While it connects, no call waits: what was written counts as `cache`.
    this.#replicaWaits ??= new ReplicaWaits(this.#connect());
    return this.#replicaWaits.replicasInStep(replicas, emptyWrite);
  }

  /** On the control connection, with the same deadline; replies are text. */
  async control(...args: [string, ...string[]]): Promise<unknown> {
    if (this.#control.status !== 'ready') {
      throw new StoreError('region_unavailable', `no connection to ${this.address}`);
    }
    const [command, ...rest] = args;
    const reply = this.#control.call(command, ...rest);
    reply.catch(() => {}); // after the deadline nobody listens
    const deadlineMs = this.#settings.commandTimeoutMs;
    return withDeadline(reply, deadlineMs, () => {
      throw new StoreError('region_unavailable', `${this.address}: no answer in ${deadlineMs} ms`);
    });
  }

  close(): void {
    this.#ended = true;
    this.#data.disconnect();
    this.#control.disconnect();
    this.#replicaWaits?.close();
  }

  #connect(): Redis {
    const redis = new Redis(redisOptions(this.address, this.#settings, this.#name));
    redis.on('error', (error: Error) => {
      if (this.#ended) return;
      this.#trouble = whyNotConnected(error, this.#settings.tls);
      this.emit('failed', error);
    });
    return redis;
  }

  #enqueue(call: Call): void {
    if (!this.ready) {
      call.reject(new StoreError('region_unavailable', `no connection to ${this.address}`));
      return;
    }
    if (this.#queue.push(call) === 1) setImmediate(() => this.#send());
  }

  #send(): void {
    const calls = this.#queue;
    this.#queue = [];
    let unanswered = calls.length;
    // If this process was late, the answer is waiting in the socket: it is read before we give up.
    const timer = setTimeout(
      () => setImmediate(() => unanswered === 0 || this.#giveUp(calls)),
      this.#settings.commandTimeoutMs,
    );
    const settled = () => {
      if (--unanswered === 0) clearTimeout(timer);
    };
    const answered = () => {
      this.#trouble = null;
      settled();
    };
    const sent = calls.map(({ request, asking, resolve, reject }): SentCall => {
      const isPipeline = request instanceof Pipeline;
      return {
        commands: isPipeline ? request.commands : [request],
        asking,
        answered(replies) {
          answered();
          resolve(isPipeline ? replies : replies[0]);
        },
        refused: ({ message }) => {
          answered();
          // A user that was cut off and let in again: only a new connection asks for its rights once more.
          if (isUnauthorized(message)) this.#data.disconnect(true);
          reject(this.#errorOf(message));
        },
        failed: (cause) => {
          settled();
          reject(new StoreError('region_unavailable', `${this.address}: ${cause.message}`, { cause }));
        },
      };
    });
    if (this.#stream) this.#stream.send(sent);
    else for (const call of sent) call.failed(new Error('the connection was closed'));
  }

  // Their outcome is unknown: later answers are ignored.
  #giveUp(calls: readonly Call[]): void {
    const { commandTimeoutMs } = this.#settings;
    const error = new StoreError(
      'region_unavailable',
      `${this.address}: no answer in ${commandTimeoutMs} ms`,
    );
    for (const call of calls) call.reject(error);
    this.emit('timeout');
  }

  #errorOf(message: string): Error {
    const redirect = /^(MOVED|ASK) \d+ (\S+)$/.exec(message);
    if (redirect) {
      const address = announcedAddress(redirect[2] as string, this.address);
      return new RedirectError(redirect[1] === 'ASK' ? 'ask' : 'moved', address);
    }
    return storeErrorOfReply(message);
  }
}

/** Before that attempt in a row, from 1 on. */
export function reconnectDelayMs(attempt: number): number {
  const { firstMs, steadyAttempts } = RECONNECT;
  return attempt <= steadyAttempts ? firstMs : backoffMs(attempt - steadyAttempts, RECONNECT);
}

/** A node that asks for certificates sends an alert to those who give none, and closes. The close may be seen first. */
const MAY_LACK_CERTIFICATE = /certificate required|ECONNRESET|EPIPE/;

/** Names the settings that may be missing. */
export function whyNotConnected(error: Error, tls: RedisTls | undefined): string {
  const why = error.message || error.name;
  return tls !== undefined && tls.cert === undefined && MAY_LACK_CERTIFICATE.test(why)
    ? `${why}: if it asks for certificates, give REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE`
    : why;
}

const isUnauthorized = (message: string): boolean => /^(NOAUTH|WRONGPASS)/.test(message);

/** Without queues, retries or replays. `name`: what the node calls itself beside its address. */
export function redisOptions(address: string, settings: RedisSettings, name?: string) {
  return {
    ...parseAddress(address),
    ...(settings.username === undefined ? {} : { username: settings.username }),
    ...(settings.password === undefined ? {} : { password: settings.password }),
    ...(settings.tls === undefined ? {} : { Connector: TlsConnector, tls: tlsOptions(settings.tls, name) }),
    protocol: 2 as const,
    connectTimeout: settings.connectTimeoutMs,
    socketTimeout: settings.socketTimeoutMs,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    disableClientInfo: true,
    retryStrategy: reconnectDelayMs,
    // A user that was refused, or cut off and let in again: only a new connection asks for its rights once more.
    reconnectOnError: (error: Error) => isUnauthorized(error.message),
  } satisfies RedisOptions;
}

/** Without a name Node verifies the host of the address, and sends it as SNI unless it is an IP address. */
function tlsOptions({ serverName, ...pems }: RedisTls, name?: string) {
  const servername = serverName ?? name;
  return { ...pems, ...(servername === undefined ? {} : { servername }) };
}
