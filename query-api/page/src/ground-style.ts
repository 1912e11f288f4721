// The ground below the drivers: land, borders and names, all from our own files.

import type { LayerSpecification, StyleSpecification } from './maplibre-gl.mjs';
import type { Palette } from './palette.js';

/** From this zoom on the coarse coast would look coarse. */
export const FINE_FROM_ZOOM = 4.5;
/** MapLibre draws letters with the browser's own fonts if a style names no glyphs. */
export const FONT = ['system-ui'];
export const ATTRIBUTION =
  'Land: Natural Earth. Names: <a href="https://www.geonames.org" rel="noreferrer">GeoNames</a> (CC BY 4.0)';

/** Addresses have to be absolute: MapLibre's worker reads them. */
export const fileAt = (name: string) => new URL(name, location.href).href;

export function groundStyle(palette: Palette): StyleSpecification {
  const { water, land, border } = palette;
  return {
    version: 8,
    sources: {
      coarse: { type: 'geojson', data: fileAt('/coarse.geojson'), tolerance: 0.5, maxzoom: 8 },
      cities: { type: 'geojson', data: fileAt('/cities.geojson'), maxzoom: 10 },
    },
    layers: [
      { id: 'water', type: 'background', paint: { 'background-color': water } },
      {
        ...{ id: 'land', type: 'fill', source: 'coarse', filter: isKind('land') },
        paint: { 'fill-color': land, 'fill-outline-color': border },
      },
      {
        ...{ id: 'border', type: 'line', source: 'coarse' },
        filter: isKind('border'),
        paint: borderPaint(palette),
      },
      // Fine pieces come before this one, which shows nothing.
      { id: 'fine-ground', type: 'background', paint: { 'background-opacity': 0 } },
      placesLayer('places', 'cities', palette),
    ],
  };
}

export function pieceLayers(
  source: string,
  palette: Palette,
): { areas: LayerSpecification[]; towns: LayerSpecification } {
  const part = { source, minzoom: FINE_FROM_ZOOM };
  const paint = (colour: string) => ({ 'fill-color': colour, 'fill-antialias': false });
  return {
    areas: [
      { ...part, id: `water-${source}`, type: 'fill', filter: isKind('water'), paint: paint(palette.water) },
      { ...part, id: `land-${source}`, type: 'fill', filter: isKind('land'), paint: paint(palette.land) },
      {
        ...part,
        id: `border-${source}`,
        type: 'line',
        filter: isKind('border'),
        paint: borderPaint(palette),
      },
    ],
    towns: { ...placesLayer(`towns-${source}`, source, palette), minzoom: 7 } as LayerSpecification,
  };
}

const isKind = (kind: string) => ['==', ['get', 'kind'], kind] as never;

function borderPaint({ border }: Palette) {
  const width = ['interpolate', ['linear'], ['zoom'], 2, 0.6, 8, 1.6] as never;
  return { 'line-color': border, 'line-width': width };
}

/** The larger the city, the sooner it is named. */
function placesLayer(id: string, source: string, { placeText, halo }: Palette): LayerSpecification {
  const population = ['get', 'population'];
  const isLarge = ['>=', population, 5e5];
  const least = [2, 4e6, 3, 2e6, 4, 8e5, 5, 4e5, 6, 2e5, 7, 1e5, 8, 5e4, 9, 2e4, 10, 0];
  return {
    ...{ id, type: 'symbol', source },
    filter: ['all', isKind('place'), ['>=', population, ['step', ['zoom'], 8e6, ...least]]] as never,
    layout: {
      'text-field': ['get', 'name'],
      'text-font': FONT,
      'text-size': ['interpolate', ['linear'], ['zoom'], 2, 12, 10, ['case', isLarge, 16, 13]] as never,
      'text-padding': 6,
      'text-variable-anchor': ['center', 'bottom', 'top', 'left', 'right'],
      'text-radial-offset': 1.3,
      'text-max-width': 8,
      'symbol-sort-key': ['-', 0, population] as never,
    },
    paint: { 'text-color': placeText, 'text-halo-color': halo, 'text-halo-width': 1.4 },
  };
}
