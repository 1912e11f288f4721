// The pace of the flusher. Every 100 ms it reads of each partition whether checkpoints wait, and at most every 0.8 s its
// whole state (three times the cost, and no interval needs it more often). From what it saw
//
//   checkpoints wait       -> a round of the checkpoint writer  (one at a time)
//   partitions are due     -> a pass                            (one at a time)
//   logs have grown        -> turns of compaction, and of the sweep, also while Postgres is away
//   Postgres is away       -> only its probe; what is dirty stays in the cache
//
// Positions and checkpoints each have a gate: if the table of one is wrong, the other continues.
//
//   starting ──start──▶ running ──drain──▶ draining ──▶ stopped

import { setTimeout as delay } from 'node:timers/promises';
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import type { Logger } from '@whereabouts/infra/service/log';
import { PacedLog } from '@whereabouts/infra/service/paced-log';
import type { Archive } from './archive.js';
import { ArchiveError } from './archive-error.js';
import { ArchiveGate } from './archive-gate.js';
import { CheckpointWriter } from './checkpoint-writer.js';
import { Compaction } from './compaction.js';
import type { Reached } from './failpoint.js';
import type { FlushMetrics } from './flush-metrics.js';
import { FlushPass, type LeftReason, type PassReport } from './flush-pass.js';
import type { LeftOver } from './left-over.js';
import { PartitionLook } from './partition-look.js';
import { mostRowsOf, type PartitionStatus, rowsOf } from './partition-status.js';
import { RefusedPositions } from './refused-positions.js';
import { Sweep } from './sweep.js';
import { byUrgency, paced, type TriggerSettings, triggerOf } from './triggers.js';

const LOOK_EVERY_MS = 100;
/** Fine enough to keep the interval. A state is seven commands: twice a second they cost more than making all rows ready. */
const STATES_EVERY_MS = { min: LOOK_EVERY_MS, max: 800, ofInterval: 0.15 };
/** A partition that a pass had to leave is not due again before about this. */
const LEFT_WAIT_MS = 300;
/** Share of the interval, to either side, random for each pass: flushers that start together drift apart. */
const INTERVAL_JITTER = 0.1;
const COMES_ALONG = 0.1;
/** What the clock makes due is spread over the interval, but not into commits smaller than this. */
const LEAST_PASS_ROWS = 2_500;
const PASS_ROOM = 1.2;
/** Why a partition was left that is to be taken by the very next pass. */
const AT_ONCE: readonly LeftReason[] = ['behind', 'term_changed', 'place_changed'];
const TOLD_EVERY_MS = 60_000;

export interface FlushLoopOptions {
  store: LogStore;
  archive: Archive;
  flusherId: string;
  settings: TriggerSettings & { sweepAfterMs: number };
  log: Logger;
  metrics: FlushMetrics;
  reached: Reached;
}

export class FlushLoop {
  readonly look: PartitionLook;
  readonly gates: Readonly<Record<'positions' | 'checkpoints', ArchiveGate>>;
  readonly refused: RefusedPositions;
  readonly #o: FlushLoopOptions;
  readonly #checkpoints: CheckpointWriter;
  readonly #compaction: Compaction;
  readonly #sweep: Sweep;
  readonly #paced = new PacedLog(TOLD_EVERY_MS);
  readonly #notBeforeMs = new Map<number, number>();
  /** By partition, as it was last read. */
  readonly #unreadable = new Map<number, number>();
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #pass: Promise<unknown> | null = null;
  #round: Promise<unknown> | null = null;
  #upkeep: Promise<unknown> | null = null;
  #looks = 0;
  #jitter = 1;
  #lastPassMs = 0;
  readonly #statesEveryMs: number;
  #statesAtMs = Number.NEGATIVE_INFINITY;
  #left: LeftOver;

  constructor(o: FlushLoopOptions) {
    const { store, archive, flusherId, log, metrics } = o;
    this.#o = o;
    this.#checkpoints = new CheckpointWriter({ store, archive, log, metrics });
    this.#compaction = new Compaction({ store, flusherId, metrics, stopping: this.#stopping.signal });
    this.#sweep = new Sweep({ store, sweepAfterMs: o.settings.sweepAfterMs, metrics });
    this.refused = new RefusedPositions({ store, log, metrics });
    this.gates = { positions: this.#newGate('positions'), checkpoints: this.#newGate('checkpoints') };
    this.#tellGates();
    const { lossBudgetMs: budgetMs, flushIntervalMs } = o.settings;
    const { min, max, ofInterval } = STATES_EVERY_MS;
    this.#statesEveryMs = Math.min(max, Math.max(min, ofInterval * flushIntervalMs));
    this.look = new PartitionLook({ store, budgetMs, log, metrics });
    this.#left = { partitions: 0, positions: 0, checkpoints: 0, dark: store.map.partitions };
  }

  /** Checkpoints that Postgres refuses. */
  get refusedCheckpoints(): number {
    return this.#checkpoints.refused;
  }

  /** Records, checkpoints among them, that the last passes and rounds could not read. */
  get unreadable(): number {
    return [...this.#unreadable.values()].reduce((sum, count) => sum + count, this.#checkpoints.unreadable);
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Flushes all that it can within the deadline, and says what it had to leave. */
  async drain(deadlineMs: number): Promise<LeftOver> {
    const untilMs = performance.now() + deadlineMs;
    this.#stopping.abort();
    // What is under way when the time is over is not waited for; then what was seen last is left.
    const drained = this.#drain(untilMs);
    await Promise.race([drained, delay(deadlineMs, undefined, { ref: false })]);
    return this.#left;
  }

  async #drain(untilMs: number): Promise<void> {
    await this.#running;
    await Promise.all([this.#pass, this.#round, this.#upkeep]);
    this.refused.tryAllAgain();
    this.#checkpoints.tryAllAgain();
    while ((await this.#flushAll()) && performance.now() < untilMs) await delay(LOOK_EVERY_MS);
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
    const isForStates = performance.now() - this.#statesAtMs >= this.#statesEveryMs;
    if (isForStates) this.#statesAtMs = performance.now();
    // What a look sees while a pass is under way may be flushed by the time that it is back.
    const wasFlushing = this.#pass !== null;
    const known = isForStates ? await this.look.states() : [];
    const { positions, checkpoints } = this.gates;
    if (checkpoints.mayAsk() && this.#round === null) {
      const waiting = isForStates ? known : await this.look.checkpointsWaiting();
      this.#round = this.#writeCheckpoints(this.#withCheckpoints(waiting)).finally(() => {
        this.#round = null;
      });
    }
    const due = positions.mayAsk() && !wasFlushing ? this.#due(known) : [];
    if (due.length > 0) {
      this.#pass = this.#flush(due).then(() => {
        this.#pass = null;
      });
    }
    if (!isForStates || this.#upkeep !== null) return;
    this.#upkeep = this.#compaction
      .run(known)
      .then(() => this.#sweep.run(known))
      .then(() => this.look.callFunctions())
      .finally(() => {
        this.#upkeep = null;
      });
  }

  /** And one more in turn: the count does not include conflicts without a notified driver, and may be lost. */
  #withCheckpoints(known: readonly { partition: number; checkpointsWaiting: number }[]): number[] {
    const turn = this.#looks++ % this.#o.store.map.partitions;
    return known
      .filter(({ partition, checkpointsWaiting }) => checkpointsWaiting > 0 || partition === turn)
      .map(({ partition }) => partition);
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
    const drivers = known.reduce((sum, status) => sum + Math.max(status.drivers, rowsOf(status)), 0);
    const passEveryMs = this.#statesEveryMs + this.#lastPassMs;
    return Math.max(LEAST_PASS_ROWS, (PASS_ROOM * drivers * passEveryMs) / this.#o.settings.flushIntervalMs);
  }

  async #flush(due: readonly PartitionStatus[]): Promise<PassReport> {
    const { settings, log, metrics } = this.#o;
    const { sweepAfterMs } = settings;
    const startedMs = performance.now();
    const own = { refused: this.refused, paced: this.#paced };
    const report = await new FlushPass({ ...this.#o, ...own, sweepAfterMs }).run(due);
    const tookMs = performance.now() - startedMs;
    this.#lastPassMs = tookMs;
    metrics.passDuration.observe(tookMs / 1000);
    log.debug({ ...report, left: Object.fromEntries(report.left), took_ms: Math.round(tookMs) }, 'pass');
    if (report.archiveError) this.gates.positions.failed(report.archiveError);
    else if (report.batches > 0) this.gates.positions.succeeded();
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

  /** Returns how many were brought to Postgres, or null where it is away. */
  async #writeCheckpoints(partitions: readonly number[]): Promise<number | null> {
    const gate = this.gates.checkpoints;
    try {
      const done = await this.#checkpoints.run(partitions);
      this.#o.metrics.unreadable.set(this.unreadable);
      gate.succeeded();
      return done;
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      gate.failed(error);
      return null;
    }
  }

  /**
   * Once over all that is dirty, and notes what is left of it: nothing that another flusher works on. Returns whether it
   * is worth trying again; what Postgres refuses, or we cannot read, is not.
   */
  async #flushAll(): Promise<boolean> {
    const known = await this.look.states();
    const isDirty = ({ partition, dirtySinceMs }: PartitionStatus) =>
      dirtySinceMs !== null || this.refused.stand(partition);
    const dirty = known.filter(isDirty).sort(byUrgency);
    const waiting = known.filter((status) => status.checkpointsWaiting > 0);
    const checkpoints = waiting.reduce((sum, status) => sum + status.checkpointsWaiting, 0);
    this.#noteLeft(dirty, checkpoints, known.length);
    const [done, left] = await Promise.all([
      this.gates.checkpoints.mayAsk()
        ? this.#writeCheckpoints(waiting.map(({ partition }) => partition))
        : null,
      this.gates.positions.mayAsk() ? this.#flushDirty(dirty) : dirty,
    ]);
    const checkpointsLeft = Math.max(0, checkpoints - (done ?? 0));
    this.#noteLeft(left, checkpointsLeft, known.length);
    const isReadable = ({ partition }: PartitionStatus) => !this.#unreadable.get(partition);
    const mayMove = done === null ? checkpointsLeft > 0 : done + this.#checkpoints.open > 0;
    return left.some(isReadable) || mayMove;
  }

  /** Returns those that are left. */
  async #flushDirty(dirty: readonly PartitionStatus[]): Promise<PartitionStatus[]> {
    if (dirty.length === 0) return [];
    const { left } = await this.#flush(dirty);
    return dirty.filter(({ partition }) => (left.get(partition) ?? 'leased') !== 'leased');
  }

  #noteLeft(dirty: readonly PartitionStatus[], checkpoints: number, known: number): void {
    const positions = dirty.reduce((sum, status) => sum + mostRowsOf(status), this.refused.count);
    const dark = this.#o.store.map.partitions - known;
    this.#left = { partitions: dirty.length, positions, checkpoints, dark };
  }

  #newGate(what: 'positions' | 'checkpoints'): ArchiveGate {
    const { archive, log, metrics } = this.#o;
    return new ArchiveGate({
      what,
      probe: () => archive.probe(what),
      log,
      failed: () => metrics.archiveFailures.inc(),
      changed: () => this.#tellGates(),
    });
  }

  #tellGates(): void {
    const { archiveUp, archiveRefuses } = this.#o.metrics;
    const gates = Object.values(this.gates);
    archiveUp.set(gates.every((gate) => gate.isUp) ? 1 : 0);
    archiveRefuses.set(gates.some((gate) => gate.trouble === 'archive_refuses') ? 1 : 0);
  }
}
