// The geohash grid over the view, with cells large enough to be distinguished.

import type { Box } from './api.js';
import { cellSize, geohashOf } from './geohash.js';
import type * as GeoJSON from './geojson.mjs';

const FROM_ZOOM = 7.5;
const CELL_MIN_PX = 70;
const CELLS_AT_MOST = 2_000;
const MAX_PRECISION = 8;

/** Cells as wide as this on the screen, or wider. */
export function precisionAt(zoom: number, minPx: number): number {
  const pixelsEachDegree = (512 * 2 ** zoom) / 360;
  let precision = 1;
  while (precision < MAX_PRECISION && cellSize(precision + 1).width * pixelsEachDegree >= minPx) precision++;
  return precision;
}

const NONE: GeoJSON.FeatureCollection = { type: 'FeatureCollection', features: [] };

export function gridOf(
  [west, south, east, north]: Box,
  zoom: number,
): { lines: GeoJSON.FeatureCollection; names: GeoJSON.FeatureCollection } {
  if (zoom < FROM_ZOOM || east < west) return { lines: NONE, names: NONE };
  const precision = precisionAt(zoom, CELL_MIN_PX);
  const { width, height } = cellSize(precision);
  const columns = range(west, east, width);
  const rows = range(south, north, height);
  if (columns.length * rows.length > CELLS_AT_MOST) return { lines: NONE, names: NONE };
  const upright = columns.map((lon) => [
    [lon, south],
    [lon, north],
  ]);
  const level = rows.map((lat) => [
    [west, lat],
    [east, lat],
  ]);
  const lines = { type: 'MultiLineString' as const, coordinates: [...upright, ...level] };
  const names = columns.flatMap((lon) =>
    rows.map((lat): GeoJSON.Feature => {
      const geohash = geohashOf(lat + height / 2, lon + width / 2, precision);
      // At the cell's upper left corner.
      return {
        type: 'Feature',
        properties: { geohash },
        geometry: { type: 'Point', coordinates: [lon, lat + height] },
      };
    }),
  );
  return {
    lines: { type: 'FeatureCollection', features: [{ type: 'Feature', properties: {}, geometry: lines }] },
    names: { type: 'FeatureCollection', features: names },
  };
}

/** The multiples of `step` from below `from` to above `to`. */
function range(from: number, to: number, step: number): number[] {
  const first = Math.floor(from / step);
  const last = Math.ceil(to / step);
  return Array.from({ length: last - first }, (_, i) => (first + i) * step);
}
