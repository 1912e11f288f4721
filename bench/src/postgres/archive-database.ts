// A Postgres with the tables of the project, made by its own migrations, and the address of the flusher's role.

import { join } from 'node:path';
import { freePort } from '@whereabouts/infra/local/ports';
import { type PostgresServer, removePostgresData } from '@whereabouts/infra/local/postgres-server';
import { migrateOwn, startDatabase } from '@whereabouts/scripts/stack/database';
import { stackSecrets } from '@whereabouts/scripts/stack/secrets';

export interface ArchiveDatabase {
  server: PostgresServer;
  /** As the flusher: reads and writes rows. */
  url: string;
  /** As a role that can see everything. */
  adminUrl: string;
  stop(): Promise<void>;
}

export async function startArchiveDatabase(
  home: string,
  say: (text: string) => void,
): Promise<ArchiveDatabase> {
  const dir = join(home, 'postgres');
  const secrets = stackSecrets(home);
  const port = await freePort();
  const server = await startDatabase({ dir, port, secrets, fresh: true, orphanGraceS: 0, say });
  const stop = async () => {
    await server.stop();
    await removePostgresData(dir);
  };
  try {
    const url = await migrateOwn(server, secrets);
    const adminUrl = new URL(server.adminUrl);
    adminUrl.pathname = new URL(url).pathname;
    return { server, url, adminUrl: adminUrl.href, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
