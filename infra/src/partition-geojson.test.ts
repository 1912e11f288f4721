import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { partitionMapToGeoJson } from './partition-geojson.js';
import { evenPartitionMap, PartitionMap } from './partition-map.js';

const warsaw = new PartitionMap(['u3qb00', 'u3qcj0', 'u3qcnh', 'u3qcnj', 'u3r000']);

test('each place is in a polygon of its own partition and of no other', () => {
  const { features } = partitionMapToGeoJson(warsaw);
  const lat = fc.oneof(
    fc.double({ min: -85, max: 85, noNaN: true }),
    fc.double({ min: 52, max: 52.5, noNaN: true }),
  );
  const lon = fc.oneof(
    fc.double({ min: -180, max: 180, noNaN: true, maxExcluded: true }),
    fc.double({ min: 20.5, max: 21.5, noNaN: true }),
  );
  fc.assert(
    fc.property(lat, lon, (y, x) => {
      const holders = features.filter(({ geometry }) =>
        geometry.coordinates.some(([ring]) => {
          const [[west, south], , [east, north]] = ring as [[number, number], unknown, [number, number]];
          return (x > west || west === -180) && x <= east && y > south && y <= north;
        }),
      );
      assert.deepEqual(
        holders.map((feature) => feature.id),
        [warsaw.partitionOf(y, x)],
      );
    }),
    { numRuns: 500 },
  );
});

test('rings are closed and go counter-clockwise, and cover the world once', () => {
  let area = 0;
  for (const { geometry } of partitionMapToGeoJson(warsaw).features) {
    for (const [ring] of geometry.coordinates) {
      assert.ok(ring);
      assert.deepEqual(ring[0], ring.at(-1));
      let twice = 0;
      for (let i = 1; i < ring.length; i++) {
        const [[x1, y1], [x2, y2]] = [ring[i - 1], ring[i]] as [[number, number], [number, number]];
        twice += x1 * y2 - x2 * y1;
      }
      assert.ok(twice > 0);
      area += twice / 2;
    }
  }
  assert.ok(Math.abs(area - 360 * 180) < 1e-6);
});

test('a range is drawn with the fewest blocks', () => {
  const polygons = (map: PartitionMap) =>
    partitionMapToGeoJson(map).features.map(({ geometry }) => geometry.coordinates.length);
  assert.deepEqual(polygons(evenPartitionMap(1)), [1]);
  assert.deepEqual(polygons(evenPartitionMap(64)), new Array(64).fill(1));
  assert.deepEqual(polygons(new PartitionMap(['h00000'])), [1, 1]);
  assert.deepEqual(polygons(new PartitionMap(['000001'])), [1, 30]);
});

test('a feature names its partition and what else it is given', () => {
  const { features } = partitionMapToGeoJson(evenPartitionMap(2), (partition) => ({
    drivers: partition * 10,
  }));
  assert.deepEqual(
    features.map((feature) => feature.properties),
    [
      { partition: 0, from: '000000', to: 'h00000', drivers: 0 },
      { partition: 1, from: 'h00000', to: '~~~~~~', drivers: 10 },
    ],
  );
});
