// A plain connection to one Redis node for tools: as a user that may only read, or as the admin.
import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import { parseAddress } from '../src/node-address.js';

export type ReaderConnection = Redis;

export interface ReaderIdentity {
  username: string;
  password: string;
}

/** The caller has to call connect(). */
export function readerConnection(
  address: string,
  identity: ReaderIdentity,
  commandTimeoutMs: number,
): ReaderConnection {
  return plainConnection(address, identity, { connectTimeout: 1_000, commandTimeout: commandTimeoutMs });
}

/** Connects to `host:port` with its first command. It fails at once instead of hiding trouble behind retries. */
export function plainConnection(
  address: string,
  identity: Partial<ReaderIdentity>,
  timeouts: { connectTimeout: number; commandTimeout: number },
  tls?: ConnectionOptions,
): Redis {
  const connection = new Redis({
    ...parseAddress(address),
    ...identity,
    ...timeouts,
    ...(tls === undefined ? {} : { tls }),
    protocol: 2,
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
  });
  connection.on('error', () => {}); // the command in progress carries the error
  return connection;
}
