// The partition map as GeoJSON, for a map page: each partition a MultiPolygon of the fewest blocks of the curve.
// Blocks never cross the antimeridian, so nothing needs to be cut there.
import { blockBounds, CELL_COUNT } from './geohash.js';
import type { PartitionMap } from './partition-map.js';

type Ring = [lon: number, lat: number][];

export interface PartitionFeature {
  type: 'Feature';
  id: number;
  geometry: { type: 'MultiPolygon'; coordinates: Ring[][] };
  properties: { partition: number; from: string; to: string } & Record<string, unknown>;
}

export interface PartitionFeatureCollection {
  type: 'FeatureCollection';
  features: PartitionFeature[];
}

/** `properties` adds to what each partition says of itself. */
export function partitionMapToGeoJson(
  map: PartitionMap,
  properties: (partition: number) => object = () => ({}),
): PartitionFeatureCollection {
  const features: PartitionFeature[] = [];
  for (let partition = 0; partition < map.partitions; partition++) {
    features.push({
      type: 'Feature',
      id: partition,
      geometry: { type: 'MultiPolygon', coordinates: polygonsOf(map.cellRange(partition)) },
      properties: { partition, ...map.range(partition), ...properties(partition) },
    });
  }
  return { type: 'FeatureCollection', features };
}

function polygonsOf({ from, to }: { from: number; to: number }): Ring[][] {
  const polygons: Ring[][] = [];
  for (let cell = from; cell < to; ) {
    const size = largestBlock(cell, to - cell);
    polygons.push([ringOf(cell, size)]);
    cell += size;
  }
  return polygons;
}

/** A block of n cells begins only where n divides the cell's number. */
function largestBlock(firstCell: number, atMost: number): number {
  let size = 1;
  while (size * 2 <= atMost && firstCell % (size * 2) === 0 && size < CELL_COUNT) size *= 2;
  return size;
}

/** Counter-clockwise, as RFC 7946 asks. */
function ringOf(firstCell: number, size: number): Ring {
  const { minLat, minLon, maxLat, maxLon } = blockBounds(firstCell, size);
  return [
    [minLon, minLat],
    [maxLon, minLat],
    [maxLon, maxLat],
    [minLon, maxLat],
    [minLon, minLat],
  ];
}
