// The pace of the flusher: every 100 ms it asks where checkpoints wait, every half second at the most for the state of
// all partitions (five times the cost, and no interval needs it oftener), and from what it saw
//
//   checkpoints wait       -> a round of the checkpoint writer  (one at a time)
//   partitions are due     -> a pass                            (one at a time)
//   Postgres is away       -> nothing but its probe; what is dirty stays in the cache
//
//   starting ──start──▶ running ──drain──▶ draining ──▶ stopped

import { setTimeout as delay } from 'node:timers/promises';
import type { LiveStore, PartitionStatus } from '@whereabouts/infra/live-store/live-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { Logger } from '@whereabouts/infra/service/log';
import type { Archive } from './archive.js';
import { ArchiveError } from './archive-error.js';
import { ArchiveGate } from './archive-gate.js';
import { CheckpointWriter } from './checkpoint-writer.js';
import type { Reached } from './failpoint.js';
import type { FlushMetrics } from './flush-metrics.js';
import { FlushPass, type LeftReason, type PassReport } from './flush-pass.js';
import { LossWindow } from './loss-window.js';
import { byUrgency, paced, type TriggerSettings, triggerOf } from './triggers.js';

const LOOK_EVERY_MS = 100;
/** A tenth of the interval is fine enough to keep it. */
const STATES_EVERY_MS = { min: LOOK_EVERY_MS, max: 500, ofInterval: 0.1 };
/** A partition that a pass had to leave is not due again before about this. */
const LEFT_WAIT_MS = 300;
/** Of the interval, to either side, drawn anew for each pass: flushers that start together drift apart. */
const INTERVAL_JITTER = 0.1;
const COMES_ALONG = 0.1;
/** What the clock makes due is spread over the interval, but not into commits smaller than this. */
const LEAST_PASS_ROWS = 2_500;
const PASS_ROOM = 1.2;
/** Why a partition was left that is to be taken by the very next pass. */
const AT_ONCE: readonly LeftReason[] = ['behind', 'reign_changed'];
/** Why a partition was left where another pass would not help. */
const NOT_OURS: readonly LeftReason[] = ['leased', 'bad_record'];

export interface FlushLoopOptions {
  store: LiveStore;
  archive: Archive;
  flusherId: string;
  settings: TriggerSettings & { freshnessMs: number; sweepAfterMs: number };
  log: Logger;
  metrics: FlushMetrics;
  reached: Reached;
}

export class FlushLoop {
  readonly lossWindow: LossWindow;
  readonly gate: ArchiveGate;
  readonly #o: FlushLoopOptions;
  readonly #checkpoints: CheckpointWriter;
  readonly #notBeforeMs = new Map<number, number>();
  /** By partition, as it was last scanned. */
  readonly #unreadable = new Map<number, number>();
  readonly #stopping = new AbortController();
  #mapMismatch: string | null = null;
  #running: Promise<void> = Promise.resolve();
  #pass: Promise<unknown> | null = null;
  #round: Promise<unknown> | null = null;
  #jitter = 1;
  #lastPassMs = 0;
  readonly #statesEveryMs: number;
  #statesAtMs = Number.NEGATIVE_INFINITY;

  constructor(o: FlushLoopOptions) {
    const { store, archive, log, metrics } = o;
    this.#o = o;
    this.#checkpoints = new CheckpointWriter({ store, archive, log, metrics });
    this.gate = new ArchiveGate({ probe: () => archive.readProgress(), log, metrics });
    const { lossBudgetMs: budgetMs, flushIntervalMs } = o.settings;
    const { min, max, ofInterval } = STATES_EVERY_MS;
    this.#statesEveryMs = Math.min(max, Math.max(min, ofInterval * flushIntervalMs));
    this.lossWindow = new LossWindow({ budgetMs, partitions: store.map.partitions, log, metrics });
  }

  /** Under which other map a partition was written, if any was. */
  get mapMismatch(): string | null {
    return this.#mapMismatch;
  }

  /** Records that the last scans could not read. */
  get unreadable(): number {
    return [...this.#unreadable.values()].reduce((sum, count) => sum + count, 0);
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Flushes all that it can within the deadline. Returns how many partitions had to be left with something dirty. */
  async drain(deadlineMs: number): Promise<number> {
    const untilMs = performance.now() + deadlineMs;
    this.#stopping.abort();
    await this.#running;
    await Promise.all([this.#pass, this.#round]);
    let left = await this.#flushAll();
    while (left > 0 && performance.now() < untilMs) {
      await delay(LOOK_EVERY_MS);
      left = await this.#flushAll();
    }
    return left;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const startedMs = performance.now();
      await this.#tick();
      const restMs = Math.max(0, startedMs + LOOK_EVERY_MS - performance.now());
      await delay(restMs, undefined, { signal }).catch(() => {});
    }
  }

  async #tick(): Promise<void> {
    if (!(await this.gate.open())) {
      await this.#look();
      return;
    }
    if (this.#round === null) {
      const waiting = await this.#withCheckpoints();
      if (waiting.length > 0) {
        this.#round = this.#writeCheckpoints(waiting).finally(() => {
          this.#round = null;
        });
      }
    }
    if (performance.now() - this.#statesAtMs < this.#statesEveryMs) return;
    this.#statesAtMs = performance.now();
    // What a look sees while a pass is under way may be flushed by the time that it is back.
    const wasFlushing = this.#pass !== null;
    const known = await this.#look();
    const due = wasFlushing ? [] : this.#due(known);
    if (due.length > 0) {
      this.#pass = this.#flush(due).then(() => {
        this.#pass = null;
      });
    }
  }

  /** What each partition answers; null where it cannot be reached, or does not. */
  async #askEach<T>(
    ask: (partition: number) => Promise<T>,
    onRefusal: (error: StoreError) => void = () => {},
  ): Promise<(T | null)[]> {
    const { store } = this.#o;
    return Promise.all(
      Array.from({ length: store.map.partitions }, async (_, partition) => {
        if (!store.reachable(partition)) return null;
        try {
          return await ask(partition);
        } catch (error) {
          if (!(error instanceof StoreError)) throw error;
          onRefusal(error);
          return null;
        }
      }),
    );
  }

  /** Partitions where checkpoints wait, of those that answered. */
  async #withCheckpoints(): Promise<number[]> {
    const have = await this.#askEach((partition) => this.#o.store.hasCheckpoints(partition));
    return [...have.keys()].filter((partition) => have[partition]);
  }

  /** Returns those that answered. */
  async #look(): Promise<PartitionStatus[]> {
    let mismatch: string | null = null;
    const statuses = await this.#askEach(
      (partition) => this.#o.store.status(partition),
      ({ code, message }) => {
        if (code === 'map_mismatch') mismatch = message;
      },
    );
    this.#mapMismatch = mismatch;
    this.lossWindow.update(statuses);
    return statuses.filter((status) => status !== null);
  }

  #due(known: readonly PartitionStatus[]): PartitionStatus[] {
    const nowMs = performance.now();
    const { settings, metrics } = this.#o;
    const within = (share: number) => ({ ...settings, flushIntervalMs: settings.flushIntervalMs * share });
    const free = known.filter(({ partition }) => (this.#notBeforeMs.get(partition) ?? 0) <= nowMs);
    if (!free.some((status) => triggerOf(status, within(this.#jitter)) !== null)) return [];
    // Who would be due soon comes along, or partitions would drift apart and their batches shrink.
    const due = free.sort(byUrgency).flatMap((status) => {
      const trigger = triggerOf(status, within(this.#jitter - COMES_ALONG));
      return trigger === null ? [] : [{ status, trigger }];
    });
    this.#jitter = 1 + INTERVAL_JITTER * (2 * Math.random() - 1);
    const taken = paced(due, this.#rowsOfPass(known));
    for (const { trigger } of taken) metrics.triggered.inc({ trigger });
    return taken.map(({ status }) => status);
  }

  /** So many that the passes of one interval take everybody, with room. */
  #rowsOfPass(known: readonly PartitionStatus[]): number {
    const drivers = known.reduce((sum, status) => sum + status.drivers, 0);
    const passEveryMs = this.#statesEveryMs + this.#lastPassMs;
    return Math.max(LEAST_PASS_ROWS, (PASS_ROOM * drivers * passEveryMs) / this.#o.settings.flushIntervalMs);
  }

  async #flush(due: readonly PartitionStatus[]): Promise<PassReport> {
    const { settings, log, metrics } = this.#o;
    const { freshnessMs, sweepAfterMs } = settings;
    const startedMs = performance.now();
    const report = await new FlushPass({ ...this.#o, freshnessMs, sweepAfterMs }).run(due);
    const tookMs = performance.now() - startedMs;
    this.#lastPassMs = tookMs;
    metrics.passDuration.observe(tookMs / 1000);
    log.debug({ ...report, left: Object.fromEntries(report.left), took_ms: Math.round(tookMs) }, 'pass');
    if (report.archiveError) this.gate.failed(report.archiveError);
    for (const [partition, count] of report.unreadable) this.#unreadable.set(partition, count);
    metrics.unreadable.set(this.unreadable);
    for (const [partition, reason] of report.left) {
      if (AT_ONCE.includes(reason)) continue;
      // As often as the others: all that is above its watermark is written each time.
      const waitMs = reason === 'bad_record' ? settings.flushIntervalMs : LEFT_WAIT_MS;
      this.#notBeforeMs.set(partition, performance.now() + waitMs * (0.5 + Math.random()));
    }
    return report;
  }

  /** Returns whether Postgres has taken them. */
  async #writeCheckpoints(partitions: readonly number[]): Promise<boolean> {
    try {
      await this.#checkpoints.run(partitions);
      return true;
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      this.gate.failed(error);
      return false;
    }
  }

  /** Returns how many are left; not those that another flusher works on, that are dark, or that cannot be read. */
  async #flushAll(): Promise<number> {
    const known = await this.#look();
    const dirty = known.filter((s) => s.dirtySinceMs !== null || s.checkpointsWaiting > 0).sort(byUrgency);
    if (dirty.length === 0) return 0;
    if (!(await this.gate.open())) return dirty.length;
    const waiting = known.filter((s) => s.checkpointsWaiting > 0).map(({ partition }) => partition);
    const [haveCheckpoints, report] = await Promise.all([
      this.#writeCheckpoints(waiting),
      this.#flush(dirty),
    ]);
    const left = [...report.left.values()].filter((reason) => !NOT_OURS.includes(reason)).length;
    return haveCheckpoints ? left : Math.max(1, left);
  }
}
