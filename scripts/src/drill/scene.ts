// What a fault has at hand while it is made and undone.
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '@whereabouts/infra/dev/server-process';
import type { Stack } from '../stack-file.js';
import { type NodeView, pidOf, withNode } from './cluster-view.js';
import { killNow, type Recipe, recipeOf, startAgain } from './processes.js';
import type { DrillEvent } from './report.js';

const ANSWERS_DEADLINE_MS = 20_000;

export class Scene {
  readonly events: DrillEvent[] = [];
  /** performance.now() of the fault itself. */
  faultAtMs: number | null = null;
  /** From when darkness counts where the fault lasts until it is undone. */
  undoneAtMs: number | null = null;
  readonly #startAtMs = performance.now();
  readonly #say: (text: string) => void;
  readonly #recipes = new Map<string, Recipe>();

  constructor(
    /** As it is now, with the pids of now. */
    readonly stack: () => Stack,
    readonly victim: NodeView,
    readonly replicas: readonly NodeView[],
    say: (text: string) => void,
  ) {
    this.#say = say;
  }

  get startAtMs(): number {
    return this.#startAtMs;
  }

  tell(kind: DrillEvent['kind'], text: string): void {
    const atMs = Math.round(performance.now() - this.#startAtMs);
    this.events.push({ atMs, kind, text });
    this.#say(`${(atMs / 1000).toFixed(1).padStart(6)} s  ${text}`);
  }

  /** The moment of the fault: the first one told counts. */
  fault(text: string): void {
    this.faultAtMs ??= performance.now();
    this.tell('fault', text);
  }

  undone(text: string): void {
    this.undoneAtMs ??= performance.now();
    this.tell('heal', text);
  }

  pause(ms: number): Promise<void> {
    return sleep(ms);
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

  recipe(address: string): Recipe {
    const recipe = this.#recipes.get(address);
    if (recipe === undefined) throw new Error(`${address} was not remembered`);
    return recipe;
  }

  async kill(pid: number, text: string): Promise<void> {
    this.fault(text);
    await killNow(pid);
  }

  /** With its data; resolves when it answers. */
  async startRedis(address: string): Promise<void> {
    await startAgain(this.recipe(address), 'TERM', this.stack().pid);
    await waitFor(`Redis ${address} answers`, ANSWERS_DEADLINE_MS, async () => {
      await withNode(this.stack(), address, (node) => node.time());
      return true;
    });
  }
}
