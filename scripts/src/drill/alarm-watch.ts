// The alarm of the loss budget, as an operator's monitoring sees it: a metric of the flusher and of ingest.
import { setTimeout as sleep } from 'node:timers/promises';
import { scrape, total } from '../stack/scrape.js';
import type { Stack } from '../stack-file.js';

const LOOK_MS = 100;
const BUDGET = 'whereabouts_flusher_loss_budget_seconds';
const EXCEEDED = {
  flusher: 'whereabouts_flusher_loss_budget_exceeded',
  ingest: 'whereabouts_ingest_loss_budget_exceeded',
} as const;

export type AlarmSource = keyof typeof EXCEEDED;

/** Milliseconds from the fault; null: not seen. */
export interface AlarmSeen {
  source: AlarmSource;
  raisedMs: number | null;
  endedMs: number | null;
}

/** The budget that the running flusher compares the loss window with. */
export async function lossBudgetMs(stack: Stack): Promise<number> {
  const seconds = total(await scrape(stack.flusher.ops), BUDGET);
  if (seconds === undefined) throw new Error('the flusher does not report its loss budget');
  return seconds * 1000;
}

export class AlarmWatch {
  readonly #seen: AlarmSeen[];
  readonly #watching: Promise<unknown>;
  #isOver = false;

  constructor(stack: () => Stack, faultAtMs: number) {
    const sources = Object.keys(EXCEEDED) as AlarmSource[];
    this.#seen = sources.map((source) => ({ source, raisedMs: null, endedMs: null }));
    this.#watching = Promise.all(this.#seen.map((seen) => this.#watch(stack, faultAtMs, seen)));
  }

  get hasEnded(): boolean {
    return this.#seen.every(({ raisedMs, endedMs }) => raisedMs === null || endedMs !== null);
  }

  async stop(): Promise<AlarmSeen[]> {
    this.#isOver = true;
    await this.#watching;
    return this.#seen;
  }

  async #watch(stack: () => Stack, faultAtMs: number, seen: AlarmSeen): Promise<void> {
    while (!this.#isOver) {
      const exceeded = total(await scrape(stack()[seen.source].ops), EXCEEDED[seen.source]);
      const atMs = performance.now() - faultAtMs;
      if (exceeded === 1) seen.raisedMs ??= atMs;
      if (exceeded === 1) seen.endedMs = null;
      else if (exceeded === 0 && seen.raisedMs !== null) seen.endedMs ??= atMs;
      await sleep(LOOK_MS);
    }
  }
}
