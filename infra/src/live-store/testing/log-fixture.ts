// A real cluster and a log store on it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findRedisServer } from '../../../local/find-servers.js';
import { adminConnection } from '../../../local/redis-node.js';
import {
  type RedisCluster,
  type RedisClusterOptions,
  startRedisCluster,
} from '../../../local/redis-servers.js';
import { evenPartitionMap, type PartitionMap } from '../../partition-map.js';
import type { Position } from '../../position.js';
import { BatchWriter } from '../../record.js';
import type { RedisTls } from '../../service/redis-tls.js';
import { LogStore, type LogStoreOptions } from '../log-store.js';
import { QUIET } from './store-fixture.js';

export interface LogFixture {
  cluster: RedisCluster;
  store: LogStore;
  map: PartitionMap;
  connect(options?: Partial<LogStoreOptions>): Promise<LogStore>;
  /** A plain command on the node that owns the partition; its reply as buffers. */
  command(partition: number, ...args: [string, ...(string | number | Buffer)[]]): Promise<unknown>;
  stop(): Promise<void>;
}

export async function startLogStore({
  connects,
  ...options
}: Partial<RedisClusterOptions> & { connects?: RedisTls } = {}): Promise<LogFixture> {
  const dir = await mkdtemp(join(tmpdir(), 'whereabouts-log-'));
  const redisServer = await findRedisServer();
  const cluster = await startRedisCluster({ masters: 3, replicas: 0, dir, redisServer, ...options });
  const map = evenPartitionMap(64);
  const { tls } = options;
  const redis = {
    redisUrls: cluster.urls,
    ...(connects !== undefined && { tls: connects }),
    ...(cluster.password !== undefined && { password: cluster.password }),
    commandTimeoutMs: 300,
    connectTimeoutMs: 500,
    socketTimeoutMs: 500,
  };
  const stores: LogStore[] = [];
  const connect = async (more: Partial<LogStoreOptions> = {}) => {
    const store = await LogStore.connect({ redis, map, log: QUIET, loadsFunctions: true, ...more });
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
      const connection = adminConnection(store.nodeOf(partition) ?? '', cluster.password, tls?.admin);
      try {
        return await connection.callBuffer(
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

export function batchOf(...positions: readonly Position[]): Buffer {
  const writer = new BatchWriter();
  for (const position of positions) writer.add(position);
  return writer.bytes();
}
