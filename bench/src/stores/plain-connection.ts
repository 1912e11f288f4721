// A connection to a server of comparison. It is the same class that the live store uses for a Redis node: the calls of
// one turn leave in one write, so client and pipelining are the same on both sides.

import { once } from 'node:events';
import { NodeConnection } from '@whereabouts/infra/live-store/node-connection';
import type { RedisSettings } from '@whereabouts/infra/service/settings';

const CONNECT_DEADLINE_MS = 10_000;

/** No call times out because a bench keeps a server busy. */
export const PATIENT: Omit<RedisSettings, 'redisUrls'> = {
  commandTimeoutMs: 20_000,
  connectTimeoutMs: 2000,
  socketTimeoutMs: 20_000,
};

export async function plainConnection(address: string): Promise<NodeConnection> {
  const connection = new NodeConnection(address, { ...PATIENT, redisUrls: [] });
  try {
    if (!connection.ready)
      await once(connection, 'ready', { signal: AbortSignal.timeout(CONNECT_DEADLINE_MS) });
    return connection;
  } catch (cause) {
    connection.close();
    throw new Error(`no connection to ${address} in ${CONNECT_DEADLINE_MS} ms`, { cause });
  }
}
