import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { blockBounds, cellOf, cellToString, distanceToBoundsM } from './geohash.js';
import { coverBox, coverCircle } from './partition-cover.js';
import { evenPartitionMap, PartitionMap } from './partition-map.js';
import { distanceM, MAX_LATITUDE } from './position.js';

// Seeds that once failed stay here for ever; a failure prints its own.
const REGRESSION_SEEDS = [1, 42, 20_240_219];
const RUNS = { numRuns: 300 };
const RADIANS = Math.PI / 180;

function assertForSeeds<T>(property: fc.IProperty<T>): void {
  for (const seed of REGRESSION_SEEDS) fc.assert(property, { ...RUNS, seed });
  fc.assert(property, RUNS);
}

// Where a cover goes wrong: the antimeridian, both edges in latitude, the meridians and parallels that every
// precision shares; and anywhere.
const latitude = fc.oneof(
  fc.double({ min: -MAX_LATITUDE, max: MAX_LATITUDE, noNaN: true }),
  fc.constantFrom(MAX_LATITUDE, -MAX_LATITUDE, 85, -85, 0, 45, -45, 67.5, 52.2297),
  fc.double({ min: -0.1, max: 0.1, noNaN: true }),
);
const longitude = fc.oneof(
  fc.double({ min: -180, max: 180, noNaN: true }),
  fc.constantFrom(180, -180, 179.999, -179.999, 0, 90, -90, 45, 21.0122),
  fc.double({ min: 179.5, max: 180, noNaN: true }),
  fc.double({ min: -180, max: -179.5, noNaN: true }),
);
const radius = fc.oneof(
  fc.double({ min: 0, max: 50_000, noNaN: true }),
  fc.constantFrom(0, 1, 100, 500, 5000, 50_000),
  fc.double({ min: 0, max: 3000, noNaN: true }),
);
/** Places round a centre: which way, and how far in radii. */
const offsets = (most: number, minLength: number, maxLength: number) =>
  fc.array(
    fc.tuple(fc.double({ min: 0, max: 360, noNaN: true }), fc.double({ min: 0, max: most, noNaN: true })),
    {
      minLength,
      maxLength,
    },
  );

type Place = { lat: number; lon: number };

/** Along the great circle. */
function pointAt(lat: number, lon: number, bearing: number, distance: number): Place {
  const angle = (distance / distanceM(0, 0, 1, 0)) * RADIANS;
  const [phi, theta] = [lat * RADIANS, bearing * RADIANS];
  const sin = Math.sin(phi) * Math.cos(angle) + Math.cos(phi) * Math.sin(angle) * Math.cos(theta);
  const y = Math.sin(theta) * Math.sin(angle) * Math.cos(phi);
  const toLon = lon + Math.atan2(y, Math.cos(angle) - Math.sin(phi) * sin) / RADIANS;
  const toLat = Math.asin(Math.max(-1, Math.min(1, sin))) / RADIANS;
  return { lat: toLat, lon: ((((toLon + 180) % 360) + 360) % 360) - 180 };
}

/** The same, null beyond the map. */
function placeAt(lat: number, lon: number, bearing: number, distance: number): Place | null {
  const place = pointAt(lat, lon, bearing, distance);
  return Math.abs(place.lat) > MAX_LATITUDE ? null : place;
}

/** Boundaries round the centre, so that the circle touches many small partitions. */
function mapAround(lat: number, lon: number, radiusM: number, cuts: [number, number][]): PartitionMap {
  const places = cuts.map(([bearing, radii]) => placeAt(lat, lon, bearing, radii * Math.max(radiusM, 2000)));
  const cells = new Set(places.flatMap((place) => (place ? [cellOf(place.lat, place.lon)] : [])));
  cells.delete(0);
  return new PartitionMap([...cells].sort((a, b) => a - b).map(cellToString));
}

// Partitions finer than the blocks of the cover: with coarse ones, what one block misses another one brings.
test('every point of a circle lies in a partition of its cover, however fine the partitions', () => {
  assertForSeeds(
    fc.property(latitude, longitude, radius, offsets(1, 100, 200), (lat, lon, radiusM, points) => {
      const size = 4 ** Math.max(0, Math.floor(Math.log2(Math.max(1, radiusM / 8000))));
      const partitionOfCell = (cell: number) => Math.floor(cell / size);
      const cover = new Set(coverCircle(partitionOfCell, lat, lon, radiusM));
      for (const place of placesWithin(lat, lon, radiusM, points)) {
        const partition = partitionOfCell(cellOf(place.lat, place.lon));
        assert.ok(cover.has(partition), `${JSON.stringify(place)} is in ${partition}`);
      }
    }),
  );
});

test('near the poles a circle is widest not at its centre but where a meridian touches it', () => {
  const [radiusM, fine] = [50_000, (cell: number) => cell >>> 4];
  for (const lat of [MAX_LATITUDE, -MAX_LATITUDE]) {
    const angle = radiusM / distanceM(0, 0, 1, 0);
    const bearing = Math.acos(Math.tan(angle * RADIANS) * Math.tan(lat * RADIANS)) / RADIANS;
    for (let lon = -180; lon < 180; lon += 0.73) {
      const cover = new Set(coverCircle(fine, lat, lon, radiusM));
      for (const side of [bearing, -bearing]) {
        const place = pointAt(lat, lon, side, radiusM * (1 - 1e-9));
        assert.ok(cover.has(fine(cellOf(place.lat, place.lon))), `from ${lat}, ${lon} at ${side}`);
      }
    }
  }
});

test('every point of a circle lies in a partition of its cover', () => {
  assertForSeeds(
    fc.property(
      latitude,
      longitude,
      radius,
      offsets(3, 0, 60),
      offsets(1, 1, 200),
      (lat, lon, radiusM, cuts, points) => {
        const map = mapAround(lat, lon, radiusM, cuts);
        const cover = map.cover(lat, lon, radiusM);
        for (const place of placesWithin(lat, lon, radiusM, points)) {
          const partition = map.partitionOf(place.lat, place.lon);
          assert.ok(
            cover.includes(partition),
            `${JSON.stringify(place)} is in ${partition}, not in [${cover}]`,
          );
        }
      },
    ),
  );
});

/** Each point is tried on the rim too, where a cover misses: east and west, where a circle is widest in degrees. */
function placesWithin(lat: number, lon: number, radiusM: number, points: [number, number][]): Place[] {
  const rim = [...points.map(([bearing]) => bearing), 0, 90, 180, 270];
  const tried = [...points, ...rim.map((bearing) => [bearing, 1 - 1e-9] as const)];
  return tried.flatMap(([bearing, radii]) => {
    const place = placeAt(lat, lon, bearing, radii * radiusM);
    return place && distanceM(lat, lon, place.lat, place.lon) <= radiusM ? [place] : [];
  });
}

test('a cover is ascending, holds its own centre, and reaches not far beyond the circle', () => {
  assertForSeeds(
    fc.property(latitude, longitude, radius, offsets(20, 0, 60), (lat, lon, radiusM, cuts) => {
      const map = mapAround(lat, lon, radiusM, cuts);
      const cover = map.cover(lat, lon, radiusM);
      assert.deepEqual(
        cover,
        [...new Set(cover)].sort((a, b) => a - b),
      );
      assert.ok(cover.includes(map.partitionOf(lat, lon)));
      for (const partition of cover) {
        const beyondM = distanceToPartitionM(map, partition, lat, lon) - radiusM;
        assert.ok(
          beyondM <= 1.5 * radiusM + 1500,
          `${partition} is ${beyondM} m beyond a radius of ${radiusM}`,
        );
      }
    }),
  );
});

function distanceToPartitionM(map: PartitionMap, partition: number, lat: number, lon: number): number {
  const { from, to } = map.cellRange(partition);
  let nearest = Infinity;
  for (let cell = from; cell < to; ) {
    let size = 1;
    while (cell % (size * 2) === 0 && cell + size * 2 <= to) size *= 2;
    nearest = Math.min(nearest, distanceToBoundsM(lat, lon, blockBounds(cell, size)));
    cell += size;
  }
  return nearest;
}

test('a cover looks at no more than 64 blocks', () => {
  let looks = 0;
  const count = () => {
    looks++;
    return 0;
  };
  assertForSeeds(
    fc.property(latitude, longitude, radius, latitude, longitude, (lat, lon, radiusM, lat2, lon2) => {
      looks = 0;
      coverCircle(count, lat, lon, radiusM);
      assert.ok(looks <= 2 * 64, `${looks} for a circle`);
      looks = 0;
      coverBox(count, Math.min(lat, lat2), lon, Math.max(lat, lat2), lon2);
      assert.ok(looks <= 2 * 64, `${looks} for a box`);
    }),
  );
});

test('a small circle within one partition is covered by it alone', () => {
  const map = evenPartitionMap(64);
  assert.deepEqual(map.cover(52.2297, 21.0122, 1000), [map.partitionOf(52.2297, 21.0122)]);
});

test('a circle on the antimeridian is covered on both sides', () => {
  const map = evenPartitionMap(64);
  const both = [map.partitionOf(10, 179.99), map.partitionOf(10, -179.99)].sort((a, b) => a - b);
  assert.deepEqual(map.cover(10, 179.99, 5000), both);
  assert.deepEqual(map.cover(10, -179.99, 5000), both);
  assert.deepEqual(map.cover(10, 180, 0), both);
});

test('a circle round a pole takes every meridian', () => {
  const map = evenPartitionMap(64);
  const cover = map.cover(85, 0, 600_000);
  for (let lon = -180; lon < 180; lon += 5) assert.ok(cover.includes(map.partitionOf(85, lon)));
});

test('every point of a box lies in a partition of its cover', () => {
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  const points = fc.array(fc.tuple(share, share), { minLength: 1, maxLength: 100 });
  const width = fc.oneof(
    fc.double({ min: 0, max: 360, noNaN: true }),
    fc.double({ min: 0, max: 0.5, noNaN: true }),
  );
  assertForSeeds(
    fc.property(
      latitude,
      latitude,
      longitude,
      width,
      points,
      offsets(50, 0, 60),
      (a, b, minLon, wide, inside, cuts) => {
        const [minLat, maxLat] = [Math.min(a, b), Math.max(a, b)];
        const maxLon = minLon + wide > 180 ? minLon + wide - 360 : minLon + wide;
        const map = mapAround(minLat, minLon, 10_000, cuts);
        const cover = map.coverBox(minLat, minLon, maxLat, maxLon);
        const span = maxLon < minLon ? maxLon + 360 - minLon : maxLon - minLon;
        const corners: [number, number][] = [
          [0, 0],
          [0, 1],
          [1, 0],
          [1, 1],
        ];
        for (const [up, along] of [...corners, ...inside]) {
          const lat = Math.min(maxLat, minLat + up * (maxLat - minLat));
          const at = along === 1 ? maxLon : minLon + along * span;
          const lon = at > 180 ? at - 360 : at;
          const partition = map.partitionOf(lat, lon);
          assert.ok(cover.includes(partition), `${lat}, ${lon} is in ${partition}, not in [${cover}]`);
        }
      },
    ),
  );
});

test('a box may be the whole world, a point, or all but a sliver', () => {
  const map = evenPartitionMap(64);
  const all = Array.from({ length: 64 }, (_, i) => i);
  assert.deepEqual(map.coverBox(-90, -180, 90, 180), all);
  assert.deepEqual(map.coverBox(-90, 10.001, 90, 10), all);
  assert.deepEqual(map.coverBox(52, 21, 52, 21), [map.partitionOf(52, 21)]);
});

test('what is no place, distance or box is refused', () => {
  const map = evenPartitionMap(4);
  for (const [lat, lon, radiusM] of [
    [Number.NaN, 0, 1],
    [91, 0, 1],
    [0, 181, 1],
    [0, Number.NaN, 1],
    [0, 0, -1],
    [0, 0, Number.NaN],
    [0, 0, Infinity],
  ] as const) {
    assert.throws(() => map.cover(lat, lon, radiusM), RangeError, `${lat}, ${lon}, ${radiusM}`);
  }
  assert.throws(() => map.coverBox(1, 0, 0, 1), RangeError);
  assert.throws(() => map.coverBox(0, Number.NaN, 1, 1), RangeError);
  assert.throws(() => map.coverBox(Number.NaN, 0, 1, 1), RangeError);
});
