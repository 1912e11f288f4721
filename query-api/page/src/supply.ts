// Wide views: counts of drivers for each cell of a geohash instead of drivers.

import { precisionAt } from './grid.js';

const CELL_MIN_PX = 36;
const MAX_PRECISION = 7;

export const supplyPrecision = (zoom: number): number =>
  Math.min(MAX_PRECISION, precisionAt(zoom, CELL_MIN_PX));

/** Drivers that one look may bring; above this, only counts are shown. */
export const DRIVERS_AT_MOST = 5_000;
const DRIVERS_AGAIN = 4_500;

/** A view with too many drivers shows counts, and so does any wider one, until the counts are small enough. */
export class WideView {
  #zoom = Number.NEGATIVE_INFINITY;

  isWide(zoom: number): boolean {
    return zoom <= this.#zoom;
  }

  tooManyAt(zoom: number): void {
    this.#zoom = Math.max(this.#zoom, zoom);
  }

  counted(drivers: number): void {
    if (drivers < DRIVERS_AGAIN) this.#zoom = Number.NEGATIVE_INFINITY;
  }
}
