// Writes waiting checkpoints to Postgres, without their partitions: flushing a whole partition for each trip that ends
// would cost more than Postgres can take. They leave the cache after the commit, so a crash in between costs a second
// INSERT that finds its row.
//
// Each round continues in a partition where the last one stopped. So refused checkpoints, however many, do not block
// the others.

import type { ConflictingCheckpoint, WaitingCheckpoint } from '@whereabouts/infra/live-store/log-replies';
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { Position } from '@whereabouts/infra/position';
import { decodeBody, isReadable } from '@whereabouts/infra/record';
import type { Logger } from '@whereabouts/infra/service/log';
import { PacedLog } from '@whereabouts/infra/service/paced-log';
import type { Archive } from './archive.js';
import { archiveRefuses } from './archive-error.js';
import type { FlushMetrics } from './flush-metrics.js';

/** Of all partitions in one round, but for the last page of each; the next round takes the rest. */
const ROUND_LIMIT = 5_000;
/** Of one partition in one round. */
const PARTITION_LIMIT = 512;
const PAGE_SIZE = 128;
const MAX_PAGES = 64;
/** One that Postgres refuses stays in the cache (nothing drops a checkpoint), and is tried again this often. */
const REFUSED_RETRY_MS = 15_000;
const MAX_REFUSED_KNOWN = 10_000;
/** After this long, ingest has told the driver about the conflict, or never will. */
const KEEP_CONFLICT_MS = 60_000;
const TOLD_EVERY_MS = 60_000;

/** Every partition gets an equal share of a round. Otherwise a busy partition could keep the others waiting for ever. */
export const partitionLimit = (partitions: number): number =>
  Math.max(1, Math.min(PARTITION_LIMIT, Math.floor(ROUND_LIMIT / partitions)));

interface Found {
  field: string;
  partition: number;
  position: Position;
}

/** Where the scan of a partition stands. */
interface Walk {
  cursor: string | null;
  place: string | null;
  /** Of the refused, those that it has come by. */
  stillRefused: Set<string>;
  unreadable: number;
}

const newWalk = (): Walk => ({ cursor: null, place: null, stillRefused: new Set(), unreadable: 0 });

export class CheckpointWriter {
  readonly #store: LogStore;
  readonly #archive: Archive;
  readonly #log: Logger;
  readonly #paced = new PacedLog(TOLD_EVERY_MS);
  readonly #metrics: FlushMetrics;
  /** Fields of those that Postgres refuses. */
  readonly #refused = new Map<string, { partition: number; notBeforeMs: number }>();
  readonly #walks = new Map<number, Walk>();
  /** Foreign fields, by partition, as found by its last complete scan. */
  readonly #unreadable = new Map<number, number>();
  #open = 0;

  constructor(o: { store: LogStore; archive: Archive; log: Logger; metrics: FlushMetrics }) {
    this.#store = o.store;
    this.#archive = o.archive;
    this.#log = o.log;
    this.#metrics = o.metrics;
  }

  /** How many are known to be refused, and wait. */
  get refused(): number {
    return this.#refused.size;
  }

  get unreadable(): number {
    return [...this.#unreadable.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Of the last round: what was not tried, and partitions that were not scanned to their end. Not what is refused. */
  get open(): number {
    return this.#open;
  }

  /** In the next rounds. */
  tryAllAgain(): void {
    for (const refused of this.#refused.values()) refused.notBeforeMs = 0;
  }

  /**
   * Writes those of all partitions where some wait, and returns how many. Rejects with ArchiveError, also if none was
   * taken: then the table may be wrong, and not the checkpoints. If a partition's node does not answer, its checkpoints
   * wait for the next round.
   */
  async run(partitions: readonly number[]): Promise<number> {
    this.#open = 0;
    this.#forgetOthers(new Set(partitions));
    const share = partitionLimit(partitions.length);
    const found = (await Promise.all(partitions.map((partition) => this.#gather(partition, share)))).flat();
    this.#metrics.refusedCheckpoints.set(this.refused);
    if (found.length === 0) return 0;
    const answer = await this.#archive.insertCheckpoints(found.map(({ position }) => position));
    const [refused, conflicting] = [new Set(answer.refused), new Set(answer.conflicting)];
    this.#metrics.checkpointsRefused.inc(refused.size);
    const left = new Set([...answer.refused, ...answer.untried]);
    const settled = found.filter(({ position }) => !left.has(position));
    const isNews = found.some(({ field }) => !this.#refused.has(field));
    if (settled.length === 0 && isNews) throw archiveRefuses(refused.size, found.length, answer.why);
    for (const entry of found) if (refused.has(entry.position)) this.#remember(entry, answer.why);
    const touched = new Set(settled.map(({ partition }) => partition));
    const isConflict = ({ position }: Found) => conflicting.has(position);
    await Promise.all([...touched].map((partition) => this.#settle(partition, settled, isConflict)));
    this.#metrics.refusedCheckpoints.set(this.refused);
    this.#open += answer.untried.length;
    return settled.length;
  }

  /** The next ones of a partition: a few more than its share. */
  async #gather(partition: number, share: number): Promise<Found[]> {
    const found = new Map<string, Found>();
    const walk = this.#walks.get(partition) ?? newWalk();
    const isFromStart = walk.cursor === null;
    this.#walks.set(partition, walk);
    try {
      for (let pages = 0; pages < MAX_PAGES && found.size < share; pages++) {
        const { cursor, place } = walk;
        const page = await this.#store.waitingCheckpoints(partition, { cursor, place, pageSize: PAGE_SIZE });
        walk.unreadable += page.unreadable;
        for (const entry of page.waiting) this.#take(found, walk, { ...entry, partition });
        await this.#forgetConflicts(partition, page.conflicts);
        walk.cursor = page.cursor;
        walk.place = page.place;
        if (page.cursor !== null) continue;
        this.#scanned(partition, walk);
        if (!isFromStart) this.#open++;
        return [...found.values()];
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#walks.delete(partition);
    }
    this.#open++;
    return [...found.values()];
  }

  #take(found: Map<string, Found>, walk: Walk, entry: WaitingCheckpoint & { partition: number }): void {
    const { field, driverId, checkpointId, body, partition } = entry;
    if (!isReadable(body)) {
      walk.unreadable++;
      return;
    }
    const refused = this.#refused.get(field);
    if (refused !== undefined) walk.stillRefused.add(field);
    if (refused !== undefined && performance.now() < refused.notBeforeMs) return;
    found.set(field, { field, partition, position: { ...decodeBody(driverId, body), checkpointId } });
  }

  /** To its end. Of the refused, those that wait no more were brought there by another flusher. */
  #scanned(partition: number, { stillRefused, unreadable }: Walk): void {
    this.#walks.delete(partition);
    for (const [field, refused] of this.#refused) {
      if (refused.partition === partition && !stillRefused.has(field)) this.#refused.delete(field);
    }
    this.#unreadable.set(partition, unreadable);
    if (unreadable === 0) return;
    const said = 'checkpoints that cannot be read are passed over';
    this.#paced.log(`${partition} ${said}`, (times) =>
      this.#log.error({ partition, checkpoints: unreadable, times }, said),
    );
  }

  /** Of the other partitions nothing waits, or they do not answer. */
  #forgetOthers(partitions: ReadonlySet<number>): void {
    for (const [field, { partition }] of this.#refused)
      if (!partitions.has(partition)) this.#refused.delete(field);
    for (const partition of this.#walks.keys()) if (!partitions.has(partition)) this.#walks.delete(partition);
  }

  async #settle(
    partition: number,
    settled: readonly Found[],
    isConflict: (entry: Found) => boolean,
  ): Promise<void> {
    const own = settled.filter((entry) => entry.partition === partition);
    const done = own.filter((entry) => !isConflict(entry)).map(({ field }) => field);
    const conflicts = own.filter(isConflict).map(({ field }) => field);
    for (const { field } of own) this.#refused.delete(field);
    try {
      if (done.length > 0) await this.#store.checkpointsDone(partition, done);
      this.#metrics.checkpointsPersisted.inc(done.length);
      if (conflicts.length > 0) await this.#store.checkpointsConflict(partition, conflicts);
      this.#metrics.checkpointsConflicting.inc(conflicts.length);
    } catch (error) {
      // They are in Postgres and still wait: the next round finds their rows there.
      if (!(error instanceof StoreError)) throw error;
    }
  }

  /** Ingest forgets a conflict when it has notified the driver; these drivers it could not notify. */
  async #forgetConflicts(partition: number, conflicts: readonly ConflictingCheckpoint[]): Promise<void> {
    const old = conflicts.filter(({ sinceMs }) => this.#store.nowMs() - sinceMs > KEEP_CONFLICT_MS);
    if (old.length === 0) return;
    const fields = old.map(({ field }) => field);
    await this.#store.checkpointsDone(partition, fields).catch((error) => {
      if (!(error instanceof StoreError)) throw error;
    });
  }

  #remember({ field, position, partition }: Found, why: Error | null): void {
    if (!this.#refused.has(field) && this.#refused.size >= MAX_REFUSED_KNOWN) this.#refused.clear();
    this.#refused.set(field, { partition, notBeforeMs: performance.now() + REFUSED_RETRY_MS });
    // The scan that is under way has come by it already.
    this.#walks.get(partition)?.stillRefused.add(field);
    const { driverId, seq } = position;
    const told = { driver_id: driverId, seq, partition, why: why?.message };
    const said = 'Postgres refuses a checkpoint: it waits, and is tried again';
    this.#paced.log('refused', (times) => this.#log.error({ ...told, times }, said));
  }
}
