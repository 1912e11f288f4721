// A Postgres of our own for tests and for `npm start`: on 127.0.0.1 only, scram with a generated password.
//
// Postgres refuses to run as root. As root it runs as the user `postgres`, else `nobody`; where that user cannot
// reach `dir` (a clone below /root), the data live in /var/tmp/whereabouts-<hash of dir> and `dir/moved-to` says so.
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { chmod, chown, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { findPostgresBinDir } from './find-servers.js';
import { freePort } from './ports.js';
import {
  commandLine,
  isAlive,
  type ServerProcess,
  startServer,
  stopStray,
  waitFor,
} from './server-process.js';

const run = promisify(execFile);

const ADMIN = 'whereabouts_admin';
const START_DEADLINE_MS = 60_000;
const START_ATTEMPTS = 4;
const STOP_DEADLINE_MS = 15_000;

export interface PostgresOptions {
  dir: string;
  port?: number;
  binDir?: string;
  orphanGraceS?: number;
  log?: (text: string) => void;
}

export interface PostgresServer {
  readonly adminUrl: string;
  readonly pid: number;
  readonly port: number;
  /** Where the data are: `dir`, or the place that Postgres's user can reach. */
  readonly dataDir: string;
  kill(signal: NodeJS.Signals): void;
  /** Starts it again on the same data and port, after a stop or a kill. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

interface Account {
  uid: number;
  gid: number;
}

async function accountOf(name: string): Promise<Account | null> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return null;
  }
}

/** Whom Postgres runs as; null for ourselves. */
async function otherAccount(): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null;
  const account = (await accountOf('postgres')) ?? (await accountOf('nobody'));
  if (account === null)
    throw new Error('Postgres does not run as root, and there is no user postgres or nobody');
  return account;
}

/** Whether every folder above (and the path itself, if it is there) lets this account pass. */
function canPass(account: Account, path: string): boolean {
  for (let at = resolve(path); ; at = dirname(at)) {
    if (existsSync(at)) {
      const { uid, gid, mode } = statSync(at);
      const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
      if ((mode & bit) === 0) return false;
    }
    if (at === dirname(at)) return true;
  }
}

const movedTo = (dir: string) => join(dir, 'moved-to');

async function placeFor(dir: string, account: Account | null, log: PostgresOptions['log']): Promise<string> {
  await mkdir(dir, { recursive: true });
  if (account === null || canPass(account, dirname(dir))) return resolve(dir);
  const hash = createHash('sha256').update(resolve(dir)).digest('hex').slice(0, 12);
  const place = join('/var/tmp', `whereabouts-${hash}`);
  await writeFile(movedTo(dir), place);
  log?.(`Postgres cannot run as root: its data live in ${place}`);
  return place;
}

/** Removes the data of `dir`, also where they had to live elsewhere; returns what was removed. */
export async function removePostgresData(dir: string): Promise<string[]> {
  const places = existsSync(dir) ? [resolve(dir)] : [];
  if (existsSync(movedTo(dir))) {
    const place = (await readFile(movedTo(dir), 'utf8')).trim();
    if (/^\/var\/tmp\/whereabouts-[0-9a-f]{12}$/.test(place)) places.push(place);
  }
  for (const place of places) await rm(place, { recursive: true, force: true });
  return places;
}

/** The other user must be able to run the binaries: where it cannot reach them they are copied beside the data. */
async function reachableBinaries(binDir: string, place: string, account: Account | null): Promise<string> {
  if (account === null || canPass(account, binDir)) return binDir;
  const copy = join(place, 'native');
  if (!existsSync(join(copy, 'bin', 'postgres'))) await cp(dirname(binDir), copy, { recursive: true });
  return join(copy, 'bin');
}

async function adminPassword(place: string): Promise<string> {
  const file = join(place, 'password');
  if (!existsSync(file)) await writeFile(file, randomBytes(16).toString('hex'), { mode: 0o600 });
  return (await readFile(file, 'utf8')).trim();
}

async function initialize(
  binDir: string,
  place: string,
  data: string,
  account: Account | null,
): Promise<void> {
  // Written last: without it the making of the data folder was cut short.
  if (existsSync(join(place, 'initialized'))) return;
  await rm(data, { recursive: true, force: true });
  const args = ['-D', data, '-U', ADMIN, `--pwfile=${join(place, 'password')}`, '--auth=scram-sha-256'];
  args.push('--encoding=UTF8', '--no-locale', '--no-sync');
  const env = { ...process.env, LC_ALL: 'C' };
  await run(join(binDir, 'initdb'), args, { ...account, env, cwd: '/', maxBuffer: 1 << 24 });
  await writeFile(join(place, 'initialized'), '');
}

/**
 * After a SIGKILL a pid file stays. Postgres sees by itself whether that process is gone, but not that its number
 * now belongs to somebody else (likely in containers); and a server left by an earlier run has to end first.
 */
async function clearPidFile(data: string, log: PostgresOptions['log']): Promise<void> {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return;
  const pid = Number((await readFile(file, 'utf8')).split('\n')[0]);
  if (!(pid > 0) || !isAlive(pid)) return;
  if (commandLine(pid)?.includes(data)) {
    log?.(`stopping Postgres ${pid}, left by an earlier run`);
    await stopStray(pid, 'SIGINT', STOP_DEADLINE_MS);
  } else {
    await rm(file, { force: true });
  }
}

function serverArguments(data: string, port: number): string[] {
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    fsync: 'on',
    synchronous_commit: 'on',
    timezone: 'UTC',
    log_timezone: 'UTC',
    max_connections: 60,
  };
  return ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
}

/** Line 8 of the pid file turns to `ready`: what pg_ctl itself looks at; embedded binaries have no psql. */
async function isReady(data: string, pid: number): Promise<true | undefined> {
  const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n');
  return Number(lines[0]) === pid && lines[7]?.trim() === 'ready' ? true : undefined;
}

export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const account = await otherAccount();
  const place = await placeFor(options.dir, account, options.log);
  await mkdir(place, { recursive: true });
  const binDir = await reachableBinaries(options.binDir ?? (await findPostgresBinDir()), place, account);
  const password = await adminPassword(place);
  const own = async (path: string) => account && chown(path, account.uid, account.gid);
  await own(place);
  await own(join(place, 'password'));
  await chmod(place, 0o700);
  const data = join(place, 'data');
  await initialize(binDir, place, data, account);
  const port = options.port ?? (await freePort());
  const logFile = join(place, 'postgres.log');

  const launchOnce = async (): Promise<ServerProcess | null> => {
    await clearPidFile(data, options.log);
    const server = await startServer({
      command: join(binDir, 'postgres'),
      args: serverArguments(data, port),
      logFile,
      env: { ...process.env, LC_ALL: 'C' },
      ...account,
      stopSignal: 'SIGINT', // "fast": ends sessions, writes a checkpoint
      orphanGraceS: options.orphanGraceS ?? 0,
    });
    try {
      await waitFor(`Postgres on port ${port} is ready`, START_DEADLINE_MS, () =>
        server.hasExited() ? true : isReady(data, server.pid),
      );
    } catch (error) {
      await server.stop(STOP_DEADLINE_MS);
      throw error;
    }
    return server.hasExited() ? null : server;
  };

  /** Just after a SIGKILL its orphaned backends still hold the shared memory, and a new server refuses for a moment. */
  const launch = async (): Promise<ServerProcess> => {
    for (let attempt = 1; attempt <= START_ATTEMPTS; attempt++) {
      const server = await launchOnce();
      if (server !== null) return server;
      await new Promise((done) => setTimeout(done, 200 * attempt));
    }
    throw new Error(`Postgres on port ${port} ended at its start; see ${logFile}`);
  };

  let server = await launch();
  return {
    adminUrl: `postgres://${ADMIN}:${password}@127.0.0.1:${port}/postgres`,
    get pid() {
      return server.pid;
    },
    port,
    dataDir: place,
    kill: (signal) => server.kill(signal),
    restart: async () => {
      await server.stop(STOP_DEADLINE_MS);
      server = await launch();
    },
    stop: () => server.stop(STOP_DEADLINE_MS),
  };
}
