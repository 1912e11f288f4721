// The environment of each service: the user's settings for it (FLUSH_INTERVAL_MS=1000 npm start), overridden by the
// stack's own. Secrets go by file if there is one, else by environment, never by command line.

import { redisUserName } from '@whereabouts/infra/redis-setup/users';
import type { StackSecrets } from './secrets.js';
import type { StackPorts } from './stack-ports.js';

export interface StackAddresses {
  ports: StackPorts;
  secrets: StackSecrets;
  redisUrls: readonly string[];
  partitionMapFile: string;
  databaseUrl: string;
}

/** Set by the stack or not at all: a stray one would contradict it. */
const OURS =
  /^(HOST|PORT|OPS_HOST|OPS_PORT|REDIS_(URL|USERNAME|PASSWORD|PASSWORD_FILE)|DATABASE_(ADMIN_)?URL(_FILE)?|PG[A-Z]+|JWT_[A-Z_]+|PARTITION_MAP_FILE|npm_.*|INIT_CWD|NODE_CHANNEL_.*)$/;

export const HOST = '127.0.0.1';
export const ISSUER = 'whereabouts';
export const AUDIENCE = { ingest: 'whereabouts-ingest', query: 'whereabouts-query' } as const;

function inherited(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !OURS.test(name)));
}

function common(
  stack: Omit<StackAddresses, 'ports'>,
  service: 'ingest' | 'flusher' | 'query' | 'promoter',
  opsPort: number,
) {
  return {
    ...inherited(),
    HOST,
    OPS_PORT: String(opsPort),
    REDIS_URL: stack.redisUrls.join(','),
    REDIS_USERNAME: redisUserName(service),
    REDIS_PASSWORD: stack.secrets.redis[service],
    PARTITION_MAP_FILE: stack.partitionMapFile,
  };
}

export function ingestEnv(stack: StackAddresses): NodeJS.ProcessEnv {
  return {
    ...common(stack, 'ingest', stack.ports.ingestOps),
    PORT: String(stack.ports.ingest),
    JWT_SECRET_FILE: stack.secrets.jwtSecretFile,
    JWT_ISSUER: ISSUER,
    JWT_AUDIENCE: AUDIENCE.ingest,
  };
}

export function queryEnv(stack: StackAddresses): NodeJS.ProcessEnv {
  return {
    ...common(stack, 'query', stack.ports.queryOps),
    PORT: String(stack.ports.query),
    JWT_SECRET_FILE: stack.secrets.jwtSecretFile,
    JWT_ISSUER: ISSUER,
    JWT_AUDIENCE: AUDIENCE.query,
  };
}

export function flusherEnv(stack: StackAddresses): NodeJS.ProcessEnv {
  return { ...common(stack, 'flusher', stack.ports.flusherOps), DATABASE_URL: stack.databaseUrl };
}

/** For `node flusher/dist/restore.js`, which listens nowhere. */
export function restoreEnv(stack: Omit<StackAddresses, 'ports'>): NodeJS.ProcessEnv {
  return { ...common(stack, 'flusher', 0), DATABASE_URL: stack.databaseUrl };
}

export function promoterEnv(stack: StackAddresses): NodeJS.ProcessEnv {
  return common(stack, 'promoter', stack.ports.promoterOps);
}

/** For `node flusher/dist/migrate.js`. */
export function migrateEnv(secrets: StackSecrets, adminUrl: string): NodeJS.ProcessEnv {
  return {
    ...inherited(),
    DATABASE_ADMIN_URL: adminUrl,
    WHEREABOUTS_MIGRATOR_PASSWORD: secrets.postgres.migrator,
    WHEREABOUTS_FLUSHER_PASSWORD: secrets.postgres.flusher,
  };
}

/** For the user's own database. */
export function migrateGivenEnv(databaseUrl: string): NodeJS.ProcessEnv {
  return { ...inherited(), DATABASE_URL: databaseUrl };
}

export const fleetEnv = (): NodeJS.ProcessEnv => inherited();
