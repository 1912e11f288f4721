// A real cluster and a store on it, for the tests of this folder.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { findRedisServer } from '../../dev/find-servers.js';
import { adminConnection } from '../../dev/redis-node.js';
import { type RedisCluster, type RedisClusterOptions, startRedisCluster } from '../../dev/redis-servers.js';
import { evenPartitionMap, type PartitionMap } from '../../partition-map.js';
import { type Position, type PositionInput, validatePosition } from '../../position.js';
import { LiveStore } from '../live-store.js';

export const QUIET = pino({ level: process.env.LOG_LEVEL ?? 'silent' });

export interface StoreFixture {
  cluster: RedisCluster;
  store: LiveStore;
  map: PartitionMap;
  connect(map?: PartitionMap, loadsFunctions?: boolean): Promise<LiveStore>;
  /** A plain command on the node that owns the partition. */
  command(partition: number, ...args: [string, ...(string | number | Buffer)[]]): Promise<unknown>;
  stop(): Promise<void>;
}

export async function startStore(options: Partial<RedisClusterOptions> = {}): Promise<StoreFixture> {
  const dir = await mkdtemp(join(tmpdir(), 'whereabouts-store-'));
  const redisServer = await findRedisServer();
  const cluster = await startRedisCluster({ masters: 3, replicas: 0, dir, redisServer, ...options });
  const map = evenPartitionMap(64);
  const redis = {
    redisUrls: cluster.urls,
    commandTimeoutMs: 300,
    connectTimeoutMs: 500,
    socketTimeoutMs: 500,
  };
  const stores: LiveStore[] = [];
  const connect = async (other = map, loadsFunctions = true) => {
    const store = await LiveStore.connect({ redis, map: other, log: QUIET, loadsFunctions });
    stores.push(store);
    return store;
  };
  const store = await connect();
  return {
    cluster,
    store,
    map,
    connect,
    async command(partition, ...args) {
      const [name, ...rest] = args;
      const connection = adminConnection(store.nodeOf(partition) ?? '', cluster.password);
      try {
        return await connection.call(
          name,
          ...rest.map((arg) => (typeof arg === 'number' ? String(arg) : arg)),
        );
      } finally {
        connection.disconnect();
      }
    },
    async stop() {
      for (const opened of stores) opened.close();
      await cluster.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

export function position(driverId: string, input: PositionInput & { session?: number } = {}): Position {
  const { session = 1, ...rest } = input;
  const report = { seq: 1, recordedAtMs: Date.now(), lat: 52.2297, lon: 21.0122, ...rest };
  return validatePosition(report, driverId, session);
}

export async function rejects(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'nothing';
}
