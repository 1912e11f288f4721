// What stack.json says before the services have their pids.
import type { RedisNode } from '@whereabouts/infra/local/redis-servers';
import { redisUserName } from '@whereabouts/infra/redis-setup/users';
import type { Stack } from '../stack-file.js';
import { AUDIENCE, HOST, ISSUER, type StackAddresses } from './service-env.js';

export function describeStack(
  { ports, secrets, partitionMapFile, databaseUrl }: StackAddresses,
  redis: readonly RedisNode[],
  postgresPid: number | null,
): Stack {
  const http = (port: number) => `http://${HOST}:${port}`;
  return {
    ready: false,
    pid: process.pid,
    ingest: { url: `ws://${HOST}:${ports.ingest}`, ops: http(ports.ingestOps), pids: [] },
    query: { url: http(ports.query), ops: http(ports.queryOps), pid: 0 },
    flusher: { ops: http(ports.flusherOps), pid: 0 },
    promoter: null,
    observe: null,
    redis: redis.map((node) => ({ ...node, state: 'up' })),
    postgres: { url: databaseUrl, pid: postgresPid },
    auth: { secretFile: secrets.jwtSecretFile, issuer: ISSUER, audience: AUDIENCE },
    partitionMapFile,
    control: '',
    redisReader: { username: redisUserName('reader'), password: secrets.redis.reader },
  };
}
