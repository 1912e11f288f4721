// Compares polygons with another library that decides exactly, and with the places of drivers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import codec from '@googlemaps/polyline-codec';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import type { Position } from '@whereabouts/infra/position';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import pointInPolygon from 'point-in-polygon-hao';
import { areaOf, isWithin, partitionsOf } from './area.js';
import { driver } from './fixtures/filled-index.js';
import { Polygon, type Ring } from './polygon.js';
import { polygonOf } from './polygon-text.js';
import { Problem } from './problem.js';

const SEED = 20_261_129;
const POLYGONS = 400;
const PLACES = 150;

type Point = [number, number];
const random = seededRandom(SEED).next;
const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;

/**
 * On a coarse lattice, so that vertices, edges and latitudes are often met; otherwise anywhere. Its steps are powers of
 * two, as the other library is exact only if differences of coordinates are.
 */
function pointIn(step: number): Point {
  if (step > 0) return [Math.round(random() * 8) * step, Math.round(random() * 8) * step];
  return [random() * 0.4, random() * 0.4];
}

function closed(points: Point[]): Point[] {
  return [...points, points[0] as Point];
}

/** Some cross themselves and each other; even-odd holds for all. */
function randomRings(step: number): Point[][] {
  return Array.from({ length: pick([1, 1, 2, 3]) }, () =>
    closed(Array.from({ length: pick([3, 4, 7, 40]) }, () => pointIn(step))),
  );
}

test(`polygon: ${POLYGONS * PLACES} places in ${POLYGONS} polygons, on edges and vertices too, as another library decides (seed ${SEED})`, () => {
  let [inside, onEdge] = [0, 0];
  for (let i = 0; i < POLYGONS; i++) {
    const step = pick([0, 1 / 16, 1 / 32]);
    const rings = randomRings(step);
    const polygon = new Polygon(rings);
    for (let j = 0; j < PLACES; j++) {
      const [lon, lat] = pick([() => pointIn(step), () => pick(pick(rings)), () => pointIn(0)])() as Point;
      const expected = pointInPolygon([lon, lat], rings);
      if (expected === 0) onEdge++;
      if (expected === true) inside++;
      const name = `polygon ${i}: ${JSON.stringify(rings)} at ${lon}, ${lat}`;
      assert.equal(polygon.holds(lat, lon), expected !== false, name);
    }
  }
  assert.ok(inside > 5_000 && onEdge > 2_000, `${inside} inside, ${onEdge} on an edge`);
});

test('polygon: a box has a place in common with it, if any place of a fine lattice says so', () => {
  let [touched, apart] = [0, 0];
  for (let i = 0; i < 300; i++) {
    const polygon = new Polygon(randomRings(pick([0, 1 / 16])));
    const [minLon, minLat] = pointIn(0);
    const size = pick([0.01, 0.05, 0.2]);
    const box = { minLat, minLon, maxLat: minLat + size, maxLon: minLon + size };
    let isMet = false;
    for (let n = 0; n <= 400 && !isMet; n++) {
      isMet = polygon.holds(minLat + (size * (n % 21)) / 20, minLon + (size * Math.floor(n / 21)) / 20);
    }
    if (isMet) assert.ok(polygon.touches(box), `polygon ${i}`);
    if (polygon.touches(box)) touched++;
    else apart++;
  }
  assert.ok(touched > 100 && apart > 50, `${touched} touched, ${apart} apart`);
});

test('polygon: the partitions of all drivers within are named, and not all of those of the box around it', () => {
  const fleet = Array.from({ length: 4_000 }, (_, i) =>
    driver(`d${i}`, 52 + random() * 0.4, 21 + random() * 0.4),
  );
  const map = buildPartitionMap(
    fleet.map(({ latE7, lonE7 }) => ({ lat: latE7 / 1e7, lon: lonE7 / 1e7 })),
    64,
  );
  const partitionOf = ({ latE7, lonE7 }: Position) => map.partitionOf(latE7 / 1e7, lonE7 / 1e7);
  // A thin stripe from corner to corner.
  const ring: Ring = [
    [21, 52],
    [21.39, 52.4],
    [21.4, 52.4],
    [21, 52],
  ];
  const area = areaOf({ polygon: JSON.stringify({ type: 'Polygon', coordinates: [ring] }) });
  const named = partitionsOf(map, area);
  const within = fleet.filter(({ latE7, lonE7 }) => isWithin(latE7, lonE7, area));
  assert.ok(within.length > 10);
  for (const position of within) assert.ok(named.includes(partitionOf(position)), position.driverId);
  const around = partitionsOf(map, areaOf({ bbox: [21, 52, 21.4, 52.4] }));
  assert.ok(named.length < around.length / 2, `${named.length} of ${around.length}`);
});

test('polygon: one that ends at 180 degrees holds who is stored at -180', () => {
  const ring: Ring = closed([
    [179, -17],
    [180, -17],
    [180, -16],
  ]);
  const area = areaOf({ polygon: JSON.stringify({ type: 'Polygon', coordinates: [ring] }) });
  assert.equal(isWithin(-165_000_000, -1_800_000_000, area), true);
  assert.equal(isWithin(-175_000_000, -1_800_000_000, area), false);
  const map = buildPartitionMap([{ lat: 0, lon: 0 }], 1);
  assert.deepEqual(partitionsOf(map, area), [0]);
  const even = buildPartitionMap(
    Array.from({ length: 3_600 }, (_, i) => ({
      lat: (i % 60) * 2.8 - 84,
      lon: Math.floor(i / 60) * 6 - 180,
    })),
    64,
  );
  assert.ok(partitionsOf(even, area).includes(even.partitionOf(-16.5, -180)));
});

test('polygon: of thousands of polylines each is the ring that it encodes', () => {
  for (let i = 0; i < 1_000; i++) {
    const at = [random() * 178 - 89, random() * 358 - 179] as const;
    const spread = pick([0.001, 1]);
    const points = Array.from({ length: 3 + (i % 20) }, (): Point => {
      const lat = Math.round((at[0] + (random() - 0.5) * spread) * 1e5) / 1e5;
      const lon = Math.round((at[1] + (random() - 0.5) * spread) * 1e5) / 1e5;
      return [lon, lat];
    });
    const text = codec.encode(points.map(([lon, lat]): [number, number] => [lat, lon]));
    const lats = points.map(([, lat]) => lat);
    const lons = points.map(([lon]) => lon);
    const polygon = polygonOf(text);
    assert.deepEqual(polygon.bounds, {
      ...{ minLat: Math.min(...lats), maxLat: Math.max(...lats) },
      ...{ minLon: Math.min(...lons), maxLon: Math.max(...lons) },
    });
    for (const [lon, lat] of points) assert.ok(polygon.holds(lat, lon));
  }
});

test('polygon: what is none is refused, by name and reason', () => {
  const geoJson = (coordinates: unknown) => JSON.stringify({ type: 'Polygon', coordinates });
  const triangle = [
    [0, 0],
    [1, 0],
    [1, 1],
  ];
  const many = closed(Array.from({ length: 1_000 }, (): Point => [random(), random()]));
  for (const [text, code, detail] of [
    ['abc', 'bad_format', /neither a GeoJSON Polygon nor an encoded polyline/],
    ['{"type"', 'bad_format', /neither JSON \(.*\) nor an encoded polyline/],
    ['{type:Polygon}', 'bad_format', /neither JSON/],
    ['null"', 'bad_format', /neither JSON/],
    ['"null"', 'bad_format', /"type":"Polygon"/],
    ['{"type":"MultiPolygon","coordinates":[]}', 'bad_format', /"type":"Polygon"/],
    ['{"type":"Feature","geometry":{}}', 'bad_format', /no Feature around it/],
    ['{"type":"Polygon"}', 'bad_format', /a list of rings/],
    [geoJson([]), 'bad_format', /a list of rings/],
    [geoJson([7]), 'bad_format', /ring 0 must be a list/],
    [geoJson([[7]]), 'bad_format', /position 0 of ring 0/],
    [geoJson([[['0', 1]]]), 'bad_format', /position 0 of ring 0/],
    [geoJson([[]]), 'bad_length', /needs four positions/],
    [geoJson([triangle.slice(1)]), 'bad_length', /needs four positions/],
    [geoJson([[...triangle, [0, 0]], triangle.slice(1)]), 'bad_length', /ring 1 needs/],
    [
      geoJson([
        [
          [0, 0],
          [181, 0],
          [1, 1],
          [0, 0],
        ],
      ]),
      'out_of_range',
      /\[181, 0\]/,
    ],
    ['{"type":"Polygon","coordinates":[[[0,0],[1,1e999],[1,1],[0,0]]]}', 'out_of_range', /Infinity/],
    [geoJson([many]), 'bad_length', /has 1001 positions, 1000 at most/],
    // A polyline of six decimals is read as one of five.
    [
      codec.encode(
        [
          [52, 21],
          [53, 21],
          [53, 22],
        ],
        6,
      ),
      'out_of_range',
      /latitudes -90 to 90/,
    ],
    [
      codec.encode([
        [52, 21],
        [53, 21],
      ]),
      'bad_length',
      /needs four/,
    ],
  ] as [string, string, RegExp][]) {
    assert.throws(
      () => polygonOf(text),
      (error) => {
        assert.ok(error instanceof Problem, text);
        const [first] = error.errors;
        assert.deepEqual([first?.parameter, first?.code], ['polygon', code], text);
        assert.match(first?.detail ?? '', detail);
        return true;
      },
    );
  }
  // Closed by hand, or not; with altitudes; with blanks.
  const square: Point[] = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 1],
  ];
  const encoded = (points: Point[]) => codec.encode(points.map(([lon, lat]) => [lat, lon]));
  for (const text of [
    encoded(square),
    encoded(closed(square)),
    geoJson([closed(square).map((p) => [...p, 100])]),
    `\n ${geoJson([closed(square)])} `,
  ]) {
    const polygon = polygonOf(text);
    assert.deepEqual([polygon.holds(0.5, 0.5), polygon.holds(0.5, 1.5)], [true, false]);
  }
});
