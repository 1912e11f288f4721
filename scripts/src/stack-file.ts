// .whereabouts/stack.json: what `npm start` started and where, for the scripts and any other reader. Written whole or
// not at all, and removed with the stack.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive } from '@whereabouts/infra/local/server-process';
import {
  BrokenStateError,
  isRecord,
  readStateJson,
  writeStateFile,
} from '@whereabouts/infra/local/state-file';
import { home, START_SCRIPT } from './home.js';
import type { Observers } from './observe/observers.js';
import { holderOfPidLock } from './stack/pid-lock.js';
import { UsageError } from './usage-error.js';

export interface StackNode {
  host: string;
  port: number;
  /** For a node that is down, the last one. */
  pid: number;
  /** The current role; a node that is down stays a master until another takes its slots. */
  role: 'master' | 'replica';
  /** `silent`: it runs, but does not answer. */
  state: 'up' | 'down' | 'silent';
}

export interface Stack {
  /** True once every partition answers `complete: true`. */
  ready: boolean;
  /** Of `npm start` itself. */
  pid: number;
  ingest: { url: string; ops: string; pids: number[] };
  query: { url: string; ops: string; pid: number };
  flusher: { ops: string; pid: number };
  promoter: { ops: string; pid: number } | null;
  /** Set by --observe; null without. */
  observe: Observers | null;
  redis: StackNode[];
  /** The flusher's own address; `pid` is null where the database is not ours. */
  postgres: { url: string; pid: number | null };
  auth: { secretFile: string; issuer: string; audience: { ingest: string; query: string } };
  partitionMapFile: string;
  /** The socket on which `npm start` takes the requests of `npm run node`. */
  control: string;
  /** A Redis user who may read everything, for `inspect`. */
  redisReader: { username: string; password: string };
}

const fileIn = (dir: string) => join(dir, 'stack.json');
/** `npm start` holds it from the beginning. */
export const startLock = (dir: string) => join(dir, 'start.pid');

export function writeStack(stack: Stack, dir = home): void {
  writeStateFile(fileIn(dir), `${JSON.stringify(stack, null, 2)}\n`);
}

export function removeStack(dir = home): void {
  rmSync(fileIn(dir), { force: true });
}

const isStack = (value: unknown): value is Stack =>
  isRecord(value) && Number.isInteger(value.pid) && Array.isArray(value.redis) && isRecord(value.auth);

function readStack(dir: string): Stack | null {
  try {
    return readStateJson(fileIn(dir), isStack);
  } catch (error) {
    if (error instanceof BrokenStateError) return null;
    throw error;
  }
}

/** The stack that runs in this clone, or null; a file that a killed run or a power cut left is ignored. */
export function findStack(dir = home): Stack | null {
  const stack = readStack(dir);
  return stack !== null && isAlive(stack.pid) ? stack : null;
}

/** Also checks the lock: stack.json may be damaged, and is written only once the services are up. */
export const isStackRunning = (dir = home): boolean =>
  findStack(dir) !== null || holderOfPidLock(startLock(dir), START_SCRIPT) !== null;

export function runningStack(dir = home): Stack {
  const stack = findStack(dir);
  if (stack) return stack;
  throw new UsageError('No stack is running in this clone. Start one in another terminal: npm start');
}

export function readSecret(stack: Stack): string {
  return readFileSync(stack.auth.secretFile, 'utf8').trim();
}
