// Reports that wait to be written: for each driver the newest, and every checkpoint.
//
// A newer report replaces an older one of its driver, wherever on the map either is, so what waits is bounded by the
// number of drivers (and ten checkpoints each, which the edge holds). What was replaced shares the fate of what
// replaced it, so its sequence numbers are carried along.

import { isNewer, type Position } from '@whereabouts/infra/position';
import type { Origin } from './origin.js';

export interface Report {
  readonly position: Position;
  readonly origin: Origin | null;
  readonly partition: number;
  /** Monotonic. */
  readonly sinceMs: number;
  /** Told that its region is dark; it is held all the same. */
  nacked: boolean;
  /** Of the same connection, neither acknowledged nor refused. */
  replaced: Position[];
}

/** At 5 reports a second one is held for a second before it is nacked, with a burst of 10 and a batch of 100. */
const MAX_REPLACED = 128;

export class Pending {
  readonly #newest = new Map<string, Report>();
  readonly #partitions = new Map<number, Map<string, Report>>();
  readonly #checkpoints = new Map<number, Report[]>();
  #waitingCheckpoints = 0;

  get size(): number {
    return this.#newest.size + this.#waitingCheckpoints;
  }

  newestOf(driverId: string): Position | null {
    return this.#newest.get(driverId)?.position ?? null;
  }

  /** The partitions that something waits for. */
  partitions(): Set<number> {
    return new Set([...this.#partitions.keys(), ...this.#checkpoints.keys()]);
  }

  of(partition: number): Iterable<Report> {
    return [
      ...(this.#checkpoints.get(partition) ?? []),
      ...(this.#partitions.get(partition)?.values() ?? []),
    ];
  }

  /** Returns false where a newer one of the driver, or this very checkpoint, waits already. */
  put(report: Report): boolean {
    const { position, partition } = report;
    if (position.checkpoint) {
      const waiting = this.#checkpoints.get(partition) ?? [];
      if (waiting.some((one) => isSame(one.position, position))) return false;
      waiting.push(report);
      this.#checkpoints.set(partition, waiting);
      this.#waitingCheckpoints++;
      return true;
    }
    const older = this.#newest.get(position.driverId);
    if (older) {
      if (!isNewer(position, older.position)) return false;
      replace(report, older);
      if (older.partition !== partition) this.#remove(older);
    }
    this.#newest.set(position.driverId, report);
    const reports = this.#partitions.get(partition);
    if (reports) reports.set(position.driverId, report);
    else this.#partitions.set(partition, new Map([[position.driverId, report]]));
    return true;
  }

  /**
   * What came back unwritten waits again, unless the driver has reported since. Returns false where this very
   * checkpoint was sent again meanwhile and waits already.
   */
  putBack(report: Report): boolean {
    const newer = this.#newest.get(report.position.driverId);
    if (report.position.checkpoint || !newer || isNewer(report.position, newer.position))
      return this.put(report);
    replace(newer, report);
    return true;
  }

  /** Takes at most `max`: checkpoints first, then who has waited longest. */
  take(partition: number, max: number): Report[] {
    const checkpoints = this.#checkpoints.get(partition) ?? [];
    const taken = checkpoints.splice(0, max);
    this.#waitingCheckpoints -= taken.length;
    if (checkpoints.length === 0) this.#checkpoints.delete(partition);
    const reports = this.#partitions.get(partition);
    if (!reports) return taken;
    for (const report of reports.values()) {
      if (taken.length >= max) break;
      taken.push(report);
      this.#remove(report);
    }
    return taken;
  }

  #remove(report: Report): void {
    const { driverId } = report.position;
    this.#newest.delete(driverId);
    const reports = this.#partitions.get(report.partition);
    reports?.delete(driverId);
    if (reports?.size === 0) this.#partitions.delete(report.partition);
  }
}

function isSame(a: Position, b: Position): boolean {
  return a.driverId === b.driverId && a.session === b.session && a.seq === b.seq;
}

function replace(newer: Report, older: Report): void {
  // Another connection of the driver is closed as superseded, which tells it all.
  if (older.origin !== newer.origin || older.origin === null) return;
  const replaced = older.nacked ? older.replaced : [...older.replaced, older.position];
  newer.replaced = [...replaced, ...newer.replaced].slice(-MAX_REPLACED);
}
