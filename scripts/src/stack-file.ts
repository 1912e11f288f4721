// .whereabouts/stack.json: what `npm start` started and where, for the scripts and for whoever else wants to know.
// Written whole or not at all, and gone when the stack is.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive } from '@whereabouts/infra/dev/server-process';
import { UsageError } from './cli.js';
import { home } from './home.js';

export interface Stack {
  /** True once every partition answers `complete: true`. */
  ready: boolean;
  /** Of `npm start` itself. */
  pid: number;
  ingest: { url: string; ops: string; pids: number[] };
  query: { url: string; ops: string; pid: number };
  flusher: { ops: string; pid: number };
  promoter: { pid: number } | null;
  redis: { host: string; port: number; pid: number; role: 'master' | 'replica' }[];
  /** The flusher's own address; `pid` is null where the database is not ours. */
  postgres: { url: string; pid: number | null };
  auth: { secretFile: string; issuer: string; audience: { ingest: string; query: string } };
  partitionMapFile: string;
  /** A Redis user who may read everything, for `inspect`. */
  redisReader: { username: string; password: string };
}

const fileIn = (dir: string) => join(dir, 'stack.json');

export function writeStack(stack: Stack, dir = home): void {
  const file = fileIn(dir);
  // It holds passwords of this machine's own servers.
  writeFileSync(`${file}.new`, `${JSON.stringify(stack, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

export function removeStack(dir = home): void {
  rmSync(fileIn(dir), { force: true });
}

/** The stack that runs in this clone, or null; a file that a killed run left behind counts for nothing. */
export function findStack(dir = home): Stack | null {
  if (!existsSync(fileIn(dir))) return null;
  const stack = JSON.parse(readFileSync(fileIn(dir), 'utf8')) as Stack;
  return isAlive(stack.pid) ? stack : null;
}

export function runningStack(dir = home): Stack {
  const stack = findStack(dir);
  if (stack) return stack;
  throw new UsageError('No stack is running in this clone. Start one in another terminal: npm start');
}

export function readSecret(stack: Stack): string {
  return readFileSync(stack.auth.secretFile, 'utf8').trim();
}
