// A Postgres for tests and for `npm start`: on 127.0.0.1 only, scram with a generated password. postgres-place.ts
// decides its user and the folder of its data.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, statSync } from 'node:fs';
import { chown, cp, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { findPostgresBinDir } from './find-servers.js';
import { freePort } from './ports.js';
import { type Account, postgresAccount, providePostgresPlace, withPlaceLocked } from './postgres-place.js';
import {
  commandLine,
  endedAtStart,
  isAlive,
  type ServerProcess,
  startServer,
  stopStray,
  waitFor,
} from './server-process.js';
import { BrokenStateError, readStateFile, writeStateFile } from './state-file.js';

export { removePostgresData } from './postgres-place.js';

const run = promisify(execFile);

const ADMIN = 'whereabouts_admin';
const START_DEADLINE_MS = 60_000;
const START_ATTEMPTS = 4;
const STOP_DEADLINE_MS = 15_000;

export interface PostgresOptions {
  /** Accessible to us only; made if need be. */
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

/** Whether every folder above (and the path itself, if it exists) lets this account pass. */
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

/** The other user must be able to run the binaries. If it cannot reach them, they are copied beside the data. */
async function reachableBinaries(binDir: string, place: string, account: Account | null): Promise<string> {
  if (account === null || canPass(account, binDir)) return binDir;
  const copy = join(place, 'native');
  if (!existsSync(join(copy, 'bin', 'postgres'))) {
    await rm(copy, { recursive: true, force: true });
    // Links among the libraries stay relative: absolute ones would lead back to folders that the user cannot enter.
    await cp(dirname(binDir), copy, { recursive: true, verbatimSymlinks: true });
    await run('chmod', ['-R', 'a+rX', copy]);
  }
  return join(copy, 'bin');
}

/** Made with the data: data created under another password are useless. */
async function adminPassword(place: string, account: Account | null): Promise<string> {
  const file = join(place, 'password');
  const kept = readStateFile(file);
  if (kept === '' && existsSync(join(place, 'initialized'))) throw new BrokenStateError(file);
  if (!kept) writeStateFile(file, randomBytes(16).toString('hex'));
  if (!lstatSync(file).isFile()) throw new Error(`${file} is no file`);
  // initdb reads it, as that user.
  if (account !== null) await chown(file, account.uid, account.gid);
  return (await readFile(file, 'utf8')).trim();
}

interface Prepared {
  binDir: string;
  password: string;
}

/** What we ourselves write into the data's folder. */
function prepare(options: PostgresOptions, place: string, account: Account | null): Promise<Prepared> {
  return withPlaceLocked(place, account, async () => {
    const found = options.binDir ?? (await findPostgresBinDir());
    const binDir = await reachableBinaries(found, place, account);
    // Without this file, initialization was interrupted.
    if (!existsSync(join(place, 'initialized')))
      await rm(join(place, 'data'), { recursive: true, force: true });
    return { binDir, password: await adminPassword(place, account) };
  });
}

async function initialize(
  binDir: string,
  place: string,
  data: string,
  account: Account | null,
): Promise<void> {
  if (existsSync(join(place, 'initialized'))) return;
  const args = ['-D', data, '-U', ADMIN, `--pwfile=${join(place, 'password')}`, '--auth=scram-sha-256'];
  args.push('--encoding=UTF8', '--no-locale', '--no-sync');
  const env = { ...process.env, LC_ALL: 'C' };
  await run(join(binDir, 'initdb'), args, { ...account, env, cwd: '/', maxBuffer: 1 << 24 });
  await writeFile(join(place, 'initialized'), '', { flag: 'wx' });
}

/**
 * After a SIGKILL a pid file remains. Postgres notices if that process is gone, but not if its number now belongs to
 * another process (likely in containers); and a server left by an earlier run has to end first.
 */
async function clearPidFile(data: string, log: PostgresOptions['log']): Promise<void> {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return;
  const pid = Number((await readFile(file, 'utf8')).split('\n')[0]);
  // Left empty by a power cut: Postgres would refuse to start.
  if (!(pid > 0)) return rm(file, { force: true });
  if (!isAlive(pid)) return;
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

/** Line 8 of the pid file changes to `ready`. pg_ctl itself checks that; the embedded binaries have no psql. */
async function isReady(data: string, pid: number): Promise<true | undefined> {
  const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n');
  return Number(lines[0]) === pid && lines[7]?.trim() === 'ready' ? true : undefined;
}

export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const account = await postgresAccount();
  const place = await providePostgresPlace(options.dir, account, options.log);
  const { binDir, password } = await prepare(options, place, account);
  const data = join(place, 'data');
  await initialize(binDir, place, data, account);
  const port = options.port ?? (await freePort());
  // We open it as root, so it must not be where the other user could replace it with a link.
  const logFile = join(options.dir, 'postgres.log');

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
    throw endedAtStart(`Postgres on port ${port}`, logFile);
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
