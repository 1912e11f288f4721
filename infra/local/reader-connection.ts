// A plain connection to one Redis node as a user who may only read: for whoever looks from outside.
import { Redis } from 'ioredis';
import { parseAddress } from '../src/node-address.js';

export type ReaderConnection = Redis;

export interface ReaderIdentity {
  username: string;
  password: string;
}

/** It fails at once instead of hiding a trouble behind retries; connect() is the caller's. */
export function readerConnection(
  address: string,
  identity: ReaderIdentity,
  commandTimeoutMs: number,
): ReaderConnection {
  const connection = new Redis({
    ...parseAddress(address),
    ...identity,
    protocol: 2,
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    connectTimeout: 1_000,
    commandTimeout: commandTimeoutMs,
  });
  connection.on('error', () => {}); // the command that was under way carries the error
  return connection;
}
