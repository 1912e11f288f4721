import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boundsOf, cellSize, centreOf, geohashOf } from './geohash.js';

test('geohash: a point is in its cell, and the cell is as large as is said', () => {
  assert.equal(geohashOf(57.64911, 10.40744, 11), 'u4pruydqqvj');
  for (const [lat, lon] of [
    [52.2297, 21.0122],
    [-33.86, 151.2],
    [0, 0],
    [85, -179.9],
  ] as const) {
    for (let precision = 1; precision <= 8; precision++) {
      const geohash = geohashOf(lat, lon, precision);
      const { west, south, east, north } = boundsOf(geohash);
      assert.ok(lat >= south && lat <= north && lon >= west && lon <= east, geohash);
      const { width, height } = cellSize(precision);
      assert.ok(Math.abs(east - west - width) < 1e-9 && Math.abs(north - south - height) < 1e-9, geohash);
      const centre = centreOf(geohash);
      assert.equal(geohashOf(centre.lat, centre.lon, precision), geohash);
    }
  }
});
