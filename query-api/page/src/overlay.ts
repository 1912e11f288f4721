// What MapLibre draws over the ground, from the lowest layer to the highest: partitions, grid, trouble. Sources start
// empty and are filled later. A ground of others may have layers, sources and images of any name, so ours have a prefix
// on the map.

import type { Layer } from './fragment.js';
import { FONT } from './ground-style.js';
import type { LayerSpecification, SourceSpecification } from './maplibre-gl.mjs';
import type { Palette } from './palette.js';

export const SOURCES = ['areas', 'outlines', 'grid', 'grid-names', 'trouble'] as const;
export type SourceName = (typeof SOURCES)[number];

export function emptySource(): SourceSpecification {
  const data = { type: 'FeatureCollection' as const, features: [] };
  return { type: 'geojson', data };
}

const PREFIX = 'whereabouts-';
export const onMap = (name: string) => PREFIX + name;
export const isOurs = (id: string) => id.startsWith(PREFIX);

/**
 * The layers that each switch shows; all others are always visible. Names are the ground's; density and trails are on the
 * canvas above.
 */
export const SWITCHED: Record<Layer, readonly string[]> = {
  names: [],
  partitions: ['outlines'],
  nodes: ['nodes'],
  grid: ['grid', 'grid-names'],
  density: [],
  trail: [],
};

/** `below` the names of the ground, and above them. */
export function overlayOf(palette: Palette): { below: LayerSpecification[]; above: LayerSpecification[] } {
  return {
    below: [...areaLayers(palette), ...gridLayers(palette)].map(named),
    above: troubleLayers(palette).map(named),
  };
}

function named(layer: OverlayLayer): LayerSpecification {
  return { ...layer, id: onMap(layer.id), source: onMap(layer.source) };
}

type OverlayLayer = Extract<LayerSpecification, { type: 'fill' | 'line' | 'symbol' }>;

const is = (name: string, value: string) => ['==', ['get', name], value] as never;
const text = { 'text-font': FONT } as const;

function areaLayers({ partition, trouble }: Palette): OverlayLayer[] {
  return [
    {
      ...{ id: 'nodes', type: 'fill', source: 'areas' },
      paint: { 'fill-color': ['get', 'colour'] as never, 'fill-opacity': 0.22, 'fill-antialias': false },
    },
    {
      ...{ id: 'silent', type: 'fill', source: 'areas', filter: is('look', 'silent') },
      paint: { 'fill-pattern': onMap('dotted'), 'fill-antialias': false },
    },
    {
      ...{ id: 'dark', type: 'fill', source: 'areas', filter: is('look', 'dark') },
      paint: { 'fill-pattern': onMap('hatched'), 'fill-antialias': false },
    },
    {
      ...{ id: 'outlines', type: 'line', source: 'outlines' },
      paint: { 'line-color': partition, 'line-width': 1, 'line-opacity': 0.55 },
    },
    {
      ...{ id: 'unwell-outlines', type: 'line', source: 'outlines' },
      filter: ['!=', ['get', 'look'], 'well'],
      paint: { 'line-color': trouble, 'line-width': 1.4, 'line-dasharray': [3, 2] },
    },
  ];
}

function gridLayers({ grid, faint, halo }: Palette): OverlayLayer[] {
  return [
    {
      ...{ id: 'grid', type: 'line', source: 'grid' },
      paint: { 'line-color': grid, 'line-width': 0.7, 'line-opacity': 0.45 },
    },
    {
      ...{ id: 'grid-names', type: 'symbol', source: 'grid-names' },
      layout: {
        ...{ ...text, 'text-field': ['get', 'geohash'], 'text-size': 11, 'text-anchor': 'top-left' },
        ...{ 'text-offset': [0.4, 0.3], 'text-allow-overlap': false, 'text-padding': 0 },
      },
      paint: { 'text-color': faint, 'text-halo-color': halo, 'text-halo-width': 1 },
    },
  ];
}

function troubleLayers({ trouble, halo }: Palette): OverlayLayer[] {
  return [
    {
      ...{ id: 'trouble', type: 'symbol', source: 'trouble' },
      layout: {
        ...{
          ...text,
          'text-field': ['get', 'label'],
          'text-size': 14,
          'text-max-width': 16,
          'text-padding': 8,
        },
        'text-variable-anchor': ['bottom', 'top', 'left', 'right'],
        'text-radial-offset': 1.2,
      },
      paint: { 'text-color': trouble, 'text-halo-color': halo, 'text-halo-width': 3 },
    },
  ];
}
