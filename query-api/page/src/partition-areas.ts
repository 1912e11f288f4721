// The partitions as areas and outlines for the map.

import type { Health, Partition, PartitionCells } from './api.js';
import type * as GeoJSON from './geojson.mjs';
import { type Line, outlineOf } from './outline.js';
import type { NodeColours, Palette } from './palette.js';
import { isDark } from './regions.js';

type Look = 'well' | 'silent' | 'dark' | 'warming';

function lookOf(health: Health): Look {
  if (health === 'ok') return 'well';
  if (health === 'silent' || health === 'warming') return health;
  return isDark(health) ? 'dark' : 'well';
}

export class PartitionAreas {
  readonly mapHash: string;
  readonly #areas: readonly GeoJSON.MultiPolygon[];
  readonly #outlines: readonly Line[][];

  constructor({ map, features }: PartitionCells) {
    this.mapHash = map.hash;
    this.#areas = features.map(({ geometry: { coordinates } }) => ({ type: 'MultiPolygon', coordinates }));
    this.#outlines = features.map(({ geometry: { coordinates } }) =>
      outlineOf(
        coordinates.map(([ring = []]) => {
          const [west, south] = ring[0] ?? [0, 0];
          const [east, north] = ring[2] ?? [0, 0];
          return { west, south, east, north };
        }),
      ),
    );
  }

  areas(partitions: readonly Partition[], colours: NodeColours, palette: Palette): GeoJSON.FeatureCollection {
    const features = partitions.flatMap(({ node, health }, i): GeoJSON.Feature[] => {
      const geometry = this.#areas[i];
      const properties = { look: lookOf(health), colour: colours.of(node, palette) };
      return geometry ? [{ type: 'Feature', properties, geometry }] : [];
    });
    return { type: 'FeatureCollection', features };
  }

  outlines(partitions: readonly Partition[]): GeoJSON.FeatureCollection {
    const features = partitions.flatMap(({ health }, i): GeoJSON.Feature[] => {
      const coordinates = this.#outlines[i];
      if (!coordinates) return [];
      return [
        {
          type: 'Feature',
          properties: { look: lookOf(health) },
          geometry: { type: 'MultiLineString', coordinates },
        },
      ];
    });
    return { type: 'FeatureCollection', features };
  }
}
