// What a fault can use while it is made and undone, and a diary of what was done.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { namespaceOf, setCable } from '@whereabouts/infra/local/network-namespace';
import { postgresPlace } from '@whereabouts/infra/local/postgres-place';
import { withAdmin } from '@whereabouts/infra/local/redis-node';
import { childPids, isAlive, waitFor } from '@whereabouts/infra/local/server-process';
import { redisUserName } from '@whereabouts/infra/redis-setup/users';
import { sql } from '../outside/archive-rows.js';
import { redisAdminPassword } from '../stack/redis-admin.js';
import type { Stack } from '../stack-file.js';
import { type NodeView, pidOf, withNode } from './cluster-view.js';
import { killNow, type Recipe, recipeOf, startAgain } from './processes.js';
import type { DrillEvent } from './report.js';

const ANSWERS_DEADLINE_MS = 30_000;
const READY_DEADLINE_MS = 60_000;
const POSTGRES = 'postgres';

export interface SceneOptions {
  /** The current state, with the current pids. */
  stack: () => Stack;
  victim: NodeView;
  replicas: readonly NodeView[];
  say: (text: string) => void;
}

/** Redis's term for a master that can no longer see most other masters. */
const GAVE_UP = /^\d+:M (\d.*?) # Cluster state changed: fail$/gm;

/** Since 1970; 0: never. */
function lastGaveUpAtMs(log: string): number {
  const last = [...log.matchAll(GAVE_UP)].at(-1)?.[1];
  return last === undefined ? 0 : Date.parse(last);
}

export class Scene {
  readonly stack: () => Stack;
  readonly victim: NodeView;
  readonly replicas: readonly NodeView[];
  /** Times are performance.now(). */
  readonly diary: DrillEvent[] = [];
  readonly startAtMs = performance.now();
  /** performance.now() of the fault itself. */
  faultAtMs: number | null = null;
  undoneAtMs: number | null = null;
  /** Since when its replicas receive nothing, if that began before the fault. */
  behindSinceMs: number | null = null;
  readonly #say: (text: string) => void;
  readonly #recipes = new Map<string, Recipe>();
  readonly #frozen = new Set<number>();
  #isolated: { namespace: string; logFile: string } | undefined;

  constructor({ stack, victim, replicas, say }: SceneOptions) {
    this.stack = stack;
    this.victim = victim;
    this.replicas = replicas;
    this.#say = say;
  }

  /** Live, with the time since the fault. */
  tell(kind: DrillEvent['kind'], text: string): void {
    const atMs = performance.now();
    this.diary.push({ atMs, kind, text });
    const time = this.faultAtMs === null ? 'before' : `+${((atMs - this.faultAtMs) / 1000).toFixed(1)} s`;
    this.#say(`${time.padStart(8)}  ${text}`);
  }

  /** Just before it is done: a report sent from now on cannot have been written before it. */
  fault(text: string): void {
    this.faultAtMs ??= performance.now();
    this.tell('fault', text);
  }

  behind(text: string): void {
    this.behindSinceMs ??= performance.now();
    this.tell('observed', text);
  }

  undone(text: string): void {
    this.undoneAtMs ??= performance.now();
    this.tell('heal', text);
  }

  pause(ms: number): Promise<void> {
    return sleep(ms);
  }

  /** So long after the fault. */
  async until(ms: number): Promise<void> {
    await sleep(Math.max(0, (this.faultAtMs ?? 0) + ms - performance.now()));
  }

  pid(address: string): Promise<number> {
    return pidOf(this.stack(), address);
  }

  /** Before it is killed: how to start it again. */
  async remember(address: string): Promise<number> {
    const pid = await this.pid(address);
    this.#recipes.set(address, recipeOf(pid));
    return pid;
  }

  recipe(name: string): Recipe {
    const recipe = this.#recipes.get(name);
    if (recipe === undefined) throw new Error(`${name} was not remembered`);
    return recipe;
  }

  async kill(pid: number, text: string): Promise<void> {
    this.fault(text);
    await killNow(pid);
  }

  freeze(pids: readonly number[]): void {
    for (const pid of pids) {
      process.kill(pid, 'SIGSTOP');
      this.#frozen.add(pid);
    }
  }

  thaw(): void {
    for (const pid of this.#frozen) if (isAlive(pid)) process.kill(pid, 'SIGCONT');
    this.#frozen.clear();
  }

  /** Like a pulled cable: nothing reaches the victim, and it reaches nobody. */
  async isolate(): Promise<void> {
    const { address } = this.victim;
    const pid = await this.pid(address);
    const namespace = namespaceOf(pid);
    if (namespace === null) throw new Error(`${address} does not run in a separate network namespace`);
    this.#isolated = { namespace, logFile: recipeOf(pid).logFile };
    this.fault(`the master ${address} is cut off from everything`);
    await setCable(namespace, 'down');
  }

  async rejoin(): Promise<void> {
    const { namespace, logFile } = this.#isolated as { namespace: string; logFile: string };
    const gaveUpAtMs = lastGaveUpAtMs(readFileSync(logFile, 'utf8'));
    const afterMs = Math.round(gaveUpAtMs - performance.timeOrigin - (this.faultAtMs ?? 0));
    if (afterMs > 0)
      this.tell('observed', `by its own log it took no more writes ${afterMs} ms after the cut`);
    else this.tell('observed', 'it has not noticed that it is cut off');
    await setCable(namespace, 'up');
    this.undone('it is connected again');
  }

  async spawnRedis(address: string): Promise<void> {
    await startAgain(this.recipe(address), 'TERM', this.stack().pid);
  }

  untilAnswers(address: string): Promise<true> {
    return waitFor(`Redis ${address} answers`, ANSWERS_DEADLINE_MS, async () => {
      await withNode(this.stack(), address, (node) => node.time());
      return true as const;
    });
  }

  /** With the existing data; resolves when it answers. */
  async startRedis(address: string): Promise<void> {
    await this.spawnRedis(address);
    await this.untilAnswers(address);
  }

  /** The victim drops its replicas' connections; they would come back without more. */
  async dropReplicas(): Promise<void> {
    await this.#asAdmin(async (node) => {
      await node.call('CLIENT', 'KILL', 'TYPE', 'replica');
    });
  }

  /** The victim removes the services' users and closes their connections: to them it looks cut off. */
  async shutOut(isOut: boolean): Promise<void> {
    await this.#asAdmin(async (node) => {
      for (const service of ['ingest', 'flusher', 'query'] as const) {
        const user = redisUserName(service);
        await node.call('ACL', 'SETUSER', user, isOut ? 'off' : 'on');
        if (isOut) await node.call('CLIENT', 'KILL', 'USER', user);
      }
    });
  }

  get #home(): string {
    return dirname(this.stack().auth.secretFile);
  }

  async #asAdmin(use: Parameters<typeof withAdmin<void>>[2]): Promise<void> {
    const { address } = this.victim;
    await withAdmin(address, redisAdminPassword(this.#home), use);
  }

  /** The pid that it reports: stack.json has only the one from the start. */
  #postmaster(): number {
    const place = postgresPlace(join(this.#home, 'postgres'));
    return Number(readFileSync(join(place, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);
  }

  postgresPids(): number[] {
    const pid = this.#postmaster();
    return [pid, ...childPids(pid)];
  }

  rememberPostgres(): number {
    const pid = this.#postmaster();
    this.#recipes.set(POSTGRES, recipeOf(pid));
    return pid;
  }

  /** Just after a SIGKILL the old sessions still hold the shared memory: then it ends at once, and is tried again. */
  async startPostgres(): Promise<void> {
    let pid = 0;
    await waitFor('Postgres answers', READY_DEADLINE_MS, async () => {
      if (!isAlive(pid)) pid = await startAgain(this.recipe(POSTGRES), 'INT', this.stack().pid);
      await sql(this.stack().postgres.url, 'SELECT 1');
      return true;
    });
  }

  async untilReady(ops: string): Promise<void> {
    await waitFor(`${ops} is ready`, READY_DEADLINE_MS, async () =>
      (await fetch(`${ops}/readyz`, { signal: AbortSignal.timeout(1_000) })).ok ? true : undefined,
    );
  }

  async shell(command: string): Promise<void> {
    await promisify(execFile)('/bin/sh', ['-c', command]);
  }
}
