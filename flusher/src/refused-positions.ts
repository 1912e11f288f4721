// Positions that Postgres refused: marked in the cache, kept there, tried again, until it has them or something newer.
//
//   commit refuses a few ──▶ mark ──▶ the watermark moves on ──▶ each scan finds the mark ──▶ due: tried again ──▶ unmark
//
// What always holds: a mark goes before any watermark moves over its record, so none of them ever counts as persisted;
// and nothing deletes a marked record but its driver's next report. So they are bounded by the number of drivers in the
// cache; here are only their counts, and of one pass at most MAX_TRIED.

import type { LiveStore } from '@whereabouts/infra/live-store/live-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { StoredPosition } from '@whereabouts/infra/position';
import type { Logger } from '@whereabouts/infra/service/log';
import { PacedLog } from '@whereabouts/infra/service/paced-log';
import type { Archive } from './archive.js';
import type { ArchiveRow } from './archive-row.js';
import type { FlushMetrics } from './flush-metrics.js';
import { shuffled } from './shuffled.js';

const TRIED_EVERY_MS = 15_000;
export const MAX_TRIED = 1_000;
const TOLD_EVERY_MS = 60_000;
const TOLD_IDS = 5;

interface Standing {
  count: number;
  notBeforeMs: number;
}

export class RefusedPositions {
  readonly #store: LiveStore;
  readonly #log: Logger;
  readonly #paced = new PacedLog(TOLD_EVERY_MS);
  readonly #metrics: FlushMetrics;
  /** By partition, as its last scan found them. */
  readonly #standing = new Map<number, Standing>();

  constructor(o: { store: LiveStore; log: Logger; metrics: FlushMetrics }) {
    this.#store = o.store;
    this.#log = o.log;
    this.#metrics = o.metrics;
  }

  get count(): number {
    let count = 0;
    for (const standing of this.#standing.values()) count += standing.count;
    return count;
  }

  /** The next scans find all of them due. */
  tryAllAgain(): void {
    for (const standing of this.#standing.values()) standing.notBeforeMs = 0;
  }

  /** Whether any do in this partition. */
  stand(partition: number): boolean {
    return this.#standing.has(partition);
  }

  isDue(partition: number): boolean {
    return (this.#standing.get(partition)?.notBeforeMs ?? 0) <= performance.now();
  }

  /** Of more than one pass tries, each comes along as likely as any other. */
  comesAlong(partition: number): boolean {
    return Math.random() * (this.#standing.get(partition)?.count ?? 0) < MAX_TRIED;
  }

  /** What a scan has found; `isTried`: some of them are to be tried by the pass. */
  found(partition: number, count: number, isTried: boolean): void {
    const notBeforeMs = this.#standing.get(partition)?.notBeforeMs ?? 0;
    if (count === 0) this.#standing.delete(partition);
    else {
      const nextMs = isTried ? performance.now() + TRIED_EVERY_MS : notBeforeMs;
      this.#standing.set(partition, { count, notBeforeMs: nextMs });
    }
    this.#metrics.refusedPositions.set(this.count);
  }

  /** Returns for each row whose mark could not be set: its partition, and why. */
  async mark(refused: readonly ArchiveRow[], why: Error | null): Promise<[number, StoreError][]> {
    this.#metrics.rowsRefused.inc(refused.length);
    const first = refused
      .slice(0, TOLD_IDS)
      .map(({ partition, position }) => ({ partition, driver_id: position.driverId }));
    const said = 'Postgres refuses positions: they stay in the cache alone, and are tried again';
    const told = { refused: refused.length, first, why: why?.message };
    this.#paced.log(said, (times) => this.#log.error({ ...told, times }, said));
    for (const [partition, rows] of byPartition(refused)) {
      const nowMs = performance.now();
      const known = this.#standing.get(partition) ?? { count: 0, notBeforeMs: nowMs + TRIED_EVERY_MS };
      this.#standing.set(partition, { ...known, count: known.count + rows.length });
    }
    this.#metrics.refusedPositions.set(this.count);
    return this.#set(refused, true);
  }

  /** Takes the marks back: Postgres has them. One that stays by an outage is found again by the next scan. */
  async unmark(taken: readonly ArchiveRow[]): Promise<void> {
    const marked = taken.filter(({ position }) => position.quarantined);
    if (marked.length > 0) await this.#set(marked, false);
  }

  /** Rejects with ArchiveError. */
  async tryAgain(archive: Archive, rows: readonly ArchiveRow[]): Promise<void> {
    // In another order each time: after some that are refused again, the others wait.
    const taken = await archive.commitRefused(shuffled(rows));
    this.#metrics.refusedTaken.inc(taken.length);
    await this.unmark(taken);
    for (const [partition, { length }] of byPartition(taken)) {
      const standing = this.#standing.get(partition);
      if (standing) standing.count = Math.max(0, standing.count - length);
    }
    this.#metrics.refusedPositions.set(this.count);
  }

  async #set(rows: readonly ArchiveRow[], isRefused: boolean): Promise<[number, StoreError][]> {
    const failures: [number, StoreError][] = [];
    for (const [partition, positions] of byPartition(rows)) {
      await this.#store.quarantine(partition, positions, isRefused).catch((error) => {
        if (!(error instanceof StoreError)) throw error;
        failures.push([partition, error]);
      });
    }
    return failures;
  }
}

function byPartition(rows: readonly ArchiveRow[]): Map<number, StoredPosition[]> {
  const groups = new Map<number, StoredPosition[]>();
  for (const { partition, position } of rows) {
    const group = groups.get(partition);
    if (group === undefined) groups.set(partition, [position]);
    else group.push(position);
  }
  return groups;
}
