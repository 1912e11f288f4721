// Looks into the running stack's cache as the user who may only read.

import { readFileSync } from 'node:fs';
import { LiveStore } from '@whereabouts/infra/live-store/live-store';
import { redisUrlOf } from '@whereabouts/infra/node-address';
import { type PartitionMap, parsePartitionMap } from '@whereabouts/infra/partition-map';
import { createLogger } from '@whereabouts/infra/service/log';
import type { Stack } from './stack-file.js';

const TIMEOUTS = { commandTimeoutMs: 500, connectTimeoutMs: 1_000, socketTimeoutMs: 1_000 };
const CONNECT_DEADLINE_MS = 5_000;

const mapOf = (stack: Stack): PartitionMap => parsePartitionMap(readFileSync(stack.partitionMapFile, 'utf8'));

export async function withLiveStore<T>(
  stack: Stack,
  look: (store: LiveStore, map: PartitionMap) => Promise<T>,
): Promise<T> {
  const map = mapOf(stack);
  const redisUrls = stack.redis.map(redisUrlOf);
  const store = await LiveStore.connect({
    redis: { redisUrls, ...stack.redisReader, ...TIMEOUTS },
    map,
    log: createLogger('inspect', 'silent'),
    readOnly: true,
    connectDeadlineMs: CONNECT_DEADLINE_MS,
  });
  try {
    return await look(store, map);
  } finally {
    store.close();
  }
}
