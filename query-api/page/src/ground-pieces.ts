// The fine ground, in pieces of 30 degrees: those in view are fetched once the coarse coast would look coarse.

import type { Box } from './api.js';
import { FINE_FROM_ZOOM, fileAt, pieceLayers } from './ground-style.js';
import type { Map as MapLibre } from './maplibre-gl.mjs';
import { paletteNow } from './palette.js';
import { piecesIn } from './pieces.js';

/** For our own ground. Call it whenever the view or the style has changed. */
export function addPieces(map: MapLibre, box: Box): void {
  if (map.getZoom() < FINE_FROM_ZOOM) return;
  for (const name of piecesIn(box)) {
    if (map.getSource(name)) continue;
    map.addSource(name, { type: 'geojson', data: fileAt(`/${name}.geojson`), tolerance: 0.4, maxzoom: 12 });
    const { areas, towns } = pieceLayers(name, paletteNow());
    for (const layer of areas) map.addLayer(layer, 'fine-ground');
    map.addLayer(towns, 'places');
  }
}
