// The fine ground, in pieces of 30 degrees: those in view are fetched once the coarse coast would be seen to be coarse.

import type { Box } from './api.js';
import { FINE_FROM_ZOOM, fileAt, pieceLayers } from './ground-style.js';
import type { Map as MapLibre } from './maplibre-gl.mjs';
import { paletteNow } from './palette.js';

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

/** To be called whenever the view or the style has changed. */
export function addPieces(map: MapLibre, box: Box): void {
  // Of another style than ours.
  if (!map.getLayer('places') || map.getZoom() < FINE_FROM_ZOOM) return;
  for (const name of piecesIn(box)) {
    if (map.getSource(name)) continue;
    map.addSource(name, { type: 'geojson', data: fileAt(`/${name}.geojson`), tolerance: 0.4, maxzoom: 12 });
    const { areas, towns } = pieceLayers(name, paletteNow());
    for (const layer of areas) map.addLayer(layer, 'fine-ground');
    map.addLayer(towns, 'places');
  }
}
