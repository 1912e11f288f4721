// Writes what drivers report. Sockets only put reports down; a tick picks them up, one batch for each partition.
//
//   submit ──▶ pending ──tick──▶ record ──answer──▶ accepted, refused, superseded
//                 ▲                 │ no answer
//                 └── held ◀────────┘   (and a retryable nack to who waits for longer than a second)
//
// Of a partition: what its new reign lacks goes out before anything newer; one round of calls is under way at a time,
// so that what comes back unwritten meets nothing newer of its own partition.

import type { NackCode } from '@whereabouts/client/protocol';
import type { Outcome, PartitionState } from '@whereabouts/infra/live-store/answers';
import { DarkRegions } from '@whereabouts/infra/live-store/dark-regions';
import type { CachedAnswer, LiveStore } from '@whereabouts/infra/live-store/live-store';
import { LossWindow } from '@whereabouts/infra/live-store/loss-window';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import { isNewer, MAX_BATCH_RECORDS, type Position, type StoredPosition } from '@whereabouts/infra/position';
import type { Logger } from '@whereabouts/infra/service/log';
import type { Metrics } from '@whereabouts/infra/service/metrics';
import { CheckpointWatch, type WatchedCheckpoint } from './checkpoint-watch.js';
import { Fleet, isKnown, type KnownDriver } from './fleet.js';
import { Forgets } from './forgets.js';
import { Healer, type Lacking, type Loss } from './healer.js';
import { isRefusal, type Leftover, sendInParts } from './in-parts.js';
import { Lanes } from './lanes.js';
import type { Origin, ReportSink } from './origin.js';
import { Pending, type Report } from './pending.js';
import { RecorderMetrics } from './recorder-metrics.js';
import { Ticker, type TickSettings } from './ticker.js';

export interface RecorderSettings extends TickSettings {
  freshnessMs: number;
  lossBudgetMs: number;
  holdNackAfterMs: number;
}

export interface RecorderOptions {
  store: LiveStore;
  settings: RecorderSettings;
  log: Logger;
  metrics: Metrics;
}

/** Calls of one round to one partition: 2,048 reports. */
const MAX_CALLS = 4;
const MAX_FORGETS = 200;
const TOUCH_EVERY_MS = 2000;
const CHECKPOINT_LOOK_MS = 100;
const CHORES_EVERY_MS = 1000;
const RETRY_AFTER_MS = 1000;
const HEAL_AGAIN_AFTER_MS = 1000;
/** Of a partition that refuses all that it is sent, which costs more than a node that is away. */
const MAX_REFUSED_BACKOFF_MS = 2000;
const REFUSALS = {
  stale: ['stale', 'a newer position is stored'],
  clock_ahead: ['clock_ahead', 'recorded_at_ms is more than 5 s ahead of the server'],
  bad: ['bad_position', 'the store refused the position'],
  too_many_checkpoints: ['too_many_checkpoints', '10 checkpoints wait already'],
  checkpoint_conflict: ['checkpoint_conflict', 'a checkpoint of this id was taken at another place or time'],
} as const;

const isTaken = (outcome: Outcome): outcome is 'accepted' | 'duplicate' =>
  outcome === 'accepted' || outcome === 'duplicate';

export class Recorder implements ReportSink {
  readonly regions: DarkRegions;
  readonly lossWindow: LossWindow;
  readonly #store: LiveStore;
  readonly #settings: RecorderSettings;
  readonly #log: Logger;
  readonly #fleet = new Fleet();
  readonly #pending = new Pending(this.#fleet);
  readonly #healer = new Healer(this.#fleet, (loss) => this.#lost(loss));
  readonly #checkpoints = new CheckpointWatch();
  readonly #forgets: Forgets;
  readonly #lanes: Lanes;
  readonly #metrics: RecorderMetrics;
  readonly #ticker: Ticker;
  /** Of each driver, the checkpoints on their way to the store, and how often each is. */
  readonly #submitted = new Map<string, Map<string, number>>();
  readonly #ghostsToMark = new Set<number>();
  /** Partitions whose last round the store refused, in part or as a whole. */
  readonly #refusing = new Set<number>();
  /** Where what is left to heal is refused: it is tried again then, and newer reports need not wait for it. */
  readonly #healAgainAtMs = new Map<number, number>();
  /** Reports in the cache whose drivers are told when it is known whether the replicas have them. */
  #unacknowledged = 0;
  /** Drivers whom this process has recorded for the first time. */
  #strangers: string[] = [];
  #lookedAtMs = 0;
  #choresAtMs = 0;
  /** The store was written under another partition map: nothing can be taken. */
  mapMismatch = false;

  constructor({ store, settings, log, metrics }: RecorderOptions) {
    this.#store = store;
    this.#settings = settings;
    this.#log = log;
    this.#forgets = new Forgets(settings.freshnessMs);
    this.#lanes = new Lanes(store.map.partitions);
    this.#ticker = new Ticker(settings, (nowMs) => this.#tick(nowMs));
    const { partitions } = store.map;
    const nowMs = () => performance.now();
    const nodeOf = (partition: number) => store.nodeOf(partition);
    this.regions = new DarkRegions({ partitions, nodeOf, nowMs });
    this.regions.register(metrics);
    const { lossBudgetMs: budgetMs } = settings;
    this.lossWindow = new LossWindow({ budgetMs, partitions, regions: this.regions, log, nowMs });
    this.#metrics = new RecorderMetrics(metrics, {
      pending: () => this.#pending.size,
      darkPartitions: () => this.regions.count,
      refusingPartitions: () => this.refusingPartitions,
      unreadableRecords: () => store.unreadable,
      ghosts: () => this.#forgets.waiting,
      checkpointsWaiting: () => this.#checkpoints.size,
      lossWindow: this.lossWindow,
      known: () => this.#healer.size,
    });
  }

  start(): void {
    this.#ticker.start();
  }

  submit(position: Position, origin: Origin | null): void {
    this.#ticker.counted();
    const partition = this.#store.map.partitionOf(position.latE7 / 1e7, position.lonE7 / 1e7);
    const sinceMs = performance.now();
    const driver = this.#fleet.of(position.driverId, sinceMs);
    const report = { driver, position, origin, partition, sinceMs, nacked: false };
    const isTaken = this.#pending.put(report);
    if (isTaken && position.checkpoint) this.#countCheckpoint(position, 1);
    // A checkpoint that waits already is acknowledged when it is written.
    if (!isTaken && !position.checkpoint) this.#refuse(report, 'stale');
  }

  lastKnown(driverId: string): Position | null {
    const driver = this.#fleet.get(driverId);
    return driver?.waiting?.position ?? driver?.position ?? null;
  }

  waitingCheckpoints(driverId: string, besidesId: string): number {
    const ids = new Set(this.#checkpoints.ofDriver(driverId));
    for (const id of this.#submitted.get(driverId)?.keys() ?? []) ids.add(id);
    ids.delete(besidesId);
    return ids.size;
  }

  pendingReports(): number {
    return this.#pending.size;
  }

  /** Partitions where the store refuses some of what is written, or all of it, with an error that we do not know. */
  get refusingPartitions(): number {
    return this.#refusing.size;
  }

  /** Brings `regions` and `lossWindow` up to date. */
  look(): void {
    const isDark = (partition: number) => !this.#store.reachable(partition);
    this.regions.update(isDark);
    this.lossWindow.update((partition) => {
      const state = isDark(partition) ? undefined : this.#healer.standing(partition);
      return state === undefined ? null : { state, atMs: this.#lanes.answeredAtMs(partition) };
    });
  }

  /** Writes what is pending, as far as the regions take it. Resolves when all is settled or the time is over. */
  async drain(deadlineMs: number): Promise<void> {
    const endMs = performance.now() + deadlineMs;
    const isBusy = () => this.#pending.size > 0 || this.#lanes.busy() || this.#unacknowledged > 0;
    while (isBusy() && performance.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, this.#settings.tickMinMs));
    }
    this.#ticker.stop();
    const left = this.#pending.size;
    if (left > 0) this.#log.warn({ left }, 'reports of dark regions were not written');
  }

  #tick(nowMs: number): void {
    for (const partition of this.#pending.partitions()) this.#writePending(partition, nowMs);
    if (nowMs - this.#lookedAtMs >= CHECKPOINT_LOOK_MS) {
      this.#lookedAtMs = nowMs;
      for (const partition of this.#checkpoints.partitions()) this.#lookAtCheckpoints(partition);
      for (const partition of this.#healer.partitionsWithLost()) this.#heal(partition, nowMs);
      for (const partition of this.#forgets.partitions()) this.#forget(partition, nowMs);
      this.#seekGhosts();
      this.#markGhosts();
      for (const partition of this.#lanes.quiet(nowMs - TOUCH_EVERY_MS)) this.#touch(partition, nowMs);
    }
    if (nowMs - this.#choresAtMs >= CHORES_EVERY_MS) {
      this.#choresAtMs = nowMs;
      this.#healer.forgetOld(nowMs);
      this.#forgets.dropOld(nowMs);
      this.look();
    }
  }

  #canWrite(partition: number, nowMs: number): boolean {
    return this.#store.reachable(partition) && this.#lanes.isFree(partition, nowMs);
  }

  #writePending(partition: number, nowMs: number): void {
    if (!this.#canWrite(partition, nowMs)) {
      this.#nackHeld(partition, nowMs);
      return;
    }
    if (this.#heal(partition, nowMs)) return;
    for (let call = 0; call < MAX_CALLS; call++) {
      const reports = this.#pending.take(partition, MAX_BATCH_RECORDS);
      if (reports.length === 0) return;
      void this.#write(partition, reports);
    }
  }

  #nackHeld(partition: number, nowMs: number): void {
    const { holdNackAfterMs } = this.#settings;
    for (const report of this.#pending.of(partition)) {
      if (report.nacked || nowMs - report.sinceMs < holdNackAfterMs) continue;
      const detail = 'the region is not available; the report is held and written when it is back';
      this.#nack(report, 'region_unavailable', RETRY_AFTER_MS, detail);
      report.nacked = true;
    }
  }

  /** One call to the store, with its answer told to the healer. */
  async #call(partition: number, positions: readonly Position[]): Promise<CachedAnswer> {
    const asked = this.#healer.standing(partition);
    this.#metrics.calls++;
    this.#lanes.enter(partition);
    try {
      const answer = await this.#store.recordInCache(partition, positions);
      this.mapMismatch = false;
      this.#lanes.succeeded(partition, performance.now());
      this.#healer.observe(answer.state, asked, answer.outcomes.includes('accepted'));
      return answer;
    } catch (error) {
      this.#metrics.failedCalls++;
      if (!(error instanceof StoreError)) throw error;
      if (error.code === 'map_mismatch') this.mapMismatch = true;
      if (!isRefusal(error)) this.#lanes.failed(partition, performance.now());
      throw error;
    } finally {
      this.#lanes.leave(partition);
    }
  }

  async #write(partition: number, reports: readonly Report[]): Promise<void> {
    const { leftovers, isAnyTaken } = await sendInParts(reports, async (part) => {
      const answer = await this.#call(
        partition,
        part.map((report) => report.position),
      );
      const nowMs = performance.now();
      for (let i = 0; i < part.length; i++) this.#settle(part[i] as Report, answer, i, nowMs);
      this.#acknowledge(part, answer);
    });
    this.#markGhosts();
    this.#judge(partition, leftovers, isAnyTaken);
    for (const leftover of leftovers) this.#unwritten(partition, leftover, isAnyTaken);
  }

  /** Of a round that is over: whether the store refused any of it, and waits a little where it refused all. */
  #judge(partition: number, leftovers: readonly Leftover<unknown>[], isAnyTaken: boolean): void {
    const isRefused = leftovers.some(({ error }) => error.code === 'refused');
    if (isRefused) this.#refusing.add(partition);
    else if (isAnyTaken) this.#refusing.delete(partition);
    if (isRefused && !isAnyTaken) this.#lanes.failed(partition, performance.now(), MAX_REFUSED_BACKOFF_MS);
  }

  #unwritten(partition: number, { part, error }: Leftover<Report>, isAnyTaken: boolean): void {
    // Refused while others of its round were taken: it is this one's own, and must not hold up the others again.
    const isAlone = part.length === 1 && isAnyTaken;
    for (const report of part) {
      if (error.code === 'overloaded')
        this.#end(report, 'overloaded', RETRY_AFTER_MS, 'the region takes no more');
      else if (error.code === 'map_mismatch')
        this.#end(report, 'not_ready', RETRY_AFTER_MS, 'another partition map is in use');
      else if (error.code === 'refused' && isAlone)
        this.#end(report, 'not_ready', RETRY_AFTER_MS, 'the live store refuses it now');
      else if (error.code === 'bad_batch' && part.length === 1) {
        this.#log.error({ why: error.message, partition }, 'the live store refused a report');
        this.#refuse(report, 'bad');
      } else this.#putBack(report);
    }
  }

  #putBack(report: Report): void {
    // Two of one checkpoint became one: it is counted once.
    if (!this.#pending.putBack(report) && report.position.checkpoint) {
      this.#countCheckpoint(report.position, -1);
    }
  }

  #settle(report: Report, answer: CachedAnswer, index: number, nowMs: number): void {
    const { state, outcomes, storedSessions } = answer;
    const outcome = outcomes[index] as Outcome;
    this.#metrics.outcomes[outcome]++;
    if (isTaken(outcome)) {
      this.#accepted(report, state, nowMs);
      return;
    }
    if (outcome === 'superseded') {
      if (report.position.checkpoint) this.#countCheckpoint(report.position, -1);
      report.origin?.superseded(report.position, storedSessions.get(index) as number);
      return;
    }
    this.#refuse(report, outcome);
  }

  /** Tells the drivers of what was taken, at once or when it is known whether the replicas have it. */
  #acknowledge(reports: readonly Report[], { state, outcomes, replicated }: CachedAnswer): void {
    const taken = reports.filter((_, i) => isTaken(outcomes[i] as Outcome));
    const tell = (isReplicated: boolean) => {
      for (const { position, origin } of taken) {
        if (position.checkpoint) {
          this.#countCheckpoint(position, -1);
          this.#checkpoints.add(position, origin, state, this.#healer.isLost(state));
        }
        origin?.accepted(position, isReplicated ? 'replicated' : 'cache');
      }
    };
    if (replicated === null) {
      tell(false);
      return;
    }
    this.#unacknowledged++;
    void replicated.then((isReplicated) => {
      this.#unacknowledged--;
      tell(isReplicated);
    });
  }

  #accepted({ driver, position }: Report, state: PartitionState, nowMs: number): void {
    if (!position.checkpoint || position.recordedAtMs >= state.nowMs - this.#settings.freshnessMs) {
      const { driverId } = position;
      // One that nothing is known of may have been let go since the report was submitted.
      const kept = driver.position === null ? this.#fleet.of(driverId, nowMs) : driver;
      if (!isKnown(kept)) this.#strangers.push(driverId);
      else if (kept.partition !== state.partition) this.#crossed(kept, position, state.partition, nowMs);
      this.#healer.remember(kept, position, state, nowMs);
    }
  }

  /** Answers of two partitions come in any order: the older record is the ghost, whichever was told first. */
  #crossed(known: KnownDriver, position: Position, partition: number, nowMs: number): void {
    const isForward = isNewer(position, known.position);
    const [from, to] = isForward ? [known.partition, partition] : [partition, known.partition];
    this.#forgets.add(from, isForward ? position : known.position, to, nowMs);
    this.#ghostsToMark.add(from);
  }

  #refuse(report: Report, outcome: keyof typeof REFUSALS): void {
    const [code, detail] = REFUSALS[outcome];
    this.#end(report, code, null, detail);
  }

  /** It waits no longer, and its driver is told why. */
  #end(report: Report, code: NackCode, retryAfterMs: number | null, detail: string): void {
    if (report.position.checkpoint) this.#countCheckpoint(report.position, -1);
    this.#nack(report, code, retryAfterMs, detail);
  }

  #nack(report: Report, code: NackCode, retryAfterMs: number | null, detail: string): void {
    report.origin?.refused(report.position, code, retryAfterMs, detail);
  }

  #countCheckpoint({ driverId, checkpointId }: Position, by: 1 | -1): void {
    const id = checkpointId as string;
    const ids = this.#submitted.get(driverId) ?? new Map<string, number>();
    const count = (ids.get(id) ?? 0) + by;
    if (count > 0) ids.set(id, count);
    else ids.delete(id);
    if (ids.size > 0) this.#submitted.set(driverId, ids);
    else this.#submitted.delete(driverId);
  }

  /** Returns whether something has to be healed before newer reports may go out. */
  #heal(partition: number, nowMs: number): boolean {
    if (nowMs < (this.#healAgainAtMs.get(partition) ?? 0)) return false;
    const checkpoints = this.#checkpoints.lost(partition, MAX_BATCH_RECORDS / 2);
    const known = this.#healer.lostOf(partition, MAX_BATCH_RECORDS - checkpoints.length);
    if (known.length + checkpoints.length === 0) return false;
    if (this.#canWrite(partition, nowMs)) void this.#recordAgain(partition, [...known, ...checkpoints]);
    return true;
  }

  async #recordAgain(partition: number, lost: readonly (Lacking | WatchedCheckpoint)[]): Promise<void> {
    const refused: (Lacking | WatchedCheckpoint)[] = [];
    const { leftovers, isAnyTaken } = await sendInParts(lost, async (part) => {
      const { state, outcomes } = await this.#call(
        partition,
        part.map((one) => one.position),
      );
      for (const [i, one] of part.entries())
        if (!this.#isHealed(one, outcomes[i] as Outcome, state)) refused.push(one);
    });
    this.#judge(partition, leftovers, isAnyTaken);
    for (const { part, error } of leftovers) {
      if (error.code === 'bad_batch' && part.length === 1)
        this.#unhealable(partition, part[0], error.message);
      else if (error.code === 'map_mismatch') this.mapMismatch = true;
      else if (isRefusal(error)) refused.push(...part);
    }
    if (refused.length === 0) return;
    // Behind the others, which a later page would not reach otherwise.
    for (const one of refused) {
      if ('field' in one) this.#checkpoints.postpone(one);
      else this.#healer.postpone(partition, one);
    }
    this.#healAgainAtMs.set(partition, performance.now() + HEAL_AGAIN_AFTER_MS * (0.5 + Math.random() / 2));
  }

  /** False: the store does not take it now, and may later. */
  #isHealed(one: Lacking | WatchedCheckpoint, outcome: Outcome, state: PartitionState): boolean {
    if (outcome === 'clock_ahead' || outcome === 'too_many_checkpoints') return false;
    const isCheckpoint = 'field' in one;
    // What has been superseded was sent again by its driver, under the newer session.
    if (outcome === 'bad' || (isCheckpoint && outcome === 'superseded'))
      this.#unhealable(state.partition, one, outcome);
    else if (isCheckpoint && outcome === 'checkpoint_conflict') {
      // While it was lost, another of its id was taken.
      this.#checkpoints.remove(one);
      this.#tellConflict(one);
    } else if (isCheckpoint) this.#checkpoints.recordedAgain(one, state);
    else {
      if (outcome === 'accepted') this.#metrics.healed++;
      this.#healer.healed([one], state);
    }
    return true;
  }

  #unhealable(partition: number, one: Lacking | WatchedCheckpoint | undefined, why: string): void {
    if (one === undefined) return;
    this.#metrics.unhealed++;
    const { driverId: driver_id, seq } = one.position;
    this.#log.error({ partition, driver_id, seq, why }, 'what was lost is refused: it is not recorded again');
    if ('field' in one) this.#checkpoints.remove(one);
    else this.#healer.giveUp(partition, one);
  }

  #lost({ state, known, above }: Loss): void {
    const { partition, reign, previous } = state;
    this.#healAgainAtMs.delete(partition);
    this.#checkpoints.lose(partition, above);
    this.#forgets.redo(partition);
    this.#metrics.lost += known.length;
    const nowMs = this.#store.nowMs();
    let oldestMs = 0;
    for (const { position } of known) {
      const ageMs = Math.max(0, nowMs - position.recordedAtMs);
      oldestMs = Math.max(oldestMs, ageMs);
      this.#metrics.lostAge.observe(ageMs / 1000);
    }
    const node = this.#store.nodeOf(partition);
    const level = known.length > 0 ? 'warn' : 'info';
    this.#log[level]({ partition, node, lost: known.length, oldestMs, reign, previous }, 'a new reign began');
  }

  #lookAtCheckpoints(partition: number): void {
    if (!this.#store.reachable(partition)) return;
    if (this.#checkpoints.lost(partition, 1).length > 0 && this.#heal(partition, performance.now())) return;
    const watched = this.#checkpoints.waiting(partition, MAX_BATCH_RECORDS);
    const asked = this.#healer.standing(partition);
    this.#store
      .checkpointsWaiting(
        partition,
        watched.map((one) => one.field),
      )
      .then(({ state, waiting }) => {
        this.#healer.observe(state, asked, false);
        for (const [index, one] of watched.entries()) {
          if (waiting[index] === 'waits' || one.lost || one.state.reign !== state.reign) continue;
          this.#checkpoints.remove(one);
          if (waiting[index] === 'conflict') this.#refuseConflict(partition, one);
          else {
            this.#metrics.checkpointsPersisted++;
            one.origin?.persisted(one.position);
          }
        }
      })
      .catch((error) => this.#tryAgain(error));
  }

  /** Postgres has another checkpoint of this id. Once its driver has been told, the store need not remember. */
  #refuseConflict(partition: number, one: WatchedCheckpoint): void {
    this.#tellConflict(one);
    this.#store.checkpointsDone(partition, [one.field]).catch((error) => this.#tryAgain(error));
  }

  #tellConflict({ origin, position }: WatchedCheckpoint): void {
    const [code, detail] = REFUSALS.checkpoint_conflict;
    origin?.refused(position, code, null, detail);
  }

  /** In the turn in which the crossing is acknowledged. Nothing of the old partition has to settle for a mark. */
  #markGhosts(): void {
    for (const partition of this.#ghostsToMark) {
      this.#ghostsToMark.delete(partition);
      if (!this.#store.reachable(partition)) continue;
      for (const [to, unmarked] of this.#forgets.unmarked(partition)) {
        this.#store
          .moved(partition, to, unmarked)
          .then(() => this.#forgets.marked(unmarked))
          .catch((error) => this.#tryAgain(error));
      }
    }
  }

  /** A driver may have crossed a border on the way from another process to this one: who is new here may be a ghost. */
  #seekGhosts(): void {
    const ids = this.#strangers.splice(0, MAX_BATCH_RECORDS);
    if (ids.length === 0) return;
    for (const partition of this.#lanes.all()) {
      if (!this.#store.reachable(partition)) continue;
      this.#store
        .get(partition, ids)
        .then(({ found }) => {
          for (const position of found) if (position) this.#isGhost(partition, position);
          this.#markGhosts();
        })
        .catch((error) => this.#tryAgain(error));
    }
  }

  #isGhost(partition: number, position: StoredPosition): void {
    const known = this.#fleet.known(position.driverId);
    if (!known || known.partition === partition || position.unlisted || !isNewer(known.position, position))
      return;
    this.#forgets.add(partition, known.position, known.partition, performance.now());
    this.#ghostsToMark.add(partition);
  }

  #forget(partition: number, nowMs: number): void {
    if (!this.#canWrite(partition, nowMs)) return;
    if (this.#forgets.unmarked(partition).size > 0) this.#ghostsToMark.add(partition);
    const due = this.#forgets.due(partition, nowMs, MAX_FORGETS);
    if (due.length === 0) return;
    this.#store
      .forget(partition, due)
      .then((count) => {
        this.#metrics.forgotten += count;
        this.#forgets.done(due);
      })
      .catch((error) => this.#tryAgain(error));
  }

  #touch(partition: number, nowMs: number): void {
    if (!this.#canWrite(partition, nowMs)) return;
    const asked = this.#healer.standing(partition);
    this.#lanes.enter(partition);
    this.#store
      .touch(partition)
      .then((state) => {
        this.mapMismatch = false;
        this.#lanes.succeeded(partition, performance.now());
        if (this.#pending.of(partition).length === 0) this.#refusing.delete(partition);
        this.#healer.observe(state, asked, false);
      })
      .catch((error) => {
        this.#lanes.failed(partition, performance.now());
        if (error instanceof StoreError && error.code === 'refused') this.#refusing.add(partition);
        this.#tryAgain(error);
      })
      .finally(() => this.#lanes.leave(partition));
  }

  /** Chores are done again at their next turn; only a broken invariant is an error. */
  #tryAgain(error: unknown): void {
    if (!(error instanceof StoreError)) throw error;
    if (error.code === 'map_mismatch') this.mapMismatch = true;
  }
}
