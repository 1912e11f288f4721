// A real PgBouncer before the Postgres of a test, where the machine has one.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, isPortFree } from '@whereabouts/infra/local/ports';
import { startServer } from '@whereabouts/infra/local/server-process';
import { until } from './flusher-process.js';

const PLACES = [
  '/usr/sbin/pgbouncer',
  '/usr/bin/pgbouncer',
  '/usr/local/bin/pgbouncer',
  '/opt/homebrew/bin/pgbouncer',
];
const STOP_DEADLINE_MS = 5_000;

export const pgbouncer: string | undefined = PLACES.find((path) => existsSync(path));

export interface Pooler {
  /** The same address, by way of the pooler. */
  url: string;
  stop(): Promise<void>;
}

/** It refuses to run as root. */
function account(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (option: string) => Number(execFileSync('id', [option, 'nobody'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

const quoted = (text: string) => `"${decodeURIComponent(text).replaceAll('"', '""')}"`;

/**
 * With the settings that it comes with, but for few sessions, so that clients share them, and without the 15 s that it
 * leaves a server alone that it could not reach.
 */
export async function startPooler(address: string, mode: 'session' | 'transaction'): Promise<Pooler> {
  const dir = await mkdtemp(join(tmpdir(), 'whereabouts-pooler-'));
  const url = new URL(address);
  const port = await freePort();
  const [config, users] = [join(dir, 'pgbouncer.ini'), join(dir, 'users.txt')];
  await writeFile(users, `${quoted(url.username)} ${quoted(url.password)}\n`);
  await writeFile(
    config,
    `[databases]
* = host=${url.hostname} port=${url.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = ${mode}
server_login_retry = 1
default_pool_size = ${mode === 'session' ? 10 : 1}
`,
  );
  const other = account();
  if (other) for (const path of [dir, config, users]) await chown(path, other.uid, other.gid);
  await chmod(dir, 0o700);
  const server = await startServer({
    command: pgbouncer as string,
    args: [config],
    logFile: join(dir, 'log'),
    stopSignal: 'SIGTERM',
    ...other,
  });
  await until('PgBouncer listens', async () => !(await isPortFree(port)));
  url.port = String(port);
  return {
    url: url.href,
    async stop() {
      await server.stop(STOP_DEADLINE_MS);
      await rm(dir, { recursive: true, force: true });
    },
  };
}
