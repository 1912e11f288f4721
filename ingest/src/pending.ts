// Reports that wait to be written: for each driver the newest, and every checkpoint.
//
// A newer report replaces an older one of its driver, wherever on the map either is, so what waits is bounded by the
// number of drivers (and ten checkpoints each, which the edge holds). What was replaced is settled with what replaced
// it, and has waited since then.

import { isNewer, type Position } from '@whereabouts/infra/position';
import type { Driver, Fleet } from './fleet.js';
import type { Origin } from './origin.js';

export interface Report {
  driver: Driver;
  position: Position;
  origin: Origin | null;
  readonly partition: number;
  /** Monotonic: since when its connection waits for an answer to this one, or to one that it replaced. */
  sinceMs: number;
  /** Told that its region is dark; it is held all the same. */
  nacked: boolean;
}

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
        takePlace(older, report);
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
   * What came back unwritten waits again, unless the driver has reported since: then it is settled with that. Returns
   * false where this very checkpoint was sent again meanwhile and waits already.
   */
  putBack(report: Report): boolean {
    const { position } = report;
    // It may have been let go in the meantime.
    report.driver = this.#fleet.of(position.driverId, report.sinceMs);
    if (position.checkpoint) return this.put(report);
    const { waiting, position: acknowledged } = report.driver;
    if (acknowledged !== null && isNewer(acknowledged, position)) return true;
    if (waiting === null || isNewer(position, waiting.position)) return this.put(report);
    replace(waiting, report);
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
    const same = waiting.find((one) => isSame(one.position, position));
    if (same !== undefined) {
      // Whoever sent it last waits for the answer.
      const isOlder = isNewer(same.position, position);
      if (isNewer(position, same.position) || (same.nacked && !isOlder)) takePlace(same, report);
      return false;
    }
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

/** One that comes at another place or time under the same id is for the store to refuse. */
function isSame(a: Position, b: Position): boolean {
  return (
    a.driverId === b.driverId &&
    a.checkpointId === b.checkpointId &&
    a.recordedAtMs === b.recordedAtMs &&
    a.latE7 === b.latE7 &&
    a.lonE7 === b.lonE7
  );
}

/** In the queue, where it waits for no longer than the first of them did. */
function takePlace(held: Report, newer: Report): void {
  held.position = newer.position;
  held.origin = newer.origin;
  held.sinceMs = newer.sinceMs;
  held.nacked = newer.nacked;
}

function replace(newer: Report, older: Report): void {
  // Another connection of the driver is closed as superseded, and what was nacked has its answer.
  if (older.origin === newer.origin && !older.nacked) newer.sinceMs = Math.min(newer.sinceMs, older.sinceMs);
}
