// One Redis node as the promoter sees it: does it answer, and what does it say of itself.

import { EventEmitter } from 'node:events';
import { Redis } from 'ioredis';
import { redisOptions } from '../live-store/node-connection.js';
import type { RedisSettings } from '../service/settings.js';

export interface ReplicaState {
  node: WatchedNode;
  offset: number;
  linked: boolean;
  syncing: boolean;
}

const ANSWER_DEADLINE_MS = 300;

export class WatchedNode extends EventEmitter<{ closed: []; ready: [] }> {
  readonly address: string;
  readonly #redis: Redis;
  #pinging = false;
  #firstTimeoutAtMs: number | null = null;

  constructor(address: string, settings: RedisSettings) {
    super();
    this.address = address;
    this.#redis = new Redis({ ...redisOptions(address, settings), commandTimeout: ANSWER_DEADLINE_MS });
    this.#redis.on('error', () => {});
    this.#redis.on('close', () => this.emit('closed'));
    this.#redis.on('ready', () => this.emit('ready'));
  }

  get isReady(): boolean {
    return this.#redis.status === 'ready';
  }

  close(): void {
    this.removeAllListeners();
    this.#redis.disconnect();
  }

  /** Since the first question without an answer; 0 while it answers, or is not connected. */
  silentForMs(nowMs: number): number {
    return this.#firstTimeoutAtMs === null ? 0 : nowMs - this.#firstTimeoutAtMs;
  }

  async ping(): Promise<void> {
    if (this.#pinging) return;
    if (!this.isReady) return;
    this.#pinging = true;
    try {
      await this.#redis.ping();
      this.#firstTimeoutAtMs = null;
    } catch (error) {
      const isTimeout = error instanceof Error && error.message === 'Command timed out';
      if (isTimeout) this.#firstTimeoutAtMs ??= performance.now();
    } finally {
      this.#pinging = false;
    }
  }

  async clusterNodes(): Promise<{ address: string; text: string } | null> {
    const text = await this.#ask('CLUSTER', 'NODES');
    return text === null ? null : { address: this.address, text };
  }

  async role(): Promise<'master' | 'replica' | null> {
    const info = await this.#ask('INFO', 'replication');
    if (info === null) return null;
    return fieldOf(info, 'role') === 'master' ? 'master' : 'replica';
  }

  /** null: it does not say. */
  async isWritable(): Promise<boolean | null> {
    if (!this.isReady) return null;
    try {
      return fieldOf(String(await this.#redis.call('CLUSTER', 'INFO')), 'cluster_state') === 'ok';
    } catch (error) {
      // LOADING is an answer too.
      return error instanceof Error && error.name === 'ReplyError' ? false : null;
    }
  }

  async replicaState(): Promise<ReplicaState | null> {
    const info = await this.#ask('INFO', 'replication');
    if (info === null || fieldOf(info, 'role') !== 'slave') return null;
    return {
      node: this,
      offset: Number(fieldOf(info, 'slave_repl_offset') ?? 0),
      linked: fieldOf(info, 'master_link_status') === 'up',
      syncing: fieldOf(info, 'master_sync_in_progress') === '1',
    };
  }

  async failover(force: boolean): Promise<void> {
    await (force ? this.#ask('CLUSTER', 'FAILOVER', 'FORCE') : this.#ask('CLUSTER', 'FAILOVER'));
  }

  async #ask(command: string, ...args: string[]): Promise<string | null> {
    if (!this.isReady) return null;
    try {
      return String(await this.#redis.call(command, ...args));
    } catch {
      return null; // it says nothing: whoever asked looks at another node, or again
    }
  }
}

function fieldOf(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
}
