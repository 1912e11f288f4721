// Brings waiting checkpoints to Postgres, alone: flushing a whole partition for each trip that ends would cost more
// than Postgres can take. They leave the cache after the commit, so a crash in between costs a second INSERT that
// finds its row there.

import type {
  ConflictingCheckpoint,
  LiveStore,
  WaitingCheckpoint,
} from '@whereabouts/infra/live-store/live-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { Logger } from '@whereabouts/infra/service/log';
import { PacedLog } from '@whereabouts/infra/service/paced-log';
import type { Archive } from './archive.js';
import { archiveRefuses } from './archive-error.js';
import type { FlushMetrics } from './flush-metrics.js';

/** Of all partitions in one round, besides those that were refused before; the next round takes the rest. */
const ROUND_LIMIT = 5_000;
/** Of one partition in one round. */
const PARTITION_LIMIT = 512;
/** One that Postgres refuses stays in the cache (nothing drops a checkpoint); all of them are tried again this often. */
const REFUSED_RETRY_MS = 15_000;
const MAX_REFUSED_KNOWN = 10_000;
/** After this long, ingest has told the driver about the conflict, or never will. */
const KEEP_CONFLICT_MS = 60_000;
const TOLD_EVERY_MS = 60_000;

/** Every partition gets an equal share of a round. Otherwise a busy partition could keep the others waiting for ever. */
export const partitionLimit = (partitions: number): number =>
  Math.max(1, Math.min(PARTITION_LIMIT, Math.floor(ROUND_LIMIT / partitions)));

interface Found extends WaitingCheckpoint {
  partition: number;
}

export class CheckpointWriter {
  readonly #store: LiveStore;
  readonly #archive: Archive;
  readonly #log: Logger;
  readonly #paced = new PacedLog(TOLD_EVERY_MS);
  readonly #metrics: FlushMetrics;
  /** Fields of those that Postgres refuses, with their partition. */
  readonly #refused = new Map<string, number>();
  #retryAtMs = 0;
  #open = 0;

  constructor(o: { store: LiveStore; archive: Archive; log: Logger; metrics: FlushMetrics }) {
    this.#store = o.store;
    this.#archive = o.archive;
    this.#log = o.log;
    this.#metrics = o.metrics;
  }

  /** How many are known to be refused, and wait. */
  get refused(): number {
    return this.#refused.size;
  }

  /** Of the last round: what was not tried, and partitions that did not answer. Not what Postgres refuses. */
  get open(): number {
    return this.#open;
  }

  /** In the next round. */
  tryAllAgain(): void {
    this.#retryAtMs = 0;
  }

  /**
   * Of all partitions where some wait. Returns how many it brought there. Rejects with ArchiveError, also where none was
   * taken: nothing shows then that it is the checkpoints that are wrong, and not their table. What a partition's node
   * does not answer waits for the next round.
   */
  async run(partitions: readonly number[]): Promise<number> {
    const found = await this.#gather(partitions);
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

  async #gather(partitions: readonly number[]): Promise<Found[]> {
    const share = partitionLimit(partitions.length);
    const standing = new Map<number, number>();
    for (const partition of this.#refused.values())
      standing.set(partition, (standing.get(partition) ?? 0) + 1);
    // Refused checkpoints are read on top of the share. If they counted, they could fill it and starve the others.
    const limit = (partition: number) => share + (standing.get(partition) ?? 0);
    this.#open = 0;
    const pages = await Promise.all(
      partitions.map(async (partition) => {
        const { waiting, conflicts } = await this.#store
          .waitingCheckpoints(partition, limit(partition))
          .catch((error) => {
            this.#open++;
            return nothingYet(error);
          });
        await this.#forgetConflicts(partition, conflicts);
        return waiting.map((entry) => ({ ...entry, partition }));
      }),
    );
    const hidden = partitions.filter((partition, i) => (pages[i]?.length ?? 0) >= limit(partition));
    const found = pages.flat();
    this.#forgetDone(new Set(found.map(({ field }) => field)), new Set(hidden));
    const nowMs = performance.now();
    if (nowMs < this.#retryAtMs) return found.filter(({ field }) => !this.#refused.has(field));
    this.#retryAtMs = nowMs + REFUSED_RETRY_MS;
    return found;
  }

  /** Of the refused, those that wait no more: another flusher has brought them. */
  #forgetDone(waiting: ReadonlySet<string>, hidden: ReadonlySet<number>): void {
    for (const [field, partition] of this.#refused) {
      if (!waiting.has(field) && !hidden.has(partition)) this.#refused.delete(field);
    }
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

  /** Ingest forgets them when it has told their drivers; these it could not tell. */
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
    if (this.#refused.size === 0) this.#retryAtMs = performance.now() + REFUSED_RETRY_MS;
    this.#refused.set(field, partition);
    const { driverId, seq } = position;
    const told = { driver_id: driverId, seq, partition, why: why?.message };
    const said = 'Postgres refuses a checkpoint: it waits, and is tried again';
    this.#paced.log('refused', (times) => this.#log.error({ ...told, times }, said));
  }
}

function nothingYet(error: unknown): { waiting: []; conflicts: [] } {
  if (!(error instanceof StoreError)) throw error;
  return { waiting: [], conflicts: [] };
}
