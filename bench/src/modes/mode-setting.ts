// The environment of a mode: what the load connects to, what reads ask, whose CPU counts, and how its cache dies.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type RedisCluster, startRedisCluster } from '@whereabouts/infra/local/redis-servers';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { provideRedis } from '@whereabouts/scripts/servers/provide';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import { scrape, total } from '@whereabouts/scripts/stack/scrape';
import { readSecret } from '@whereabouts/scripts/stack-file';
import { type ArchiveDatabase, startArchiveDatabase } from '../postgres/archive-database.js';
import type { DirectTask } from './direct-server.js';
import type { DirectCounts, DirectMode } from './direct-store.js';

const SERVER = fileURLToPath(new URL('./direct-server.js', import.meta.url));
/** No server verifies it here. */
const UNVERIFIED = { secret: 'x'.repeat(32), issuer: 'bench', audience: 'bench' };
/** BEGIN, the upsert, the progress of partitions, COMMIT: the most that a transaction of the flusher sends. */
const STATEMENTS_A_TRANSACTION = 4;

export interface ModeCounts {
  statements: number;
  /** Null if every read asks the cache alone. */
  cacheHitShare: number | null;
}

export interface ModeSetting {
  /** Of the WebSocket and of its tokens. */
  port: number;
  auth: { secret: string; issuer: string; audience: string };
  reads: { url: string; headers: Record<string, string> };
  adminUrl: string;
  postgresPid: number;
  serverPids: number[];
  redisPids: number[];
  /** Since the start. */
  counts(): Promise<ModeCounts>;
  stop(): Promise<void>;
}

class DirectSetting implements ModeSetting {
  readonly auth = UNVERIFIED;
  readonly #home: string;
  readonly #child: ChildProcess;
  readonly #database: ArchiveDatabase;
  readonly #cluster: RedisCluster;
  readonly port: number;

  constructor(
    home: string,
    child: ChildProcess,
    port: number,
    database: ArchiveDatabase,
    cluster: RedisCluster,
  ) {
    this.#home = home;
    this.#child = child;
    this.port = port;
    this.#database = database;
    this.#cluster = cluster;
  }

  get reads() {
    return { url: `http://127.0.0.1:${this.port}`, headers: {} };
  }

  get adminUrl(): string {
    return this.#database.adminUrl;
  }

  get postgresPid(): number {
    return this.#database.server.pid;
  }

  get serverPids(): number[] {
    return [this.#child.pid as number];
  }

  get redisPids(): number[] {
    return this.#cluster.nodes.map(({ pid }) => pid);
  }

  async counts(): Promise<ModeCounts> {
    this.#child.send('report');
    const [{ statements, reads, cacheHits }] = (await once(this.#child, 'message')) as [DirectCounts];
    return { statements, cacheHitShare: reads === 0 ? null : cacheHits / reads };
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null) {
      const exited = once(this.#child, 'exit');
      this.#child.disconnect();
      await exited;
    }
    await Promise.all([this.#cluster.stop(), this.#database.stop()]);
    await rm(this.#home, { recursive: true, force: true });
  }
}

export async function startDirect(mode: DirectMode, say: (text: string) => void): Promise<ModeSetting> {
  const home = await mkdtemp(join(tmpdir(), 'whereabouts-modes-'));
  const redisServer = await provideRedis(say);
  const [database, cluster] = await Promise.all([
    startArchiveDatabase(home, say),
    startRedisCluster({ masters: 1, replicas: 0, dir: join(home, 'redis'), redisServer }),
  ]);
  const child = fork(SERVER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const task: DirectTask = {
    mode,
    databaseUrl: database.url,
    redisPort: cluster.nodes[0]?.port as number,
  };
  child.send(task);
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  return new DirectSetting(home, child, port, database, cluster);
}

/** The product itself. */
export async function startBehind(map: PartitionMap): Promise<ModeSetting> {
  const stack = await OwnStack.start(map);
  const { ingest, query, flusher, promoter, redis, postgres, auth } = stack.now;
  const secret = readSecret(stack.now);
  const { issuer, audience } = auth;
  const token = await signDevelopmentToken({
    secret,
    issuer,
    audience: audience.query,
    subject: 'reader',
    scope: 'drivers:read',
    ttlS: 24 * 3600,
  });
  return {
    port: Number(new URL(ingest.url).port),
    auth: { secret, issuer, audience: audience.ingest },
    reads: { url: query.url, headers: { authorization: `Bearer ${token}` } },
    adminUrl: stack.archiveAdminUrl,
    postgresPid: postgres.pid as number,
    serverPids: [...ingest.pids, query.pid, flusher.pid, ...(promoter === null ? [] : [promoter.pid])],
    redisPids: redis.map(({ pid }) => pid),
    async counts() {
      const transactions = total(await scrape(flusher.ops), 'whereabouts_flusher_transactions_total');
      return { statements: STATEMENTS_A_TRANSACTION * (transactions ?? Number.NaN), cacheHitShare: null };
    },
    stop: () => stack.stop(),
  };
}
