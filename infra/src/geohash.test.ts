import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import ngeohash from 'ngeohash';
import {
  AXIS_CELLS,
  blockBounds,
  CELL_COUNT,
  cellAt,
  cellFromString,
  cellOf,
  cellToString,
  columnOf,
  distanceToBoundsM,
  GeohashError,
  rowOf,
} from './geohash.js';
import { distanceM } from './position.js';

const latitude = fc.double({ min: -90, max: 90, noNaN: true });
const longitude = fc.double({ min: -180, max: 180, noNaN: true, maxExcluded: true });
const cell = fc.integer({ min: 0, max: CELL_COUNT - 1 });
const block = fc
  .tuple(cell, fc.integer({ min: 0, max: 30 }))
  .map(([at, bits]) => ({ first: at - (at % 2 ** bits), size: 2 ** bits }));

test('a cell is the geohash of six characters', () => {
  assert.equal(cellToString(cellOf(52.2297, 21.0122)), 'u3qcnh');
  fc.assert(
    fc.property(latitude, longitude, (lat, lon) =>
      assert.equal(cellToString(cellOf(lat, lon)), ngeohash.encode(lat, lon, 6)),
    ),
  );
});

test('cells are ordered as their geohashes are', () => {
  fc.assert(fc.property(cell, cell, (a, b) => a < b === cellToString(a) < cellToString(b)));
});

test('cell, geohash, column and row agree', () => {
  fc.assert(
    fc.property(latitude, longitude, (lat, lon) => {
      const at = cellOf(lat, lon);
      assert.equal(cellFromString(cellToString(at)), at);
      assert.equal(cellAt(columnOf(lon), rowOf(lat)), at);
    }),
  );
});

test('the corners of the world have their cells, and 180 degrees is -180', () => {
  assert.equal(cellOf(-90, -180), 0);
  assert.equal(cellOf(0, 180), cellOf(0, -180));
  assert.equal(cellOf(90, 179.999999), CELL_COUNT - 1);
  assert.equal(columnOf(179.999999), AXIS_CELLS - 1);
  assert.equal(rowOf(-90), 0);
});

test('what ngeohash would take without a word is refused', () => {
  for (const [lat, lon] of [
    [Number.NaN, 0],
    [0, Number.NaN],
    [95, 200],
    [90.001, 0],
    [0, -180.001],
    [Infinity, 0],
  ] as const) {
    assert.throws(() => cellOf(lat, lon), GeohashError);
  }
  for (const text of ['', 'u3qcn', 'u3qcnhh', 'U3QCNH', 'u3qcna', '~~~~~~']) {
    assert.throws(() => cellFromString(text), GeohashError);
  }
  for (const number of [-1, CELL_COUNT, 0.5, Number.NaN])
    assert.throws(() => cellToString(number), GeohashError);
  assert.throws(() => blockBounds(1, 2), GeohashError);
  assert.throws(() => blockBounds(0, 3), GeohashError);
});

test('a block holds the cells of its interval and no others', () => {
  assert.deepEqual(blockBounds(0, CELL_COUNT), { minLat: -90, minLon: -180, maxLat: 90, maxLon: 180 });
  fc.assert(
    fc.property(block, latitude, longitude, ({ first, size }, lat, lon) => {
      const { minLat, minLon, maxLat, maxLon } = blockBounds(first, size);
      const at = cellOf(lat, lon);
      const inside = (lat > minLat || minLat === -90) && lat <= maxLat && (lon > minLon || minLon === -180);
      assert.equal(at >= first && at < first + size, inside && lon <= maxLon);
    }),
    { numRuns: 1000 },
  );
});

test('the distance to a block is that of its nearest point, also round the antimeridian and near the poles', () => {
  const far = fc.constantFrom(0.00001, 0.001, 0.1, 1, 20);
  fc.assert(
    fc.property(block, latitude, longitude, far, fc.boolean(), ({ first, size }, lat, lon, reach, near) => {
      const bounds = blockBounds(first, size);
      // Half of the points stand close to the block, where the edges matter.
      const pointLat = near ? Math.max(-90, Math.min(90, bounds.minLat + (lat / 90) * reach)) : lat;
      const pointLon = near ? wrap(bounds.maxLon + (lon / 180) * reach) : lon;
      const actual = distanceToBoundsM(pointLat, pointLon, bounds);
      let nearest = Infinity;
      for (let i = 0; i <= 400; i++) {
        const edgeLat = bounds.minLat + ((bounds.maxLat - bounds.minLat) * i) / 400;
        const edgeLon = bounds.minLon + ((bounds.maxLon - bounds.minLon) * i) / 400;
        nearest = Math.min(
          nearest,
          distanceM(pointLat, pointLon, edgeLat, bounds.minLon),
          distanceM(pointLat, pointLon, edgeLat, bounds.maxLon),
          distanceM(pointLat, pointLon, bounds.minLat, edgeLon),
          distanceM(pointLat, pointLon, bounds.maxLat, edgeLon),
        );
      }
      const { minLat, minLon, maxLat, maxLon } = bounds;
      const inside = pointLat >= minLat && pointLat <= maxLat && pointLon >= minLon && pointLon <= maxLon;
      if (inside) return assert.equal(actual, 0);
      const step = distanceM(minLat, minLon, maxLat, minLon) / 400 + distanceM(0, minLon, 0, maxLon) / 400;
      assert.ok(actual <= nearest + 1e-3, `${actual} is beyond the nearest point at ${nearest}`);
      assert.ok(actual >= nearest - step - 1e-3, `${actual} is nearer than any point, ${nearest}`);
    }),
    { numRuns: 500 },
  );
});

test('over the antimeridian the distance is the short one', () => {
  const east = blockBounds(cellOf(0.001, -179.999), 1);
  assert.ok(distanceToBoundsM(0.001, 179.999, east) < 120);
  const west = blockBounds(cellOf(85, 179.999), 1);
  assert.ok(distanceToBoundsM(85, -179.999, west) < 12);
});

function wrap(lon: number): number {
  return lon < -180 ? lon + 360 : lon > 180 ? lon - 360 : lon;
}
