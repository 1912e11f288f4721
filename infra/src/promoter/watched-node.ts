// One Redis node as the promoter sees it: whether it answers, and what it says about itself and the other nodes.

import { EventEmitter } from 'node:events';
import { Redis } from 'ioredis';
import { redisOptions, whyNotConnected } from '../live-store/node-connection.js';
import { type NodeClaim, parseClusterNodes } from '../live-store/topology.js';
import type { RedisSettings } from '../service/settings.js';
import { OffsetTrace } from './offset-trace.js';

export interface ReplicaState {
  node: WatchedNode;
  offset: number;
  linked: boolean;
  syncing: boolean;
}

/** What a node says of all nodes, and its own time (ms). */
export interface Testimony {
  address: string;
  nowMs: number;
  claims: NodeClaim[];
}

/** As it last told. */
export interface NodeFacts {
  usedMemoryBytes: number;
  /** 0: without a limit. */
  maxMemoryBytes: number;
  /** Its clock, less ours. */
  clockOffsetMs: number;
}

const ANSWER_DEADLINE_MS = 300;

export class WatchedNode extends EventEmitter<{ closed: []; ready: [] }> {
  readonly address: string;
  readonly #redis: Redis;
  #asking = false;
  #trouble: string | null = null;
  #firstTimeoutAtMs: number | null = null;
  /** Of a replica: as it last told, and how its offset has moved. */
  readonly offsets = new OffsetTrace();
  #replica: ReplicaState | null = null;
  #facts: NodeFacts | null = null;

  /** `name`: what it calls itself beside its address. */
  constructor(address: string, settings: RedisSettings, name?: string) {
    super();
    this.address = address;
    this.#redis = new Redis({ ...redisOptions(address, settings, name), commandTimeout: ANSWER_DEADLINE_MS });
    this.#redis.on('error', (error: Error) => {
      this.#trouble = whyNotConnected(error, settings.tls);
    });
    this.#redis.on('close', () => this.emit('closed'));
    this.#redis.on('ready', () => this.emit('ready'));
  }

  /** Why it could not be connected to last; null once it has answered. */
  get trouble(): string | null {
    return this.#trouble;
  }

  get isReady(): boolean {
    return this.#redis.status === 'ready';
  }

  /** It follows its master as far as is known. */
  get isInStep(): boolean {
    return this.isReady && this.#replica?.linked === true && !this.#replica.syncing;
  }

  get facts(): NodeFacts | null {
    return this.#facts;
  }

  close(): void {
    this.removeAllListeners();
    this.#redis.disconnect();
  }

  /** Since the first question without an answer; 0 while it answers, or was never asked. */
  silentForMs(nowMs: number): number {
    return this.#firstTimeoutAtMs === null ? 0 : nowMs - this.#firstTimeoutAtMs;
  }

  /** One question at a time; a replica is asked how far it is. */
  async check(isReplica: boolean): Promise<void> {
    if (this.#asking || !this.isReady) return;
    this.#asking = true;
    try {
      if (isReplica) this.#follow(String(await this.#redis.info('replication')));
      else await this.#redis.ping();
      this.#firstTimeoutAtMs = null;
      this.#trouble = null;
    } catch (error) {
      this.#replica = null;
      const isTimeout = error instanceof Error && error.message === 'Command timed out';
      if (isTimeout) this.#firstTimeoutAtMs ??= performance.now();
    } finally {
      this.#asking = false;
    }
  }

  async testimony(): Promise<Testimony | null> {
    const askedAtMs = Date.now();
    const [text, info] = await Promise.all([
      this.#ask('CLUSTER', 'NODES'),
      this.#ask('INFO', 'server', 'memory'),
    ]);
    if (text === null || info === null) return null;
    const nowMs = Number(fieldOf(info, 'server_time_usec')) / 1000;
    this.#facts = {
      usedMemoryBytes: Number(fieldOf(info, 'used_memory')),
      maxMemoryBytes: Number(fieldOf(info, 'maxmemory')),
      clockOffsetMs: nowMs - (askedAtMs + Date.now()) / 2,
    };
    return { address: this.address, nowMs, claims: parseClusterNodes(text, this.address) };
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
    return info === null ? null : this.#stateOf(info);
  }

  async failover(force: boolean): Promise<void> {
    await (force ? this.#ask('CLUSTER', 'FAILOVER', 'FORCE') : this.#ask('CLUSTER', 'FAILOVER'));
  }

  #follow(info: string): void {
    this.#replica = this.#stateOf(info);
    if (this.#replica) this.offsets.add(this.#replica.offset, performance.now());
  }

  #stateOf(info: string): ReplicaState | null {
    if (fieldOf(info, 'role') !== 'slave') return null;
    return {
      node: this,
      offset: Number(fieldOf(info, 'slave_repl_offset') ?? 0),
      linked: fieldOf(info, 'master_link_status') === 'up',
      syncing: fieldOf(info, 'master_sync_in_progress') === '1',
    };
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
