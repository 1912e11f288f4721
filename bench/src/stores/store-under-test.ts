// The product's live store on a Redis Cluster of its own, in a folder that goes with it.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findRedisServer } from '@whereabouts/infra/dev/find-servers';
import { type RedisCluster, startRedisCluster } from '@whereabouts/infra/dev/redis-servers';
import { waitFor } from '@whereabouts/infra/dev/server-process';
import { LiveStore } from '@whereabouts/infra/live-store/live-store';
import type { NodeConnection } from '@whereabouts/infra/live-store/node-connection';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { MAX_BATCH_RECORDS, type Position, type Status, validatePosition } from '@whereabouts/infra/position';
import { createLogger } from '@whereabouts/infra/service/log';
import type { Place } from '../load/places.js';
import { PATIENT, plainConnection } from './plain-connection.js';

const BATCHES_AT_ONCE = 64;
const SESSION = 1;
const HEALTH_DEADLINE_MS = 10_000;

export class StoreUnderTest {
  readonly store: LiveStore;
  readonly #cluster: RedisCluster;
  readonly #dir: string;
  readonly #connections = new Map<string, NodeConnection>();

  private constructor(store: LiveStore, cluster: RedisCluster, dir: string) {
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
      const store = await LiveStore.connect({ redis, map, log, loadsFunctions: true });
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

  /** Records all of them, in large batches. */
  async load(positions: readonly Position[]): Promise<void> {
    const batches = byPartition(this.store.map, positions).flatMap((of, partition) =>
      pieces(of, MAX_BATCH_RECORDS).map((batch) => ({ partition, batch })),
    );
    for (const together of pieces(batches, BATCHES_AT_ONCE)) {
      await Promise.all(together.map(({ partition, batch }) => this.record(partition, batch)));
    }
  }

  /** A bench whose updates are refused would measure something else. */
  async record(partition: number, batch: readonly Position[]): Promise<void> {
    const { outcomes } = await this.store.record(partition, batch);
    const odd = outcomes.find((outcome) => outcome !== 'accepted');
    if (odd !== undefined) throw new Error(`an update of partition ${partition} was ${odd}`);
  }

  /** As the process that feeds the partitions does where it has nothing to write. */
  async touchAll(): Promise<void> {
    const { partitions } = this.store.map;
    await Promise.all(Array.from({ length: partitions }, (_, partition) => this.store.touch(partition)));
  }

  /** A partition that began to be written just now answers as one that may not be healed yet. */
  async healthy(): Promise<void> {
    await waitFor('every partition is healthy', HEALTH_DEADLINE_MS, async () => {
      await this.touchAll();
      const partitions = Array.from({ length: this.store.map.partitions }, (_, partition) => partition);
      const states = await Promise.all(partitions.map((partition) => this.store.status(partition)));
      return states.every(({ health }) => health === 'ok') || undefined;
    });
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
