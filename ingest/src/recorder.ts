// Writes what drivers report. Connections only put reports into their rows; a tick copies the rows that wait into batches,
// each of one partition.
//
//   submit ──▶ waits ──tick──▶ under way ──answer──▶ acknowledged
//                ▲                  │                     │
//                ├──── no answer ───┘                     │
//                └── a new term of the partition lost it ─┘
//
// So holding, retrying and healing are one mechanism: a row waits. It is bounded by the number of drivers. A newer report
// replaces an older one, wherever on the map either is, so a driver who crosses a border waits in another partition. An
// answer acknowledges only the reports of its batch; an answer of a term that has ended acknowledges nothing. A driver who
// waits long gets a retryable nack, and the report stays held.

import type { Durability, NackCode } from '@whereabouts/client/protocol';
import { DarkRegions } from '@whereabouts/infra/live-store/dark-regions';
import { MAX_ENTRY_RECORDS } from '@whereabouts/infra/live-store/log-limits';
import type { ToldState } from '@whereabouts/infra/live-store/log-state';
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { LossWindow } from '@whereabouts/infra/live-store/loss-window';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { Position } from '@whereabouts/infra/position';
import type { Logger } from '@whereabouts/infra/service/log';
import type { Metrics } from '@whereabouts/infra/service/metrics';
import type { Tracer } from '@whereabouts/infra/service/tracing';
import { type Batch, BatchPool } from './batch.js';
import { BatchSpans } from './batch-spans.js';
import { Checkpoints } from './checkpoints.js';
import { Drivers, type Origin } from './drivers.js';
import type { DurationBuckets } from './duration-buckets.js';
import type { ReportSink } from './edge.js';
import { Losses } from './losses.js';
import { Partition } from './partition.js';
import { RecorderMetrics } from './recorder-metrics.js';
import { Ticker, type TickSettings } from './ticker.js';
import { Upkeep } from './upkeep.js';

export interface RecorderSettings extends TickSettings {
  lossBudgetMs: number;
  holdNackAfterMs: number;
  logMaxBytes: number;
}

export interface RecorderOptions {
  store: LogStore;
  settings: RecorderSettings;
  log: Logger;
  metrics: Metrics;
  /** Names this process among those that compact. */
  processId: string;
  /** Null, or none: nobody traces. */
  tracer?: Tracer | null;
}

/** Calls of one round to one partition: 2,048 reports. */
const MAX_CALLS = 4;
const RETRY_AFTER_MS = 1000;
/** The waiting rows of a partition that may not be written to are looked through so often. */
const NACK_LOOK_MS = 50;
const CHECKPOINT_LOOK_MS = 100;
const CHORES_EVERY_MS = 1000;
const HELD = 'the region is not available; the report is held and written when it is back';

export class Recorder implements ReportSink {
  readonly drivers = new Drivers();
  readonly regions: DarkRegions;
  readonly lossWindow: LossWindow;
  readonly #store: LogStore;
  readonly #settings: RecorderSettings;
  readonly #log: Logger;
  readonly #partitions: Partition[];
  readonly #checkpoints: Checkpoints;
  readonly #losses: Losses;
  readonly #upkeep: Upkeep;
  readonly #batches = new BatchPool();
  readonly #metrics: RecorderMetrics;
  readonly #ticker: Ticker;
  readonly #spans: BatchSpans | null;
  #nackedAtMs = 0;
  #lookedAtMs = 0;
  #choresAtMs = 0;
  /** The store was written under another partition map: nothing can be taken. */
  mapMismatch = false;

  constructor({ store, settings, log, metrics, processId, tracer = null }: RecorderOptions) {
    this.#store = store;
    this.#settings = settings;
    this.#log = log;
    this.#ticker = new Ticker(settings, (nowMs) => this.#tick(nowMs));
    const { partitions } = store.map;
    this.#partitions = Array.from(
      { length: partitions },
      (_, number) =>
        new Partition(number, this.drivers, (partition, change) => {
          this.#checkpoints.termChanged(number, change);
          this.#losses.termChanged(partition, change);
        }),
    );
    this.#checkpoints = new Checkpoints(store, this.#partitions);
    this.#losses = new Losses({ drivers: this.drivers, partitions: this.#partitions, store, log });
    this.#upkeep = new Upkeep({
      store,
      drivers: this.drivers,
      partitions: this.#partitions,
      holder: processId,
      logMaxBytes: settings.logMaxBytes,
      onError: (error) => this.#failed(error),
    });
    const nowMs = () => performance.now();
    const nodeOf = (partition: number) => store.nodeOf(partition);
    this.#spans = tracer && new BatchSpans(tracer, nodeOf);
    this.regions = new DarkRegions({ partitions, nodeOf, nowMs });
    this.regions.register(metrics);
    const { lossBudgetMs: budgetMs } = settings;
    this.lossWindow = new LossWindow({ budgetMs, partitions, regions: this.regions, log, nowMs });
    this.#metrics = new RecorderMetrics(metrics, {
      pending: () => this.pendingReports(),
      darkPartitions: () => this.regions.count,
      refusingPartitions: () => this.refusingPartitions,
      checkpoints: this.#checkpoints,
      losses: this.#losses,
      lossWindow: this.lossWindow,
      drivers: this.drivers,
      upkeep: this.#upkeep,
    });
  }

  start(): void {
    this.#ticker.start();
  }

  /** Of ticks. */
  get durations(): DurationBuckets {
    return this.#ticker.durations;
  }

  submit(slot: number): void {
    this.#ticker.counted();
    const { drivers } = this;
    const place = this.#store.map.partitionOf(drivers.latE7(slot) / 1e7, drivers.lonE7(slot) / 1e7);
    drivers.partitions[slot] = place;
    // Whatever was lost of this driver is older.
    if (drivers.lostIn[slot] !== -1) this.#losses.replaced(slot);
    this.#wait(slot);
  }

  keep(checkpoint: Position, origin: Origin): boolean {
    this.#ticker.counted();
    const partition = this.#store.map.partitionOf(checkpoint.latE7 / 1e7, checkpoint.lonE7 / 1e7);
    return this.#checkpoints.submit(checkpoint, origin, partition, performance.now());
  }

  waitingCheckpoints(driverId: string, besidesId: string): number {
    return this.#checkpoints.countOf(driverId, besidesId);
  }

  pendingReports(): number {
    return this.#partitions.reduce((sum, { waiting }) => sum + waiting, this.#checkpoints.waiting);
  }

  /** Partitions where the store refuses writes with an unknown error. */
  get refusingPartitions(): number {
    const isRefusing = (partition: Partition) =>
      partition.isRefusing || this.#checkpoints.isRefusing(partition.number);
    return this.#partitions.filter(isRefusing).length;
  }

  /** Brings `regions` and `lossWindow` up to date. */
  look(): void {
    const isDark = (partition: number) => !this.#store.reachable(partition);
    this.regions.update(isDark);
    this.lossWindow.update((number) => {
      const { told, answeredAtMs } = this.#partitions[number] as Partition;
      return told === null || isDark(number) ? null : { state: told, atMs: answeredAtMs };
    });
  }

  /** Writes what is pending, as far as the regions take it. Resolves when all is settled or the time is over. */
  async drain(deadlineMs: number): Promise<void> {
    const endMs = performance.now() + deadlineMs;
    const isBusy = () =>
      this.pendingReports() > 0 || this.#batches.underWay > 0 || this.#checkpoints.underWay > 0;
    while (isBusy() && performance.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, this.#settings.tickMinMs));
    }
    this.#ticker.stop();
    const left = this.pendingReports();
    if (left > 0) this.#log.warn({ left }, 'reports of dark regions were not written');
  }

  #tick(nowMs: number): void {
    const isNackTurn = nowMs - this.#nackedAtMs >= NACK_LOOK_MS;
    if (isNackTurn) this.#nackedAtMs = nowMs;
    for (const partition of this.#partitions) {
      partition.reached(this.#store.reachable(partition.number));
      if (partition.waiting > 0 && partition.mayWrite(nowMs)) this.#writeRound(partition, nowMs);
      this.#checkpoints.write(partition, nowMs);
      if (isNackTurn) this.#nackHeld(partition, nowMs);
    }
    this.#upkeep.tick(nowMs);
    if (nowMs - this.#lookedAtMs >= CHECKPOINT_LOOK_MS) {
      this.#lookedAtMs = nowMs;
      this.#checkpoints.look();
    }
    if (nowMs - this.#choresAtMs >= CHORES_EVERY_MS) {
      this.#choresAtMs = nowMs;
      this.#upkeep.forgetRows(nowMs);
      this.look();
    }
  }

  // ---- rows

  /** In the partition of its place, and nowhere else. */
  #wait(slot: number): void {
    const place = this.drivers.partitions[slot] as number;
    const waitsIn = this.drivers.waitsIn[slot] as number;
    if (waitsIn === place) return;
    if (waitsIn !== -1) (this.#partitions[waitsIn] as Partition).remove(slot);
    (this.#partitions[place] as Partition).add(slot);
  }

  #writeRound(partition: Partition, nowMs: number): void {
    // If the last call failed, one call decides whether others may follow.
    const calls = partition.status === 'backing_off' ? 1 : MAX_CALLS;
    for (let call = 0; call < calls && partition.waiting > 0; call++) {
      const batch = this.#batches.take();
      while (batch.count < MAX_ENTRY_RECORDS) {
        const slot = partition.shift();
        if (slot === -1) break;
        batch.add(this.drivers, slot);
      }
      void this.#append(partition, batch, nowMs);
    }
  }

  async #append(partition: Partition, batch: Batch, nowMs: number): Promise<void> {
    this.#metrics.calls++;
    const span = this.#spans?.begin(partition.number, batch) ?? null;
    try {
      const { state, replicated } = await partition.write(() =>
        this.#store.append(partition.number, batch.bytes(), batch.count),
      );
      span?.answered();
      this.mapMismatch = false;
      this.#metrics.accepted += batch.count;
      if (partition.isCurrent(state)) {
        this.#acknowledge(batch, state);
        this.#tell(partition, batch, state, replicated !== null && (await replicated));
      } else this.#waitAgain(batch);
    } catch (error) {
      this.#metrics.failedCalls++;
      this.#waitAgain(batch);
      const failure = this.#failed(error);
      span?.failed(failure.code, failure.message);
      this.#nackFailed(batch, failure, nowMs);
    } finally {
      span?.end();
      this.#batches.giveBack(batch, this.drivers);
    }
  }

  /** An outage, which is tried again; only a broken invariant is thrown. */
  #failed(error: unknown): StoreError {
    if (!(error instanceof StoreError)) throw error;
    if (error.code === 'map_mismatch') this.mapMismatch = true;
    return error;
  }

  /** Notes where each report of a batch stands. */
  #acknowledge(batch: Batch, state: ToldState): void {
    const { drivers } = this;
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.slots[i] as number;
      const isNoted = drivers.acknowledge(
        slot,
        batch.sessions[i] as number,
        batch.recordedAtMs[i] as number,
        state,
      );
      if (isNoted && drivers.lostIn[slot] !== -1) this.#losses.written(slot);
    }
  }

  /** Acknowledges to the drivers what has not been lost meanwhile. */
  #tell(partition: Partition, batch: Batch, state: ToldState, isReplicated: boolean): void {
    const { drivers } = this;
    const durability: Durability = isReplicated ? 'replicated' : 'cache';
    const isCurrent = partition.isCurrent(state);
    const nowMs = performance.now();
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.slots[i] as number;
      const origin = drivers.origins[slot] as Origin | null;
      // Another connection has taken its place, or it has another number and the report waits again under that.
      if (
        origin === null ||
        origin.generation !== batch.generations[i] ||
        origin.session !== batch.sessions[i]
      )
        continue;
      if (!isCurrent && !drivers.standsAt(slot, state)) continue;
      const sinceMs = batch.sinceMs[i] as number;
      const waitedMs = sinceMs === 0 ? 0 : nowMs - sinceMs;
      origin.accepted(batch.seqs[i] as number, batch.recordedAtMs[i] as number, waitedMs, durability);
    }
  }

  /** Of what came back unwritten: a row whose newest report stands nowhere waits again, with that. */
  #waitAgain(batch: Batch): void {
    const { drivers } = this;
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.slots[i] as number;
      if (drivers.isAcknowledged(slot)) continue;
      const sinceMs = batch.sinceMs[i] as number;
      const laterMs = drivers.sinceMs[slot] as number;
      const isOfSame = batch.generations[i] === drivers.generations[slot];
      if (isOfSame && sinceMs !== 0 && (laterMs === 0 || sinceMs < laterMs)) drivers.sinceMs[slot] = sinceMs;
      if (drivers.waitsIn[slot] === -1) this.#wait(slot);
    }
  }

  // ---- nacks

  /** Drivers get errors that name their cause at once. */
  #nackFailed(batch: Batch, { code }: StoreError, nowMs: number): void {
    if (code !== 'overloaded' && code !== 'map_mismatch') return;
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.slots[i] as number;
      if (code === 'overloaded') this.#nack(slot, nowMs, 'overloaded', 'the region takes no more');
      else this.#nack(slot, nowMs, 'not_ready', 'another partition map is in use');
    }
  }

  #nackHeld(partition: Partition, nowMs: number): void {
    const sinceMs = nowMs - this.#settings.holdNackAfterMs;
    this.#checkpoints.nackHeld(partition.number, sinceMs, HELD);
    if (partition.waiting > 0)
      partition.eachWaiting((slot) => this.#nack(slot, sinceMs, 'region_unavailable', HELD));
  }

  /** If the driver has had no answer since then. */
  #nack(slot: number, sinceMs: number, code: NackCode, detail: string): void {
    const { drivers } = this;
    const waitsSinceMs = drivers.sinceMs[slot] as number;
    if (waitsSinceMs === 0 || waitsSinceMs > sinceMs) return;
    drivers.sinceMs[slot] = 0;
    const origin = drivers.origins[slot] as Origin | null;
    if (origin === null || origin.generation !== drivers.generations[slot]) return;
    const seq = drivers.seqs[slot] as number;
    origin.refused(seq, drivers.recordedAtMs[slot] as number, code, RETRY_AFTER_MS, detail);
  }
}
