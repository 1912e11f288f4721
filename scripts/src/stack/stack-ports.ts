// The stack's ports: the usual ones, or the next free ones if those are taken.
//
//  Between our check and the moment when a service listens, a stack of another clone may check too. So each port is
// promised to one stack, by a lock in a folder that all clones of a user share. Stacks of two users need no promise:
// the kernel lets no other user share a port, so the second of them fails to listen and says so.
import { lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  isPortFree,
  isRedisPortFree,
  nextFreePort,
  REDIS_BUS_OFFSET,
  STACK_REDIS_PORT,
} from '@whereabouts/infra/local/ports';
import { takePidLock } from './pid-lock.js';

export interface StackPorts {
  ingest: number;
  ingestOps: number;
  query: number;
  queryOps: number;
  flusherOps: number;
  promoterOps: number;
  postgres: number;
  redis: number[];
}

export interface ChosenPorts {
  ports: StackPorts;
  /** A word for each port that had to move: `ingest 8082 (8080)`. */
  replaced: string[];
  /** One more, promised as the others are. */
  more(name: string, usual: number): Promise<number>;
  release(): void;
}

const USUAL = {
  ingest: 8080,
  query: 8081,
  ingestOps: 9080,
  queryOps: 9081,
  flusherOps: 9082,
  promoterOps: 9084,
  postgres: 5433,
};
/** Not the folder of TMPDIR, which can differ between two shells of one user. */
const SHARED_FOLDER = '/tmp';

/**
 * The folder of this user's promises; null if something else is in its place: every user can create names in the
 * temporary folder, and what we write must not land where another user's link points.
 */
function promisesFolder(parent: string): string | null {
  const user = process.getuid?.() ?? 0;
  const folder = join(parent, `whereabouts-ports-${user}`);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch {
    // it is there
  }
  try {
    const stats = lstatSync(folder);
    return stats.isDirectory() && stats.uid === user && (stats.mode & 0o077) === 0 ? folder : null;
  } catch {
    return null;
  }
}

export class PortPromises {
  readonly #marker: string;
  readonly #folder: string | null;
  /** What is ours, and how to give it back. */
  readonly #releases = new Map<number, () => void>();

  constructor(marker: string, parent = SHARED_FOLDER) {
    this.#marker = marker;
    this.#folder = promisesFolder(parent);
  }

  /**
   * Takes all of these ports or none. They are promised before they are checked, as the check listens on them for a
   * moment: another stack could be about to listen.
   */
  async claim(ports: readonly number[], areFree: () => Promise<boolean>): Promise<boolean> {
    const taken: number[] = [];
    for (const port of ports) {
      if (!this.#take(port)) break;
      taken.push(port);
    }
    if (taken.length === ports.length && (await areFree())) return true;
    for (const port of taken) this.#giveBack(port);
    return false;
  }

  #take(port: number): boolean {
    // Nobody listens yet on the ports that we have chosen, so a check alone would call them free.
    if (this.#releases.has(port)) return false;
    const release = this.#promise(port);
    if (release !== null) this.#releases.set(port, release);
    return release !== null;
  }

  /** Null: it is promised to another stack. */
  #promise(port: number): (() => void) | null {
    const onlyChecked = () => {};
    if (this.#folder === null) return onlyChecked;
    try {
      const { heldBy, release } = takePidLock(join(this.#folder, String(port)), this.#marker);
      return heldBy === null ? release : null;
    } catch {
      return onlyChecked; // a full disk, for example
    }
  }

  #giveBack(port: number): void {
    this.#releases.get(port)?.();
    this.#releases.delete(port);
  }

  release(): void {
    for (const port of this.#releases.keys()) this.#giveBack(port);
  }
}

/** `marker` is part of the command line of every `npm start`, of whatever clone. */
export async function chooseStackPorts(redisNodes: number, marker: string): Promise<ChosenPorts> {
  const promises = new PortPromises(marker);
  // The usual ports are kept for the services that they belong to.
  const reserved = new Set<number>(Object.values(USUAL));
  const replaced: string[] = [];
  const choose = async (name: string, usual: number, least = usual): Promise<number> => {
    const isRedis = name === 'Redis';
    reserved.delete(usual);
    const isOurs = (port: number) =>
      isRedis
        ? promises.claim([port, port + REDIS_BUS_OFFSET], () => isRedisPortFree(port))
        : promises.claim([port], () => isPortFree(port));
    const port = await nextFreePort(least, reserved, isOurs);
    if (port !== usual) replaced.push(`${name} ${port} (${usual})`);
    return port;
  };
  const redis: number[] = [];
  for (let index = 0; index < redisNodes; index++) {
    const usual = STACK_REDIS_PORT + index;
    redis.push(await choose('Redis', usual, Math.max(usual, (redis.at(-1) ?? 0) + 1)));
  }
  const ports = {
    ingest: await choose('ingest', USUAL.ingest),
    query: await choose('query-api', USUAL.query),
    ingestOps: await choose('ingest ops', USUAL.ingestOps),
    queryOps: await choose('query-api ops', USUAL.queryOps),
    flusherOps: await choose('flusher ops', USUAL.flusherOps),
    promoterOps: await choose('promoter ops', USUAL.promoterOps),
    postgres: await choose('Postgres', USUAL.postgres),
    redis,
  };
  return { ports, replaced, more: choose, release: () => promises.release() };
}
