// Brings waiting checkpoints to Postgres, alone: flushing a whole partition for each trip that ends would cost more
// than Postgres can take. They leave the cache after the commit, so a crash in between costs a second INSERT that
// finds its row there.

import type { LiveStore, WaitingCheckpoint } from '@whereabouts/infra/live-store/live-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import { PositionError } from '@whereabouts/infra/position';
import type { Logger } from '@whereabouts/infra/service/log';
import type { Archive } from './archive.js';
import { archiveRefuses } from './archive-error.js';
import type { FlushMetrics } from './flush-metrics.js';

/** Of all partitions in one round; the next round takes the rest. */
const ROUND_LIMIT = 5_000;
/** Of one partition in one round. */
const PARTITION_LIMIT = 512;
/** One that Postgres refuses stays in the cache (nothing drops a checkpoint) and is tried again this much later. */
const REFUSED_RETRY_MS = 15_000;
const MAX_REFUSED_KNOWN = 10_000;

/** Each has its share of the round: where some went first, the others' checkpoints would wait as long as those come. */
export const partitionLimit = (partitions: number): number =>
  Math.max(1, Math.min(PARTITION_LIMIT, Math.floor(ROUND_LIMIT / partitions)));

interface Found extends WaitingCheckpoint {
  partition: number;
}

export class CheckpointWriter {
  readonly #store: LiveStore;
  readonly #archive: Archive;
  readonly #log: Logger;
  readonly #metrics: FlushMetrics;
  /** Field -> when it may be tried again. */
  readonly #refusedUntilMs = new Map<string, number>();

  constructor(o: { store: LiveStore; archive: Archive; log: Logger; metrics: FlushMetrics }) {
    this.#store = o.store;
    this.#archive = o.archive;
    this.#log = o.log;
    this.#metrics = o.metrics;
  }

  /** How many are known to be refused, and wait. */
  get refused(): number {
    return this.#refusedUntilMs.size;
  }

  /** The next round finds all of them due. */
  tryAllAgain(): void {
    for (const field of this.#refusedUntilMs.keys()) this.#refusedUntilMs.set(field, 0);
  }

  /**
   * Of partitions where some wait. Returns how many it brought there. Rejects with ArchiveError, also where none was
   * taken: nothing shows then that it is the checkpoints that are wrong, and not their table. What a partition's node
   * does not answer waits for the next round.
   */
  async run(partitions: readonly number[]): Promise<number> {
    const found = await this.#gather(partitions);
    if (found.length === 0) return 0;
    const answer = await this.#archive.insertCheckpoints(found.map(({ position }) => position));
    const [refused, untried] = [new Set(answer.refused), new Set(answer.untried)];
    this.#metrics.checkpointsRefused.inc(refused.size);
    const done = found.filter(({ position }) => !refused.has(position) && !untried.has(position));
    const isNews = found.some(({ field }) => !this.#refusedUntilMs.has(field));
    if (done.length === 0 && isNews) throw archiveRefuses(refused.size, found.length, answer.why);
    for (const entry of found) if (refused.has(entry.position)) this.#remember(entry);
    const written = new Set(done.map(({ partition }) => partition));
    await Promise.all([...written].map((partition) => this.#done(partition, done)));
    this.#metrics.refusedCheckpoints.set(this.refused);
    return done.length;
  }

  async #gather(partitions: readonly number[]): Promise<Found[]> {
    const limit = partitionLimit(partitions.length);
    const pages = await Promise.all(
      partitions.map(async (partition) => {
        const page = await this.#store
          .waitingCheckpoints(partition, limit)
          .catch((error) => this.#nothingYet(error, partition));
        return page.map((entry) => ({ ...entry, partition }));
      }),
    );
    const nowMs = performance.now();
    return pages.flat().filter(({ field }) => (this.#refusedUntilMs.get(field) ?? 0) <= nowMs);
  }

  async #done(partition: number, entries: readonly Found[]): Promise<void> {
    const fields = entries.filter((entry) => entry.partition === partition).map(({ field }) => field);
    for (const field of fields) this.#refusedUntilMs.delete(field);
    try {
      await this.#store.checkpointsDone(partition, fields);
      this.#metrics.checkpointsPersisted.inc(fields.length);
    } catch (error) {
      // They are in Postgres and still wait: the next round finds their rows there.
      if (!(error instanceof StoreError)) throw error;
    }
  }

  #remember({ field, position, partition }: Found): void {
    const isNew = !this.#refusedUntilMs.has(field);
    if (isNew && this.#refusedUntilMs.size >= MAX_REFUSED_KNOWN) this.#refusedUntilMs.clear();
    this.#refusedUntilMs.set(field, performance.now() + REFUSED_RETRY_MS);
    const { driverId, seq } = position;
    if (isNew)
      this.#log.error({ driver_id: driverId, seq, partition }, 'Postgres refuses a checkpoint: it waits');
  }

  #nothingYet(error: unknown, partition: number): WaitingCheckpoint[] {
    // A record of another version's format is that one's to write.
    if (error instanceof PositionError)
      this.#log.error({ err: error, partition }, 'a checkpoint cannot be read');
    else if (!(error instanceof StoreError)) throw error;
    return [];
  }
}
