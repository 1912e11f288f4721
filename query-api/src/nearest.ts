// The search for the nearest drivers in the index, with its filters. It is exact: distances are `distanceM` on the
// stored coordinates, sorted, ties by id, as a sort of all drivers would give.

import { distanceM, fromE7, STATUSES } from '@whereabouts/infra/position';
import { haversineOf, type Visitor } from './adaptive-grid.js';
import type { DriverIndex } from './driver-index.js';
import { MAX_LIMIT } from './parameter-schemas.js';

const EARTH_RADIUS_M = distanceM(0, 0, 0, 180) / Math.PI;
/** The grid's comparison rounds differently from the distance; ties must not be cut off. */
const SLACK = 1 + 1e-9;
const SLACK_M = 1e-6;

export interface Question {
  lat: number;
  lon: number;
  radiusM: number;
  limit: number;
  maxAgeMs: number;
  status: 'available' | 'busy';
  services: number;
  exclude: readonly string[];
}

/** One instance serves all questions: it holds the results of the last one. */
export class NearestSearch implements Visitor {
  limit = 0;
  mask = 0;
  /** Number found so far, nearest first. */
  count = 0;
  readonly slots = new Int32Array(MAX_LIMIT + 1);
  readonly distancesM = new Float64Array(MAX_LIMIT + 1);
  /** Points and cells that the last search looked at. */
  looked = 0;
  readonly #index: DriverIndex;
  #lat = 0;
  #lon = 0;
  #reachM = 0;
  #wanted = 0;
  #notBeforeMs = 0;
  readonly #excluded = new Set<number>();

  constructor(index: DriverIndex) {
    this.#index = index;
  }

  /** How far the result relies on the known drivers: no nearer driver can be beyond this. */
  get reachM(): number {
    return this.#reachM;
  }

  find(question: Question, nowMs: number): void {
    const { lat, lon, radiusM, limit, maxAgeMs, status, services, exclude } = question;
    this.count = 0;
    this.#lat = lat;
    this.#lon = lon;
    this.#wanted = limit;
    this.mask = services;
    this.#notBeforeMs = nowMs - maxAgeMs;
    this.#excluded.clear();
    for (const id of exclude) {
      const slot = this.#index.slotOf(id);
      if (slot !== undefined) this.#excluded.add(slot);
    }
    this.#reach(radiusM);
    this.looked = this.#index.grid.search(STATUSES.indexOf(status), lat, lon, this);
  }

  visit(slot: number): void {
    const index = this.#index;
    if ((index.recordedAtMs[slot] as number) < this.#notBeforeMs) return;
    if (this.#excluded.size > 0 && this.#excluded.has(slot)) return;
    const lat = fromE7(index.latE7[slot] as number);
    const lon = fromE7(index.lonE7[slot] as number);
    const awayM = distanceM(this.#lat, this.#lon, lat, lon);
    if (awayM <= this.#reachM) this.#insert(slot, awayM);
  }

  #insert(slot: number, awayM: number): void {
    const { slots, distancesM } = this;
    let at = this.count;
    for (; at > 0 && this.#isNearer(slot, awayM, at - 1); at--) {
      slots[at] = slots[at - 1] as number;
      distancesM[at] = distancesM[at - 1] as number;
    }
    slots[at] = slot;
    distancesM[at] = awayM;
    if (this.count < this.#wanted) this.count++;
    if (this.count === this.#wanted) this.#reach(distancesM[this.count - 1] as number);
  }

  #isNearer(slot: number, awayM: number, than: number): boolean {
    const otherM = this.distancesM[than] as number;
    if (awayM !== otherM) return awayM < otherM;
    return this.#index.idOf(slot) < this.#index.idOf(this.slots[than] as number);
  }

  #reach(reachM: number): void {
    this.#reachM = reachM;
    this.limit = haversineOf((reachM * SLACK + SLACK_M) / EARTH_RADIUS_M);
  }
}
