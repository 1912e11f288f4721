// Reads the running stack's cache as the read-only user.

import { readFileSync } from 'node:fs';
import { LogStore } from '@whereabouts/infra/live-store/log-store';
import { redisUrlOf } from '@whereabouts/infra/node-address';
import { parsePartitionMap } from '@whereabouts/infra/partition-map';
import { createLogger } from '@whereabouts/infra/service/log';
import type { Stack } from './stack-file.js';

const TIMEOUTS = { commandTimeoutMs: 500, connectTimeoutMs: 1_000, socketTimeoutMs: 1_000 };
const CONNECT_DEADLINE_MS = 5_000;

export async function withLogStore<T>(stack: Stack, look: (store: LogStore) => Promise<T>): Promise<T> {
  const map = parsePartitionMap(readFileSync(stack.partitionMapFile, 'utf8'));
  const redisUrls = stack.redis.map(redisUrlOf);
  const store = await LogStore.connect({
    redis: { redisUrls, ...stack.redisReader, ...TIMEOUTS },
    map,
    log: createLogger('inspect', 'silent'),
    readOnly: true,
    connectDeadlineMs: CONNECT_DEADLINE_MS,
  });
  try {
    return await look(store);
  } finally {
    store.close();
  }
}
