// What this process keeps of each driver, in one place, so that a report finds it once and whatever becomes of the report
// needs no looking up.

import type { Position } from '@whereabouts/infra/position';
import type { Report } from './pending.js';

export class Driver {
  /** The newest report, while it waits to be written. */
  waiting: Report | null = null;
  /** The newest that was acknowledged; null: none, or it was let go. */
  position: Position | null = null;
  partition = -1;
  /** Under the partition's standing reign. */
  revision = 0;
  /** Of the position; before there is one, when the driver was first heard of. */
  acknowledgedAtMs: number;

  constructor(nowMs: number) {
    this.acknowledgedAtMs = nowMs;
  }
}

/** A driver whose newest acknowledged position is known. */
export type KnownDriver = Driver & { position: Position };

export class Fleet {
  readonly #drivers = new Map<string, Driver>();

  get(driverId: string): Driver | undefined {
    return this.#drivers.get(driverId);
  }

  known(driverId: string): KnownDriver | undefined {
    const driver = this.#drivers.get(driverId);
    return driver && isKnown(driver) ? driver : undefined;
  }

  of(driverId: string, nowMs: number): Driver {
    const driver = this.#drivers.get(driverId);
    if (driver) return driver;
    const added = new Driver(nowMs);
    this.#drivers.set(driverId, added);
    return added;
  }

  forEach(use: (driver: Driver, driverId: string) => void): void {
    this.#drivers.forEach(use);
  }

  /** A report that is under way may still hold it. */
  letGo(driverId: string, driver: Driver): void {
    driver.position = null;
    this.#drivers.delete(driverId);
  }
}

export function isKnown(driver: Driver): driver is KnownDriver {
  return driver.position !== null;
}
