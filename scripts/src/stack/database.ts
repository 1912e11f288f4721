// The stack's archive: our own Postgres, or the one that DATABASE_URL names; migrated either way.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PostgresPlaceError } from '@whereabouts/infra/local/postgres-place';
import {
  type PostgresServer,
  removePostgresData,
  startPostgres,
} from '@whereabouts/infra/local/postgres-server';
import { BrokenStateError } from '@whereabouts/infra/local/state-file';
import { root } from '../home.js';
import { providePostgres } from '../servers/provide.js';
import { UsageError } from '../usage-error.js';
import { StartError } from './readiness.js';
import type { StackSecrets } from './secrets.js';
import { migrateEnv, migrateGivenEnv } from './service-env.js';

const run = promisify(execFile);

const MIGRATE = join(root, 'flusher', 'dist', 'migrate.js');

async function migrate(env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await run(process.execPath, [MIGRATE], { env, timeout: 120_000 });
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string };
    throw new StartError(`The migrations failed.\n${stdout}${stderr}`.trimEnd(), { cause });
  }
}

export interface DatabaseOptions {
  dir: string;
  port: number;
  secrets: StackSecrets;
  fresh: boolean;
  orphanGraceS: number;
  say(text: string): void;
}

export async function startDatabase(options: DatabaseOptions): Promise<PostgresServer> {
  if (options.fresh) await removePostgresData(options.dir);
  const binDir = await providePostgres();
  const { dir, port, orphanGraceS, say } = options;
  try {
    return await startPostgres({ dir, port, binDir, orphanGraceS, log: say });
  } catch (error) {
    if (error instanceof PostgresPlaceError) throw new UsageError(error.message, { cause: error });
    if (!(error instanceof BrokenStateError)) throw error;
    throw new UsageError(`${error.message}. Start with --fresh, which forgets the data.`, { cause: error });
  }
}

/** Returns the flusher's address. */
export async function migrateOwn(server: PostgresServer, secrets: StackSecrets): Promise<string> {
  await migrate(migrateEnv(secrets, server.adminUrl));
  return `postgres://whereabouts_flusher:${secrets.postgres.flusher}@127.0.0.1:${server.port}/whereabouts`;
}

export async function migrateGiven(databaseUrl: string): Promise<void> {
  await migrate(migrateGivenEnv(databaseUrl));
}
