// Drivers who crossed a border: recorded in the new partition first, then to be forgotten in the old one.
//
// Not at once: a query may have asked the new partition before the driver came and ask the old one only now. It must
// still find the driver there, so a ghost stays for longer than a query may take: marked at once as one that has
// moved, so that a query which meets it looks for the newest record, and forgotten later.
// If the old partition is dark the forget waits: one for each driver and partition, until the ghost has grown stale
// by itself. Done ones are kept as long, to be done again under a reign that lost them.

import type { Position } from '@whereabouts/infra/position';

export type Forget = Pick<Position, 'driverId' | 'session' | 'recordedAtMs'>;

interface Entry extends Forget {
  /** The partition where the driver is now. */
  to: number;
  dueAtMs: number;
  endsAtMs: number;
  marked: boolean;
  done: boolean;
}

/** Longer than a query may take (its deadline is 500 ms). */
const FORGET_DELAY_MS = 1000;
const MAX_MARKS = 512;

export class Forgets {
  readonly #partitions = new Map<number, Map<string, Entry>>();
  readonly #keepMs: number;

  /** `freshnessMs`: older records leave the answers without our help. */
  constructor(freshnessMs: number) {
    this.#keepMs = FORGET_DELAY_MS + freshnessMs;
  }

  /** Ghosts that may still be in answers of a partition that nobody else cleans. */
  get waiting(): number {
    let count = 0;
    for (const entries of this.#partitions.values())
      for (const entry of entries.values()) if (!entry.done) count++;
    return count;
  }

  /** Whatever stands in `partition` of this driver and is not newer than this position, which is in `to`, is a ghost. */
  add(partition: number, newer: Position, to: number, nowMs: number): void {
    const { driverId, session, recordedAtMs } = newer;
    const dueAtMs = nowMs + FORGET_DELAY_MS;
    const entry: Entry = {
      to,
      driverId,
      session,
      recordedAtMs,
      dueAtMs,
      endsAtMs: nowMs + this.#keepMs,
      marked: false,
      done: false,
    };
    const entries = this.#partitions.get(partition);
    if (entries) entries.set(driverId, entry);
    else this.#partitions.set(partition, new Map([[driverId, entry]]));
  }

  partitions(): Iterable<number> {
    return this.#partitions.keys();
  }

  /** Those to be marked as moved, by where they are now. */
  unmarked(partition: number): Map<number, Forget[]> {
    const byDestination = new Map<number, Forget[]>();
    for (const entry of this.#select(partition, MAX_MARKS, (one) => !one.marked && !one.done)) {
      const forgets = byDestination.get(entry.to);
      if (forgets) forgets.push(entry);
      else byDestination.set(entry.to, [entry]);
    }
    return byDestination;
  }

  marked(forgets: readonly Forget[]): void {
    for (const entry of forgets as readonly Entry[]) entry.marked = true;
  }

  due(partition: number, nowMs: number, max: number): Forget[] {
    return this.#select(partition, max, (entry) => !entry.done && entry.dueAtMs <= nowMs);
  }

  done(forgets: readonly Forget[]): void {
    for (const entry of forgets as readonly Entry[]) entry.done = true;
  }

  /** A new reign may lack what was done: it is done again. */
  redo(partition: number): void {
    for (const entry of this.#partitions.get(partition)?.values() ?? []) {
      entry.marked = false;
      entry.done = false;
    }
  }

  #select(partition: number, max: number, fits: (entry: Entry) => boolean): Entry[] {
    const selected: Entry[] = [];
    for (const entry of this.#partitions.get(partition)?.values() ?? []) {
      if (selected.length >= max) break;
      if (fits(entry)) selected.push(entry);
    }
    return selected;
  }

  dropOld(nowMs: number): void {
    for (const [partition, entries] of this.#partitions) {
      for (const [driverId, entry] of entries) if (entry.endsAtMs <= nowMs) entries.delete(driverId);
      if (entries.size === 0) this.#partitions.delete(partition);
    }
  }
}
