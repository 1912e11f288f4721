// Compares the supply of each cell with a count of all drivers, in boxes anywhere on the map: same cells, same counts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cellOf, cellToString } from '@whereabouts/infra/geohash';
import { MAX_LATITUDE, type Position } from '@whereabouts/infra/position';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { type Area, areaOf, boxesOf, turnsOf } from './area.js';
import { CellCounts } from './cell-counts.js';
import type { DriverIndex } from './driver-index.js';
import { driver, emptyIndex, NOW_MS, take } from './fixtures/filled-index.js';
import { countTurn } from './supply.js';

const SEED = 20_261_128;
const WORLDS = 60;
const BOXES = 60;
const BASE32 = '0123456789bcdefghjkmnpqrstuvwxyz';
/** Cities, the edges of the world, and places where many borders of cells meet. */
const PLACES: readonly [lat: number, lon: number][] = [
  ...([
    [52.23, 21.01],
    [-36.85, 174.76],
    [0, 0],
    [45, 22.5],
    [-16.5, 180],
    [-16.5, -180],
    [MAX_LATITUDE, 20],
    [-MAX_LATITUDE, -179.99],
    [11.25, 0.3515625],
  ] as const),
].map(([lat, lon]) => [lat, lon]);

/** By halving, as the definition says; a place on a border belongs to the lower half. */
function geohashByHalving(lat: number, lon: number, precision: number): string {
  const axes = [
    { at: lon, min: -180, max: 180 },
    { at: lat, min: -90, max: 90 },
  ];
  let bits = '';
  for (let i = 0; i < 5 * precision; i++) {
    const axis = axes[i % 2] as (typeof axes)[0];
    const middle = (axis.min + axis.max) / 2;
    const isUpper = axis.at > middle;
    bits += isUpper ? '1' : '0';
    if (isUpper) axis.min = middle;
    else axis.max = middle;
  }
  return bits.replace(/.{5}/g, (five) => BASE32[Number.parseInt(five, 2)] as string);
}

const places = ({ latE7, lonE7 }: Position) => ({ lat: latE7 / 1e7, lon: lonE7 / 1e7 });

function bruteForce(positions: readonly Position[], bbox: readonly number[], precision: number) {
  const [west, south, east, north] = bbox as [number, number, number, number];
  const cells = new Map<string, { geohash: string; drivers: number; available: number; busy: number }>();
  for (const position of positions) {
    const { lat, lon } = places(position);
    const isFresh = position.recordedAtMs >= NOW_MS - 10_000;
    if (position.status === 'offline' || !isFresh || lat < south || lat > north) continue;
    const columns = lon === -180 ? [-180, 180] : [lon];
    if (!columns.some((x) => (west <= east ? x >= west && x <= east : x >= west || x <= east))) continue;
    const geohash = geohashByHalving(lat, lon, precision);
    const cell = cells.get(geohash) ?? { geohash, drivers: 0, available: 0, busy: 0 };
    cells.set(geohash, cell);
    cell.drivers++;
    cell[position.status]++;
  }
  return [...cells.values()].sort((a, b) => (a.geohash < b.geohash ? -1 : 1));
}

function counted(index: DriverIndex, area: Area, precision: number) {
  const cells = new CellCounts(area.boxes, precision);
  const turns = turnsOf(index, area);
  for (const turn of turns) countTurn(index, turn, area, NOW_MS - 10_000, cells);
  return { cells: cells.texts().map((text) => JSON.parse(text)), size: cells.size, turns: turns.length };
}

function worldOf(seed: number) {
  const random = seededRandom(seed).next;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const spreads = [0, 1e-7, 1e-4, 0.01, 0.5, 20];
  const place = (): [lat: number, lon: number] => {
    const [lat, lon] = pick(PLACES);
    const spread = pick(spreads);
    const east = lon + (random() - 0.5) * spread;
    return [
      Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, lat + (random() - 0.5) * spread)),
      east > 180 ? east - 360 : east < -180 ? east + 360 : east,
    ];
  };
  const positions = Array.from({ length: 400 }, (_, i) =>
    driver(`d${i}`, ...place(), {
      status: pick(['available', 'available', 'busy', 'offline']),
      recordedAtMs: NOW_MS - pick([0, 1_000, 9_999, 10_000, 10_001]),
    }),
  );
  const bbox = () => {
    if (random() < 0.1) return [-180, -90, 180, 90];
    const [lat, lon] = place();
    // Often at a driver's exact place, or on a border of cells.
    const [otherLat, otherLon] = random() < 0.5 ? place() : [lat + random() * 0.1, lon + random() * 0.1];
    const [south, north] = [Math.min(lat, otherLat), Math.max(lat, otherLat)];
    return [lon, south, Math.min(180, otherLon), Math.min(90, north)];
  };
  return { positions, bbox, random };
}

test(`supply: ${WORLDS * BOXES} random boxes, also across the antimeridian and at the poles, as by a count of everyone`, () => {
  let [compared, full] = [0, 0];
  for (let world = 0; world < WORLDS; world++) {
    const seed = SEED + world;
    const { positions, bbox, random } = worldOf(seed);
    const { index } = emptyIndex();
    for (const p of positions) take(index, p);
    for (let i = 0; i < BOXES; i++) {
      const box = bbox();
      const boxes = boxesOf(box);
      let precision = 1 + Math.floor(random() * 7);
      while (new CellCounts(boxes, precision).size > 10_000) precision--;
      const { cells, size } = counted(index, areaOf({ bbox: box }), precision);
      const expected = bruteForce(positions, box, precision);
      assert.deepEqual(cells, expected, `seed ${seed}, box ${i}: ${box} at precision ${precision}`);
      assert.ok(cells.length <= size);
      compared += cells.length;
      if (expected.length > 1) full++;
    }
  }
  assert.ok(compared > 5_000 && full > 500, `${compared} cells, ${full} boxes with more than one`);
});

test('supply: the cells are those of the partition map, and of the halving', () => {
  const { positions } = worldOf(SEED);
  for (const position of positions) {
    const { lat, lon } = places(position);
    assert.equal(geohashByHalving(lat, lon, 6), cellToString(cellOf(lat, lon)));
  }
});

test('supply: a box that holds very many is gone through in turns, each driver once', () => {
  const { index } = emptyIndex();
  const random = seededRandom(SEED).next;
  const fleet = Array.from({ length: 40_000 }, (_, i) =>
    driver(`d${i}`, 52 + random() * 0.2, 21 + random() * 0.2, { status: i % 3 === 0 ? 'busy' : 'available' }),
  );
  for (const p of fleet) take(index, p);
  const bbox = [21, 52, 21.15, 52.15];
  const { cells, turns } = counted(index, areaOf({ bbox }), 6);
  assert.ok(turns > 1);
  assert.deepEqual(cells, bruteForce(fleet, bbox, 6));
});
