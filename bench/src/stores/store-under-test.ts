// The product's live store on a new Redis Cluster, in a folder that is removed with it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAX_ENTRY_RECORDS } from '@whereabouts/infra/live-store/log-limits';
import { LogStore } from '@whereabouts/infra/live-store/log-store';
import type { NodeConnection } from '@whereabouts/infra/live-store/node-connection';
import { findRedisServer } from '@whereabouts/infra/local/find-servers';
import { type RedisCluster, startRedisCluster } from '@whereabouts/infra/local/redis-servers';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { type Position, type Status, validatePosition } from '@whereabouts/infra/position';
import { BatchWriter } from '@whereabouts/infra/record';
import { createLogger } from '@whereabouts/infra/service/log';
import type { Place } from '../load/places.js';
import { PATIENT, plainConnection } from './plain-connection.js';

const BATCHES_AT_ONCE = 64;
const SESSION = 1;

export class StoreUnderTest {
  readonly store: LogStore;
  readonly #cluster: RedisCluster;
  readonly #dir: string;
  readonly #connections = new Map<string, NodeConnection>();
  readonly #writer = new BatchWriter();

  private constructor(store: LogStore, cluster: RedisCluster, dir: string) {
    this.store = store;
    this.#cluster = cluster;
    this.#dir = dir;
  }

  static async start(map: PartitionMap, masters: number): Promise<StoreUnderTest> {
    const dir = await mkdtemp(join(tmpdir(), 'whereabouts-bench-'));
    let cluster: RedisCluster | undefined;
    try {
      const redisServer = await findRedisServer();
      cluster = await startRedisCluster({ masters, replicas: 0, dir, redisServer });
      const redis = { ...PATIENT, redisUrls: cluster.urls };
      const log = createLogger('bench', 'fatal');
      const store = await LogStore.connect({ redis, map, log, loadsFunctions: true });
      return new StoreUnderTest(store, cluster, dir);
    } catch (error) {
      await cluster?.stop();
      await rm(dir, { recursive: true, force: true });
      throw error;
    }
  }

  get pids(): number[] {
    return this.#cluster.nodes.map(({ pid }) => pid);
  }

  get urls(): readonly string[] {
    return this.#cluster.urls;
  }

  /** For plain commands on the node that owns the partition. */
  async nodeOf(partition: number): Promise<NodeConnection> {
    return this.#connectionTo(this.store.nodeOf(partition) as string);
  }

  /** Appends all of them, in large batches, and folds them into the snapshots: a fleet at rest. */
  async load(positions: readonly Position[]): Promise<void> {
    const batches = byPartition(this.store.map, positions).flatMap((of, partition) =>
      pieces(of, MAX_ENTRY_RECORDS).map((batch) => ({ partition, batch })),
    );
    for (const together of pieces(batches, BATCHES_AT_ONCE)) {
      await Promise.all(together.map(({ partition, batch }) => this.append(partition, batch)));
    }
    await this.#each((partition) => this.compact(partition));
  }

  /** One entry. */
  async append(partition: number, batch: readonly Position[]): Promise<void> {
    for (const position of batch) this.#writer.add(position);
    const bytes = this.#writer.bytes();
    this.#writer.reset();
    await this.store.append(partition, bytes, batch.length);
  }

  /** Everything in the log, whatever its age. */
  async compact(partition: number): Promise<void> {
    while ((await this.store.compact(partition, 0)).isMore);
  }

  /** As the process that feeds the partitions does when it has nothing to write. */
  async touchAll(): Promise<void> {
    await this.#each((partition) => this.store.touch(partition));
  }

  async usedMemoryBytes(): Promise<number> {
    let bytes = 0;
    for (const { host, port } of this.#cluster.nodes) {
      const info = await (await this.#connectionTo(`${host}:${port}`)).call(['INFO', 'memory']);
      bytes += Number(/^used_memory:(\d+)/m.exec(String(info))?.[1]);
    }
    return bytes;
  }

  async stop(): Promise<void> {
    for (const connection of this.#connections.values()) connection.close();
    this.store.close();
    await this.#cluster.stop();
    await rm(this.#dir, { recursive: true, force: true });
  }

  async #each(work: (partition: number) => Promise<unknown>): Promise<void> {
    const { partitions } = this.store.map;
    await Promise.all(Array.from({ length: partitions }, (_, partition) => work(partition)));
  }

  async #connectionTo(address: string): Promise<NodeConnection> {
    const connection = this.#connections.get(address) ?? (await plainConnection(address));
    this.#connections.set(address, connection);
    return connection;
  }
}

export function positionOf({ id, lat, lon }: Place, status: Status, nowMs: number): Position {
  const input = { seq: 1, recordedAtMs: nowMs, lat, lon, speedMps: 10, headingDeg: 90, accuracyM: 5, status };
  return validatePosition(input, id, SESSION);
}

export function byPartition(map: PartitionMap, positions: readonly Position[]): Position[][] {
  const lists: Position[][] = Array.from({ length: map.partitions }, () => []);
  for (const position of positions) {
    lists[map.partitionOf(position.latE7 / 1e7, position.lonE7 / 1e7)]?.push(position);
  }
  return lists;
}

export function pieces<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  );
}
