// Positions that Postgres refused: noted in the cache, kept there, tried again, until it has them or something newer.
//
//   commit refuses a few ──▶ note ──▶ the watermark moves on ──▶ every 15 s: tried again ──▶ taken: the note goes
//                                                                            overtaken: the note goes
//
// What always holds: a note goes before any watermark moves over its record, so none of them ever counts as persisted;
// and no sweep removes a noted driver. So they are bounded by the number of drivers in the cache; here are only their
// counts, and of one pass at most MAX_TRIED.

import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { EntryId } from '@whereabouts/infra/record';
import type { Logger } from '@whereabouts/infra/service/log';
import { PacedLog } from '@whereabouts/infra/service/paced-log';
import type { Archive } from './archive.js';
import type { FlushRow } from './flush-batch.js';
import type { FlushMetrics } from './flush-metrics.js';
import { notedRecords } from './noted-records.js';
import { shuffled } from './shuffled.js';

const TRIED_EVERY_MS = 15_000;
export const MAX_TRIED = 1_000;
const TOLD_EVERY_MS = 60_000;
const TOLD_IDS = 5;

interface Standing {
  count: number;
  notBeforeMs: number;
}

interface Note {
  driverId: string;
  id: EntryId;
}

export class RefusedPositions {
  readonly #store: LogStore;
  readonly #log: Logger;
  readonly #paced = new PacedLog(TOLD_EVERY_MS);
  readonly #metrics: FlushMetrics;
  /** By partition, as a look, a pass or a note told them last. */
  readonly #standing = new Map<number, Standing>();

  constructor(o: { store: LogStore; log: Logger; metrics: FlushMetrics }) {
    this.#store = o.store;
    this.#log = o.log;
    this.#metrics = o.metrics;
  }

  get count(): number {
    let count = 0;
    for (const standing of this.#standing.values()) count += standing.count;
    return count;
  }

  /** The next passes find all of them due. */
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

  /** So many notes there are. Those that this process has not seen before are due at once. */
  found(partition: number, count: number): void {
    const notBeforeMs = this.#standing.get(partition)?.notBeforeMs ?? 0;
    this.#stand(partition, { count, notBeforeMs });
  }

  /**
   * Of the notes of a partition that are due, the records that are to be tried; of more than one pass tries, each comes
   * along as likely as any other. Notes whose record is no more go. Rejects with StoreError.
   */
  async takeDue(partition: number, notes: ReadonlyMap<string, EntryId>, room: number): Promise<FlushRow[]> {
    const wanted = new Map(shuffled([...notes]).slice(0, room));
    const { rows, gone } = await notedRecords(this.#store, partition, wanted);
    if (gone.length > 0) await this.#note(partition, gone, false);
    const count = this.#standing.get(partition)?.count ?? 0;
    this.#stand(partition, { count, notBeforeMs: performance.now() + TRIED_EVERY_MS });
    return rows;
  }

  /** Returns the reason for each partition where notes could not be made. */
  async note(refused: readonly FlushRow[], why: Error | null): Promise<[number, StoreError][]> {
    this.#metrics.rowsRefused.inc(refused.length);
    const first = refused
      .slice(0, TOLD_IDS)
      .map(({ partition, position }) => ({ partition, driver_id: position.driverId }));
    const said = 'Postgres refuses positions: they stay in the cache alone, and are tried again';
    const told = { refused: refused.length, first, why: why?.message };
    this.#paced.log(said, (times) => this.#log.error({ ...told, times }, said));
    for (const partition of new Set(refused.map((row) => row.partition))) {
      if (!this.stand(partition))
        this.#stand(partition, { count: 1, notBeforeMs: performance.now() + TRIED_EVERY_MS });
    }
    return this.#each(
      refused.map(({ partition, position: { driverId }, id }) => ({ partition, driverId, id })),
      true,
    );
  }

  /** Takes back what was noted of these drivers: Postgres has their newest. A note that stays is found again. */
  async taken(rows: readonly FlushRow[]): Promise<void> {
    const notes = rows.flatMap(({ partition, position: { driverId }, noted }) =>
      noted === null ? [] : [{ partition, driverId, id: noted }],
    );
    if (notes.length > 0) await this.#each(notes, false);
  }

  /** Rejects with ArchiveError. */
  async tryAgain(archive: Archive, rows: readonly FlushRow[]): Promise<void> {
    // A driver who crossed a border leaves a note behind, and Postgres has a newer row by now.
    const held = await archive.held(rows.map(({ position }) => position));
    const isHeld = ({ position }: FlushRow) => held.has(position.driverId);
    // In another order each time: after some that are refused again, the others wait.
    const taken = await archive.commitRefused(shuffled(rows.filter((row) => !isHeld(row))));
    this.#metrics.refusedTaken.inc(taken.length);
    await this.taken([...taken, ...rows.filter(isHeld)]);
  }

  async #each(
    notes: readonly (Note & { partition: number })[],
    isRefused: boolean,
  ): Promise<[number, StoreError][]> {
    const groups = new Map<number, Note[]>();
    for (const { partition, ...note } of notes) {
      const group = groups.get(partition);
      if (group === undefined) groups.set(partition, [note]);
      else group.push(note);
    }
    const failures: [number, StoreError][] = [];
    for (const [partition, group] of groups) {
      await this.#note(partition, group, isRefused).catch((error) => {
        if (!(error instanceof StoreError)) throw error;
        failures.push([partition, error]);
      });
    }
    return failures;
  }

  async #note(partition: number, notes: readonly Note[], isRefused: boolean): Promise<void> {
    this.found(partition, await this.#store.refuse(partition, notes, isRefused));
  }

  #stand(partition: number, standing: Standing): void {
    if (standing.count === 0) this.#standing.delete(partition);
    else this.#standing.set(partition, standing);
    this.#metrics.refusedPositions.set(this.count);
  }
}
