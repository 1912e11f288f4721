// Which pieces of the fine ground a view touches. The build cuts it every 30 degrees.

import type { Box } from './api.js';

const PIECE_DEGREES = 30;

export function piecesIn([west, south, east, north]: Box): string[] {
  const names: string[] = [];
  const first = (degrees: number) => Math.floor(degrees / PIECE_DEGREES) * PIECE_DEGREES;
  // Across the antimeridian `east` is the lesser one.
  const end = east < west ? east + 360 : east;
  for (let lon = first(west); lon < end; lon += PIECE_DEGREES) {
    for (let lat = first(south); lat < north; lat += PIECE_DEGREES) {
      const wrapped = lon >= 180 ? lon - 360 : lon;
      if (lat >= -90 && lat < 90) names.push(`fine_${wrapped}_${lat}`);
    }
  }
  return names;
}
