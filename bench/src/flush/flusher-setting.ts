// The flusher's own process on a new cluster and a new Postgres. It does nothing until every driver of a partition has
// reported once more: then that partition is due by what it has accepted, not by the clock.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MAX_ENTRY_RECORDS } from '@whereabouts/infra/live-store/log-limits';
import { LogStore } from '@whereabouts/infra/live-store/log-store';
import { freePort } from '@whereabouts/infra/local/ports';
import { type RedisCluster, startRedisCluster } from '@whereabouts/infra/local/redis-servers';
import { formatPartitionMap } from '@whereabouts/infra/partition-map';
import { BatchWriter } from '@whereabouts/infra/record';
import { createLogger } from '@whereabouts/infra/service/log';
import { root } from '@whereabouts/scripts/home';
import { provideRedis } from '@whereabouts/scripts/servers/provide';
import { scrape, total } from '@whereabouts/scripts/stack/scrape';
import { type ArchiveDatabase, startArchiveDatabase } from '../postgres/archive-database.js';
import type { PlacedPosition } from '../postgres/upsert-statement.js';
import type { PlacedFleet } from './placed-fleet.js';

const FLUSHER = join(root, 'flusher', 'dist', 'main.js');
const MASTERS = 3;
/** Appending a whole fleet at once keeps a node busy for longer than a service would wait. */
const PATIENT = { commandTimeoutMs: 5_000, connectTimeoutMs: 5_000, socketTimeoutMs: 5_000 };
/** The longest possible: the clock makes no partition due while a round is prepared. */
const NEVER = { FLUSH_INTERVAL_MS: '600000', LOSS_BUDGET_MS: '3600000' };
const DEADLINE_MS = 60_000;
const POLL_MS = 100;

export interface FlusherCounts {
  rows: number;
  transactions: number;
  passes: number;
  passS: number;
}

export class FlusherSetting {
  readonly database: ArchiveDatabase;
  readonly #home: string;
  readonly #fleet: PlacedFleet;
  readonly #cluster: RedisCluster;
  readonly #store: LogStore;
  readonly #child: ChildProcess;
  readonly #ops: string;
  readonly #writer = new BatchWriter();

  private constructor(o: {
    home: string;
    fleet: PlacedFleet;
    database: ArchiveDatabase;
    cluster: RedisCluster;
    store: LogStore;
    child: ChildProcess;
    ops: string;
  }) {
    this.#home = o.home;
    this.#fleet = o.fleet;
    this.database = o.database;
    this.#cluster = o.cluster;
    this.#store = o.store;
    this.#child = o.child;
    this.#ops = o.ops;
  }

  static async start(fleet: PlacedFleet, say: (text: string) => void): Promise<FlusherSetting> {
    const home = await mkdtemp(join(tmpdir(), 'whereabouts-flush-'));
    const redisServer = await provideRedis(say);
    const dir = join(home, 'redis');
    const [database, cluster] = await Promise.all([
      startArchiveDatabase(home, say),
      startRedisCluster({ masters: MASTERS, replicas: 0, dir, redisServer }),
    ]);
    const redis = { redisUrls: cluster.urls, ...PATIENT };
    const log = createLogger('bench', 'silent');
    const store = await LogStore.connect({ redis, map: fleet.map, log, loadsFunctions: true });
    const mapFile = join(home, 'map.json');
    await writeFile(mapFile, formatPartitionMap(fleet.map));
    const opsPort = await freePort();
    const child = fork(FLUSHER, [], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: {
        ...process.env,
        ...NEVER,
        HOST: '127.0.0.1',
        OPS_PORT: String(opsPort),
        REDIS_URL: cluster.urls.join(','),
        DATABASE_URL: database.url,
        PARTITION_MAP_FILE: mapFile,
        FLUSH_MAX_ACCEPTED: String(fleet.driversEach),
      },
    });
    const ops = `http://127.0.0.1:${opsPort}`;
    const setting = new FlusherSetting({ home, fleet, database, cluster, store, child, ops });
    try {
      // Its first pass takes every partition, as the clock has not been consulted before.
      await setting.#until('the flusher has passed once', (counts) => counts.passes > 0);
      return setting;
    } catch (error) {
      await setting.stop();
      throw error;
    }
  }

  get flusherPid(): number {
    return this.#child.pid as number;
  }

  async counts(): Promise<FlusherCounts> {
    const samples = await scrape(this.#ops);
    const of = (name: string) => total(samples, `whereabouts_flusher_${name}`) ?? Number.NaN;
    return {
      rows: of('rows_written_total'),
      transactions: of('transactions_total'),
      passes: of('pass_duration_seconds_count'),
      passS: of('pass_duration_seconds_sum'),
    };
  }

  /** All except the last driver of each partition. */
  async appendMost(round: readonly PlacedPosition[][]): Promise<void> {
    await Promise.all(
      round.map(async (rows, partition) => {
        for (let at = 0; at < rows.length - 1; at += MAX_ENTRY_RECORDS) {
          const end = Math.min(at + MAX_ENTRY_RECORDS, rows.length - 1);
          await this.#append(partition, rows.slice(at, end));
        }
      }),
    );
  }

  /** Makes every partition due. Returns the flusher's counters when all of them were written. */
  async appendLast(round: readonly PlacedPosition[][], before: FlusherCounts): Promise<FlusherCounts> {
    await Promise.all(round.map((rows, partition) => this.#append(partition, rows.slice(-1))));
    return this.#until('all is flushed', ({ rows, passes }) => {
      return rows - before.rows >= this.#fleet.drivers && passes > before.passes;
    });
  }

  async stop(): Promise<void> {
    this.#store.close();
    if (this.#child.exitCode === null) {
      const exited = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      await exited;
    }
    await Promise.all([this.#cluster.stop(), this.database.stop()]);
    await rm(this.#home, { recursive: true, force: true });
  }

  async #append(partition: number, rows: readonly PlacedPosition[]): Promise<void> {
    if (rows.length === 0) return;
    for (const { position } of rows) this.#writer.add(position);
    const batch = this.#writer.bytes();
    this.#writer.reset();
    await this.#store.append(partition, batch, rows.length);
  }

  async #until(what: string, isDone: (counts: FlusherCounts) => boolean): Promise<FlusherCounts> {
    for (const endMs = Date.now() + DEADLINE_MS; ; await delay(POLL_MS)) {
      const counts = await this.counts();
      if (isDone(counts)) return counts;
      if (this.#child.exitCode !== null) throw new Error('the flusher has ended');
      if (Date.now() > endMs) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
    }
  }
}
