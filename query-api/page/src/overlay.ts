// What is drawn over the ground, from the lowest layer to the highest: partitions, grid, density, trail, drivers, answers,
// trouble. Sources are empty until somebody fills them.

import type { Layer } from './fragment.js';
import { FONT } from './ground-style.js';
import type { LayerSpecification, SourceSpecification } from './maplibre-gl.mjs';
import type { Palette } from './palette.js';

export const SOURCES = [
  'areas',
  'outlines',
  'grid',
  'grid-names',
  'supply',
  'trail',
  'drivers',
  'nearest',
  'selected',
  'trouble',
] as const;
export type SourceName = (typeof SOURCES)[number];

/** Closer than this symbols would cover one another. */
const CLUSTER = { cluster: true, clusterRadius: 26, clusterMaxZoom: 14, clusterMinPoints: 4 } as const;

export function sourceOf(name: SourceName): SourceSpecification {
  const data = { type: 'FeatureCollection' as const, features: [] };
  return { type: 'geojson', data, ...(name === 'drivers' ? CLUSTER : {}) };
}

/** Which layers a switch shows; all others are always there. */
export const SWITCHED: Record<Layer, readonly string[]> = {
  names: ['places'],
  partitions: ['outlines'],
  nodes: ['nodes'],
  grid: ['grid', 'grid-names'],
  density: [],
  trail: ['trail'],
};

export const DRIVER_LAYER = 'drivers';
export const CLUSTER_LAYER = 'clusters';

export function overlayOf(palette: Palette): LayerSpecification[] {
  return [
    ...areaLayers(palette),
    ...gridLayers(palette),
    ...supplyLayers(palette),
    ...driverLayers(palette),
    ...answerLayers(palette),
    ...troubleLayers(palette),
  ];
}

const is = (name: string, value: string) => ['==', ['get', name], value] as never;
const text = { 'text-font': FONT } as const;

function areaLayers({ partition, trouble }: Palette): LayerSpecification[] {
  return [
    {
      ...{ id: 'nodes', type: 'fill', source: 'areas' },
      paint: { 'fill-color': ['get', 'colour'] as never, 'fill-opacity': 0.22, 'fill-antialias': false },
    },
    {
      ...{ id: 'silent', type: 'fill', source: 'areas', filter: is('look', 'silent') },
      paint: { 'fill-pattern': 'dotted', 'fill-antialias': false },
    },
    {
      ...{ id: 'dark', type: 'fill', source: 'areas', filter: is('look', 'dark') },
      paint: { 'fill-pattern': 'hatched', 'fill-antialias': false },
    },
    {
      ...{ id: 'outlines', type: 'line', source: 'outlines' },
      paint: { 'line-color': partition, 'line-width': 1, 'line-opacity': 0.55 },
    },
    {
      ...{ id: 'unwell-outlines', type: 'line', source: 'outlines' },
      filter: ['!=', ['get', 'look'], 'well'],
      paint: { 'line-color': trouble, 'line-width': 2, 'line-dasharray': [3, 2] },
    },
  ];
}

function gridLayers({ grid, faint, halo }: Palette): LayerSpecification[] {
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

function supplyLayers({ density, ink, halo }: Palette): LayerSpecification[] {
  const isDense = ['>', ['get', 'share'], 0.5];
  return [
    {
      ...{ id: 'supply', type: 'fill', source: 'supply' },
      paint: {
        'fill-color': ['interpolate', ['linear'], ['get', 'share'], 0, density[0], 1, density[1]] as never,
        'fill-opacity': 0.6,
        'fill-outline-color': halo,
      },
    },
    {
      ...{ id: 'supply-counts', type: 'symbol', source: 'supply', minzoom: 1 },
      layout: {
        ...{ ...text, 'text-field': ['get', 'label'], 'text-size': 12, 'text-padding': 3 },
        'symbol-sort-key': ['-', 0, ['get', 'drivers']] as never,
      },
      paint: {
        'text-color': ['case', isDense, halo, ink] as never,
        'text-halo-color': ['case', isDense, density[1], halo] as never,
        'text-halo-width': 1.5,
      },
    },
  ];
}

function driverLayers({ accent, cluster, onCluster, halo }: Palette): LayerSpecification[] {
  const radius = ['interpolate', ['linear'], ['ln', ['get', 'point_count']], 1.4, 11, 7, 24];
  return [
    {
      ...{ id: 'trail', type: 'line', source: 'trail' },
      layout: { 'line-cap': 'round', 'line-join': 'round' },
      paint: { 'line-color': accent, 'line-width': 3 },
    },
    {
      ...{ id: CLUSTER_LAYER, type: 'circle', source: 'drivers', filter: ['has', 'point_count'] },
      paint: {
        'circle-color': cluster,
        'circle-radius': radius as never,
        'circle-stroke-color': halo,
        'circle-stroke-width': 1.5,
      },
    },
    {
      ...{ id: 'cluster-counts', type: 'symbol', source: 'drivers', filter: ['has', 'point_count'] },
      layout: {
        ...{ ...text, 'text-field': ['get', 'point_count_abbreviated'], 'text-size': 12 },
        // Names keep clear of the whole circle.
        ...{ 'text-allow-overlap': true, 'text-padding': 14 },
      },
      paint: { 'text-color': onCluster },
    },
    {
      ...{ id: DRIVER_LAYER, type: 'symbol', source: 'drivers', filter: ['!', ['has', 'point_count']] },
      layout: {
        'icon-image': ['get', 'image'],
        'icon-rotate': ['get', 'heading'],
        'icon-rotation-alignment': 'map',
        'icon-allow-overlap': true,
        'icon-ignore-placement': true,
        'icon-size': ['interpolate', ['linear'], ['zoom'], 4, 0.7, 13, 1],
      },
    },
  ];
}

function answerLayers({ ink, accent, halo }: Palette): LayerSpecification[] {
  return [
    {
      ...{ id: 'nearest-lines', type: 'line', source: 'nearest', filter: is('part', 'line') },
      paint: { 'line-color': ink, 'line-width': 1.2, 'line-opacity': 0.7 },
    },
    {
      ...{ id: 'nearest-hits', type: 'circle', source: 'nearest', filter: is('part', 'hit') },
      paint: {
        'circle-radius': 10,
        'circle-opacity': 0,
        'circle-stroke-color': ink,
        'circle-stroke-width': 1.6,
      },
    },
    {
      ...{ id: 'nearest-point', type: 'circle', source: 'nearest', filter: is('part', 'point') },
      paint: {
        'circle-radius': 6,
        'circle-color': ink,
        'circle-stroke-color': halo,
        'circle-stroke-width': 2,
      },
    },
    {
      ...{ id: 'selected', type: 'circle', source: 'selected' },
      paint: {
        'circle-radius': 14,
        'circle-opacity': 0,
        'circle-stroke-color': accent,
        'circle-stroke-width': 3,
      },
    },
    {
      ...{ id: 'selected-driver', type: 'symbol', source: 'selected' },
      layout: {
        ...{
          ...text,
          'text-field': ['get', 'id'],
          'text-size': 13,
          'text-anchor': 'top',
          'text-offset': [0, 1.3],
        },
        ...{ 'icon-image': ['get', 'image'], 'icon-rotate': ['get', 'heading'] },
        ...{ 'icon-rotation-alignment': 'map', 'icon-allow-overlap': true, 'text-optional': true },
      },
      paint: { 'text-color': ink, 'text-halo-color': halo, 'text-halo-width': 1.6 },
    },
  ];
}

function troubleLayers({ trouble, halo }: Palette): LayerSpecification[] {
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
      paint: { 'text-color': trouble, 'text-halo-color': halo, 'text-halo-width': 2.2 },
    },
  ];
}
