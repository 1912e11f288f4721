// Wide views: counts of drivers for each cell of a geohash instead of drivers.

import type { SupplyAnswer } from './api.js';
import { boundsOf } from './geohash.js';
import type * as GeoJSON from './geojson.mjs';
import { precisionAt } from './grid.js';

const CELL_MIN_PX = 36;
const MAX_PRECISION = 7;

export const supplyPrecision = (zoom: number): number =>
  Math.min(MAX_PRECISION, precisionAt(zoom, CELL_MIN_PX));

/** Drivers that one look may bring; of more, only the counts are shown. */
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

export function supplyCells({ cells }: SupplyAnswer): GeoJSON.FeatureCollection {
  const most = cells.reduce((max, { drivers }) => Math.max(max, drivers), 1);
  const features = cells.map(({ geohash, drivers, available, busy }): GeoJSON.Feature => {
    const { west, south, east, north } = boundsOf(geohash);
    const ring = [
      [west, south],
      [east, south],
      [east, north],
      [west, north],
      [west, south],
    ];
    // By the logarithm: a few cells have almost all drivers.
    const share = Math.log(1 + drivers) / Math.log(1 + most);
    const properties = { drivers, available, busy, share, label: String(drivers) };
    return { type: 'Feature', properties, geometry: { type: 'Polygon', coordinates: [ring] } };
  });
  return { type: 'FeatureCollection', features };
}
