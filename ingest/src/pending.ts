// Reports that wait to be written: for each driver the newest, and every checkpoint.
//
// A newer report replaces an older one of its driver, wherever on the map either is, so what waits is bounded by the
// number of drivers (and ten checkpoints each, which the edge holds). What was replaced shares the fate of what
// replaced it, so its sequence numbers are carried along.

import { isNewer, type Position } from '@whereabouts/infra/position';
import type { Driver, Fleet } from './fleet.js';
import type { Origin } from './origin.js';

export interface Report {
  driver: Driver;
  position: Position;
  origin: Origin | null;
  readonly partition: number;
  /** Monotonic. */
  sinceMs: number;
  /** Told that its region is dark; it is held all the same. */
  nacked: boolean;
  /** Of the same connection, neither acknowledged nor refused. */
  replaced: readonly Position[];
}

/** At 5 reports a second one is held for a second before it is nacked, with a burst of 10 and a batch of 100. */
const MAX_REPLACED = 128;
export const NOTHING_REPLACED: readonly Position[] = Object.freeze([]);

export class Pending {
  readonly #fleet: Fleet;
  /** By partition; each driver's waiting report stands in one of them. */
  readonly #queues = new Map<number, Report[]>();
  readonly #checkpoints = new Map<number, Report[]>();
  #size = 0;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  /** Reports that wait, checkpoints too. */
  get size(): number {
    return this.#size;
  }

  /** The partitions that something waits for. */
  partitions(): Set<number> {
    return new Set([...this.#queues.keys(), ...this.#checkpoints.keys()]);
  }

  of(partition: number): Report[] {
    return [...(this.#checkpoints.get(partition) ?? []), ...(this.#queues.get(partition) ?? [])];
  }

  /** Returns false where a newer one of the driver, or this very checkpoint, waits already. */
  put(report: Report): boolean {
    const { position, partition, driver } = report;
    if (position.checkpoint) return this.#putCheckpoint(report);
    const older = driver.waiting;
    if (older !== null) {
      if (!isNewer(position, older.position)) return false;
      replace(report, older);
      if (older.partition === partition) {
        takePlace(report, older);
        return true;
      }
      this.#remove(older);
    }
    driver.waiting = report;
    this.#size++;
    const queue = this.#queues.get(partition);
    if (queue) queue.push(report);
    else this.#queues.set(partition, [report]);
    return true;
  }

  /**
   * What came back unwritten waits again, unless the driver has reported since. Returns false where this very
   * checkpoint was sent again meanwhile and waits already.
   */
  putBack(report: Report): boolean {
    // It may have been let go in the meantime.
    report.driver = this.#fleet.of(report.position.driverId, report.sinceMs);
    const newer = report.driver.waiting;
    if (report.position.checkpoint || newer === null || isNewer(report.position, newer.position))
      return this.put(report);
    replace(newer, report);
    return true;
  }

  /** Takes at most `max`: checkpoints first, then who has waited longest. */
  take(partition: number, max: number): Report[] {
    const checkpoints = takeFirst(this.#checkpoints, partition, max);
    const reports = takeFirst(this.#queues, partition, max - checkpoints.length);
    for (const report of reports) report.driver.waiting = null;
    this.#size -= checkpoints.length + reports.length;
    return checkpoints.length === 0 ? reports : [...checkpoints, ...reports];
  }

  #putCheckpoint(report: Report): boolean {
    const { position, partition } = report;
    const waiting = this.#checkpoints.get(partition) ?? [];
    if (waiting.some((one) => isSame(one.position, position))) return false;
    waiting.push(report);
    this.#checkpoints.set(partition, waiting);
    this.#size++;
    return true;
  }

  #remove(report: Report): void {
    const queue = this.#queues.get(report.partition) ?? [];
    queue.splice(queue.indexOf(report), 1);
    if (queue.length === 0) this.#queues.delete(report.partition);
    this.#size--;
  }
}

function takeFirst(queues: Map<number, Report[]>, partition: number, max: number): Report[] {
  const queue = queues.get(partition) ?? [];
  if (queue.length > max) return queue.splice(0, max);
  queues.delete(partition);
  return queue;
}

function isSame(a: Position, b: Position): boolean {
  return a.driverId === b.driverId && a.session === b.session && a.seq === b.seq;
}

/** In the queue, where it waits for no longer than the first of them did. */
function takePlace(newer: Report, held: Report): void {
  held.position = newer.position;
  held.origin = newer.origin;
  held.sinceMs = newer.sinceMs;
  held.nacked = newer.nacked;
  held.replaced = newer.replaced;
}

function replace(newer: Report, older: Report): void {
  // Another connection of the driver is closed as superseded, which tells it all.
  if (older.origin !== newer.origin || older.origin === null) return;
  const replaced = older.nacked ? older.replaced : [...older.replaced, older.position];
  newer.replaced = [...replaced, ...newer.replaced].slice(-MAX_REPLACED);
}
