// The cache of the stack: the Redis Cluster with its users, and our functions in it.
import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { LogStore } from '@whereabouts/infra/live-store/log-store';
import {
  makeNetworkNamespace,
  type NetworkNamespace,
  whyNoNamespace,
} from '@whereabouts/infra/local/network-namespace';
import {
  ClusterShapeError,
  type RedisCluster,
  startRedisCluster,
} from '@whereabouts/infra/local/redis-servers';
import { BrokenStateError } from '@whereabouts/infra/local/state-file';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { redisUsers } from '@whereabouts/infra/redis-setup/users';
import { createLogger } from '@whereabouts/infra/service/log';
import { provideRedis } from '../servers/provide.js';
import { UsageError } from '../usage-error.js';
import type { StackOptions } from './options.js';
import { GROWN } from './redis-admin.js';
import type { StackSecrets } from './secrets.js';

export interface CacheOptions {
  options: StackOptions;
  dir: string;
  ports: readonly number[];
  /** Of one master. */
  namespace: NetworkNamespace | null;
  secrets: StackSecrets;
  orphanGraceS: number;
  /** The existing data are no longer usable. */
  anew: boolean;
  say(text: string): void;
}

const ADMIN_TIMEOUTS = { commandTimeoutMs: 600, connectTimeoutMs: 2_000, socketTimeoutMs: 2_000 };

function appendfsync(): 'everysec' | 'always' {
  const wanted = process.env.REDIS_APPENDFSYNC ?? 'everysec';
  if (wanted === 'everysec' || wanted === 'always') return wanted;
  throw new UsageError(`REDIS_APPENDFSYNC must be everysec or always, not "${wanted}".`);
}

export async function makeCacheNamespace(): Promise<NetworkNamespace> {
  const lacking = await whyNoNamespace();
  if (lacking !== null) throw new UsageError(`--network-namespace: ${lacking}.`);
  return makeNetworkNamespace();
}

export async function startCache(o: CacheOptions): Promise<RedisCluster> {
  const redisServer = await provideRedis(o.say);
  if (o.anew) await rm(o.dir, { recursive: true, force: true });
  if (existsSync(o.dir) && readdirSync(o.dir).some((name) => name.startsWith(GROWN))) {
    // Its slots would have no owner, and what it held is in the archive alone.
    throw new UsageError(
      'When the stack stopped, its cluster had a master that npm run plan had added. Start with --fresh.',
    );
  }
  try {
    return await startRedisCluster({
      masters: o.options.redisMasters,
      replicas: o.options.replicas,
      dir: o.dir,
      ports: o.ports,
      namespace: o.namespace,
      appendfsync: appendfsync(),
      users: redisUsers(o.secrets.redis),
      redisServer,
      orphanGraceS: o.orphanGraceS,
    });
  } catch (error) {
    if (!(error instanceof ClusterShapeError) && !(error instanceof BrokenStateError)) throw error;
    throw new UsageError(`${error.message}. Start with --fresh, which forgets the data.`, { cause: error });
  }
}

export async function loadFunctions(cluster: RedisCluster, map: PartitionMap): Promise<void> {
  const password = cluster.password === undefined ? {} : { password: cluster.password };
  const redis = { redisUrls: [...cluster.urls], ...password, ...ADMIN_TIMEOUTS };
  const store = await LogStore.connect({
    redis,
    map,
    log: createLogger('start', 'silent'),
    loadsFunctions: true,
  });
  try {
    await store.loadFunctions();
  } finally {
    store.close();
  }
}
