// Brings waiting checkpoints to Postgres, alone: flushing a whole partition for each trip that ends would cost more
// than Postgres can take. They leave the cache after the commit, so a crash in between costs a second INSERT that
// finds its row there.

import type { LiveStore, WaitingCheckpoint } from '@whereabouts/infra/live-store/live-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { Logger } from '@whereabouts/infra/service/log';
import type { Archive } from './archive.js';
import type { FlushMetrics } from './flush-metrics.js';

/** Of all partitions in one round; the next round takes the rest. */
const ROUND_LIMIT = 5_000;
/** Of one partition in one round. */
const PARTITION_LIMIT = 512;
/** One that Postgres refuses stays in the cache (nothing drops a checkpoint) and is tried again this much later. */
const REFUSED_RETRY_MS = 60_000;
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

  /**
   * Of partitions where some wait. Rejects with ArchiveError. What a partition's node does not answer waits for the
   * next round.
   */
  async run(partitions: readonly number[]): Promise<void> {
    const found = await this.#gather(partitions);
    if (found.length === 0) return;
    const { refused } = await this.#archive.insertCheckpoints(found.map(({ position }) => position));
    const done = refused.length === 0 ? found : found.filter(({ position }) => !refused.includes(position));
    for (const entry of found) if (!done.includes(entry)) this.#remember(entry);
    this.#metrics.checkpointsRefused.inc(refused.length);
    const written = new Set(done.map(({ partition }) => partition));
    await Promise.all([...written].map((partition) => this.#done(partition, done)));
  }

  async #gather(partitions: readonly number[]): Promise<Found[]> {
    const limit = partitionLimit(partitions.length);
    const pages = await Promise.all(
      partitions.map(async (partition) => {
        const page = await this.#store.waitingCheckpoints(partition, limit).catch(nothingYet);
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
}

function nothingYet(error: unknown): WaitingCheckpoint[] {
  if (!(error instanceof StoreError)) throw error;
  return [];
}
