// Messages from other processes: a sharded channel (https://redis.io/docs/latest/develop/pubsub/#sharded-pubsub) on a
// separate connection to the node that owns the channel's slot.
//
//   connecting ──subscribed──▶ listening        closed, moved, or `renew`: connecting again
//       ▲                          │            a failure: after a pause that grows, with jitter
//       └──────────────────────────┘
//
// Messages are hints. What is published without a subscriber is lost. So the listener is notified of each subscription,
// and then has to read the state itself.
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { Backoff } from '../service/backoff.js';
import { PacedLog } from '../service/paced-log.js';
import type { RedisSettings } from '../service/settings.js';
import { redisOptions } from './node-connection.js';

export interface ChannelListener {
  onSubscribed(): void;
  onMessage(text: string): void;
}

interface ProcessChannelOptions {
  channel: string;
  /** The node that owns the channel's slot now; null: unknown. */
  addressOf(): string | null;
  /** What that node calls itself beside its address. */
  nameOf(address: string): string | undefined;
  redis: RedisSettings;
  log: Logger;
  listener: ChannelListener;
}

const BACKOFF = { firstMs: 50, limitMs: 2_000 };
const RETRY_POLL_MS = 25;
/** A peer that vanished without a word is found by the kernel. */
const KEEP_ALIVE_MS = 10_000;

/** In the slot of a partition, so that the partition's owner is the channel's owner. */
export const channelName = (name: string, tag: string): string => `supersession:{${tag}}:${name}`;

export class ProcessChannel {
  readonly #options: ProcessChannelOptions;
  readonly #backoff = new Backoff(BACKOFF);
  readonly #paced = new PacedLog();
  #connection: Redis | null = null;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: ProcessChannelOptions) {
    this.#options = options;
    this.renew();
  }

  /** Subscribes again, at the current owner of the slot. */
  renew(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#drop();
    const address = this.#options.addressOf();
    if (address === null) this.#retry(new Error('the channel has no owner'));
    else void this.#subscribe(address);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#drop();
  }

  #drop(): void {
    const connection = this.#connection;
    this.#connection = null;
    connection?.disconnect();
  }

  async #subscribe(address: string): Promise<void> {
    const { channel, listener } = this.#options;
    const connection = this.#open(address);
    const isCurrent = () => this.#connection === connection;
    connection.on('smessage', (_channel: string, text: string) => isCurrent() && listener.onMessage(text));
    for (const event of ['close', 'moved'] as const)
      connection.on(
        event,
        () => isCurrent() && this.#retry(new Error(`the connection to ${address}: ${event}`)),
      );
    try {
      await connection.connect();
      await connection.ssubscribe(channel);
    } catch (error) {
      if (isCurrent()) this.#retry(error as Error);
      return;
    }
    if (!isCurrent()) return;
    this.#backoff.succeeded();
    listener.onSubscribed();
  }

  #open(address: string): Redis {
    const connection = new Redis({
      ...redisOptions(address, this.#options.redis, this.#options.nameOf(address)),
      lazyConnect: true,
      commandTimeout: this.#options.redis.commandTimeoutMs,
      keepAlive: KEEP_ALIVE_MS,
      retryStrategy: () => null,
      reconnectOnError: () => false,
    });
    connection.on('error', () => {}); // `close` follows, or the command that was under way carries it
    this.#connection = connection;
    return connection;
  }

  #retry(error: Error): void {
    this.#drop();
    const { log, channel } = this.#options;
    this.#backoff.failed(performance.now());
    this.#paced.log(error.message, (times) =>
      log.warn({ channel, why: error.message, times }, 'cannot hear what other processes tell'),
    );
    this.#wait();
  }

  #wait(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => (this.#backoff.mayTry(performance.now()) ? this.renew() : this.#wait()),
      RETRY_POLL_MS,
    );
  }
}
