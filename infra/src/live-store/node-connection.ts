// One node of the cluster: a connection for data and one for control, replicas too, so that a promotion needs no
// connecting. Calls of one turn of the event loop leave in one write, and share one deadline.
//
// ioredis is used plainly: no offline queue, no resending, no retries, for a late replay could overwrite nothing but
// would hide an outage. A socket that is silent while an answer is due is closed: without that a frozen master is
// never given up.

import { EventEmitter } from 'node:events';
import { Redis, type RedisOptions } from 'ioredis';
import type { RedisSettings } from '../service/settings.js';
import { StoreError, storeErrorOfReply } from './store-error.js';

export type Argument = string | number | Buffer;
export type Reply = unknown;

interface Call {
  args: readonly Argument[];
  asking: boolean;
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

const RECONNECT_MS = 50;

/** An error reply of Redis as it came: redirections are the caller's to follow. */
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
  #queue: Call[] = [];
  #ended = false;

  constructor(address: string, settings: RedisSettings) {
    super();
    this.address = address;
    this.#settings = settings;
    this.#data = new Redis(redisOptions(address, settings));
    this.#control = new Redis(redisOptions(address, settings));
    // Refused connections are told by `close`; without a listener ioredis prints them.
    for (const redis of [this.#data, this.#control]) redis.on('error', () => {});
    this.#data.on('close', () => this.emit('closed'));
    this.#data.on('ready', () => this.emit('ready'));
  }

  get ready(): boolean {
    return !this.#ended && this.#data.status === 'ready';
  }

  /** Rejects with StoreError or RedirectError. `asking` follows an ASK redirection. */
  call(args: readonly Argument[], asking = false): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (!this.ready) {
        reject(new StoreError('region_unavailable', `no connection to ${this.address}`));
        return;
      }
      if (this.#queue.push({ args, asking, resolve, reject }) === 1) setImmediate(() => this.#send());
    });
  }

  /** On the control connection, with the same deadline; replies are text. */
  async control(...args: [string, ...string[]]): Promise<unknown> {
    if (this.#control.status !== 'ready') {
      throw new StoreError('region_unavailable', `no connection to ${this.address}`);
    }
    const [command, ...rest] = args;
    const reply = this.#control.call(command, ...rest);
    reply.catch(() => {}); // after the deadline nobody listens
    return withDeadline(reply, this.#settings.commandTimeoutMs, this.address);
  }

  close(): void {
    this.#ended = true;
    this.#data.disconnect();
    this.#control.disconnect();
  }

  #send(): void {
    const calls = this.#queue;
    this.#queue = [];
    const pipeline = this.#data.pipeline();
    for (const call of calls) {
      if (call.asking) pipeline.asking();
      const [command, ...args] = call.args;
      pipeline.callBuffer(command as string, ...(args as [Argument, ...Argument[]]));
    }
    let isAnswered = false;
    // Where it was us who were late, the answer is waiting in the socket: it is read before we give up.
    const timer = setTimeout(
      () => setImmediate(() => isAnswered || this.#giveUp(calls)),
      this.#settings.commandTimeoutMs,
    );
    pipeline.exec((error, results) => {
      isAnswered = true;
      clearTimeout(timer);
      let at = 0;
      for (const call of calls) {
        if (call.asking) at++;
        const [failure, reply] = results?.[at++] ?? [error ?? new Error('no answer'), undefined];
        if (failure) call.reject(this.#errorOf(failure));
        else call.resolve(reply);
      }
    });
  }

  // What becomes of them is unclear: answers that come later are not listened to.
  #giveUp(calls: readonly Call[]): void {
    const { commandTimeoutMs } = this.#settings;
    const error = new StoreError(
      'region_unavailable',
      `${this.address}: no answer in ${commandTimeoutMs} ms`,
    );
    for (const call of calls) call.reject(error);
    this.emit('timeout');
  }

  #errorOf(failure: Error): Error {
    if (failure.name !== 'ReplyError') {
      return new StoreError('region_unavailable', `${this.address}: ${failure.message}`, failure);
    }
    const redirect = /^(MOVED|ASK) \d+ (\S+)$/.exec(failure.message);
    if (redirect) return new RedirectError(redirect[1] === 'ASK' ? 'ask' : 'moved', redirect[2] as string);
    return storeErrorOfReply(failure.message);
  }
}

/** Without queues, retries or replays. */
export function redisOptions(address: string, settings: RedisSettings) {
  const colon = address.lastIndexOf(':');
  return {
    host: address.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(address.slice(colon + 1)),
    ...(settings.username === undefined ? {} : { username: settings.username }),
    ...(settings.password === undefined ? {} : { password: settings.password }),
    protocol: 2 as const,
    connectTimeout: settings.connectTimeoutMs,
    socketTimeout: settings.socketTimeoutMs,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    disableClientInfo: true,
    retryStrategy: () => RECONNECT_MS,
  } satisfies RedisOptions;
}

async function withDeadline<T>(work: Promise<T>, deadlineMs: number, address: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new StoreError('region_unavailable', `${address}: no answer in ${deadlineMs} ms`)),
      deadlineMs,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
