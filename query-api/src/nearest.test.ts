// The search against a sort of everyone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LivePosition } from '@whereabouts/infra/live-store/answers';
import type { NearQuery } from '@whereabouts/infra/live-store/live-store';
import { toE7 } from '@whereabouts/infra/position';
import fc from 'fast-check';
import { cityOf, coordinates, driver, type MemoryWorld, NOW_MS, question } from './fixtures/memory-world.js';
import type { MissingReason } from './missing.js';
import { findNearest, type Question } from './nearest.js';

function idsOf(found: Awaited<ReturnType<typeof findNearest>>): string[] {
  return found.hits.map(({ position }) => position.driverId);
}

const PLACES: [lat: number, lon: number][] = [
  [52.23, 21.01],
  [0, 0],
  [30.27, -97.74],
  [-16.5, 180],
  [65.1, -179.999],
  [84.9, 12],
  [-85.04, -180],
];

function wrap(lat: number, lon: number): [lat: number, lon: number] {
  const clamped = Math.max(-85.0511, Math.min(85.0511, lat));
  return [clamped, lon >= 180 ? lon - 360 : lon < -180 ? lon + 360 : lon];
}

const offset = fc.double({ min: -1, max: 1, noNaN: true });
const near = fc.record({ dLat: offset, dLon: offset, size: fc.constantFrom(0, 0.0003, 0.01, 0.1, 0.4) });

const aDriver = fc.record({
  ...{ at: near, status: fc.constantFrom<'available' | 'busy'>('available', 'available', 'busy') },
  ageMs: fc.constantFrom(0, 2_000, 9_999, 10_000, 10_001, 60_000),
  services: fc.constantFrom(0, 1, 2, 3, 0xffff),
});

const aQuestion = fc.record({
  at: near,
  radiusM: fc.constantFrom(1, 80, 1_000, 5_000, 50_000),
  limit: fc.constantFrom(1, 2, 5, 10, 100),
  services: fc.constantFrom(0, 0, 0, 1, 3),
  status: fc.constantFrom<'available' | 'busy'>('available', 'busy'),
  maxAgeMs: fc.constantFrom(1, 5_000, 10_000),
  excluded: fc.constantFrom(0, 0, 3, 20),
});

const aCity = fc.record({
  place: fc.constantFrom(...PLACES),
  drivers: fc.array(aDriver, { minLength: 0, maxLength: 150 }),
  partitions: fc.constantFrom(1, 2, 7, 16, 64),
  questions: fc.array(aQuestion, { minLength: 8, maxLength: 8 }),
});

type City = typeof aCity extends fc.Arbitrary<infer T> ? T : never;

function spot(place: [number, number], at: { dLat: number; dLon: number; size: number }): [number, number] {
  return wrap(place[0] + at.dLat * at.size, place[1] + at.dLon * at.size);
}

function build(city: City): { world: MemoryWorld; drivers: LivePosition[]; questions: Question[] } {
  const drivers = city.drivers.map(({ at, ageMs, ...rest }) =>
    driver(...spot(city.place, at), { ...rest, recordedAtMs: NOW_MS - ageMs }),
  );
  const world = cityOf(drivers, city.partitions);
  const questions = city.questions.map(({ at, excluded, ...rest }) => {
    const exclude = new Set(drivers.slice(0, excluded).map(({ driverId }) => driverId));
    return question(...spot(city.place, at), { ...rest, exclude });
  });
  return { world, drivers, questions };
}

test('nearest: the same drivers in the same order as a sort of everyone', async () => {
  await fc.assert(
    fc.asyncProperty(aCity, async (city) => {
      const { world, questions } = build(city);
      for (const q of questions) {
        const found = await findNearest(world, q);
        assert.deepEqual(idsOf(found), world.bruteForce(q));
        assert.deepEqual(found.missing, []);
      }
    }),
    { numRuns: 600 },
  );
});

test('nearest: what is missing is named, and whoever answers is sorted all the same', async () => {
  const faults = fc.array(fc.constantFrom<MissingReason>('unreachable', 'timeout'), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(aCity, faults, async (city, reasons) => {
      const { world, questions } = build(city);
      for (const [i, reason] of reasons.entries()) world.faults.set((i * 5) % world.map.partitions, reason);
      for (const q of questions) {
        const found = await findNearest(world, q);
        const expected = world.bruteForce(q);
        assert.deepEqual(idsOf(found), expected);
        const last = found.hits.length === q.limit ? (found.hits.at(-1)?.distanceM ?? 0) : q.radiusM;
        const dark = world.map
          .cover(q.lat, q.lon, last)
          .filter((partition) => world.faults.has(partition))
          .map((partition) => ({ partition, reason: world.faults.get(partition) }));
        assert.deepEqual(found.missing, dark);
      }
    }),
    { numRuns: 200 },
  );
});

test('nearest: 300 busy and 300 stale drivers stand nearer than the free ones', async () => {
  const drivers: LivePosition[] = [];
  for (let i = 0; i < 300; i++) {
    drivers.push(driver(52.2 + i * 1e-6, 21, { status: 'busy' }));
    drivers.push(driver(52.2, 21 + i * 1e-6, { recordedAtMs: NOW_MS - 60_000 }));
  }
  for (let i = 0; i < 40; i++) drivers.push(driver(52.21 + i * 1e-4, 21.01));
  const world = cityOf(drivers, 4);
  const q = question(52.2, 21);
  const found = await findNearest(world, q);
  assert.equal(found.hits.length, 10);
  assert.deepEqual(idsOf(found), world.bruteForce(q));
  assert.deepEqual(found.missing, []);
});

test('nearest: a queue of 500 free drivers on one spot is sorted exactly', async () => {
  const drivers = Array.from({ length: 500 }, (_, i) => driver(52.2 + (i % 7) * 1e-7, 21 + (i % 11) * 1e-7));
  const world = cityOf(drivers, 1);
  const q = question(52.2, 21, { limit: 3 });
  const found = await findNearest(world, q);
  assert.deepEqual(idsOf(found), world.bruteForce(q));
  assert.deepEqual(found.missing, []);
});

test('nearest: the limits of a search end as `crowded`, not in an endless one', async () => {
  const queue = Array.from({ length: 3_000 }, () => driver(52.2, 21));
  const world = cityOf(queue, 1);
  const found = await findNearest(world, question(52.2, 21));
  assert.equal(found.hits.length, 10);
  assert.deepEqual(found.missing, [{ partition: 0, reason: 'crowded' }]);
  assert.ok(world.asks <= 5 && world.largestCount <= 2_000);

  const stale = Array.from({ length: 2_500 }, () => driver(10, 10, { recordedAtMs: NOW_MS - 60_000 }));
  const behind = cityOf([...stale, driver(10.01, 10)], 1);
  const truncated = await findNearest(behind, question(10, 10));
  assert.deepEqual(truncated.hits, []);
  assert.deepEqual(truncated.missing, [{ partition: 0, reason: 'crowded' }]);
});

test('nearest: a driver in two partitions is answered once, as the newer record says', async () => {
  await fc.assert(
    fc.asyncProperty(aCity, fc.array(near, { maxLength: 30 }), async (city, moves) => {
      const { world, drivers, questions } = build(city);
      for (const [i, move] of moves.entries()) {
        const old = drivers[i];
        if (!old) break;
        const [lat, lon] = spot(city.place, move);
        const moved = { ...old, latE7: toE7(lat), lonE7: toE7(lon), recordedAtMs: old.recordedAtMs + 1 };
        if (world.map.partitionOf(lat, lon) !== world.map.partitionOf(...coordinates(old))) world.add(moved);
      }
      for (const q of questions) {
        const found = await findNearest(world, q);
        const ids = idsOf(found);
        assert.equal(new Set(ids).size, ids.length);
        assert.ok(ids.length === q.limit || ids.length >= world.bruteForce(q).length);
        assert.deepEqual(found.missing, []);
      }
    }),
    { numRuns: 300 },
  );
});

test('nearest: the older record of a driver that crossed the border is dropped and counted', async () => {
  const drivers = Array.from({ length: 60 }, (_, i) => driver(52.2 + (i % 8) * 0.01, 21 + (i >> 3) * 0.01));
  const world = cityOf(drivers, 8);
  const old = drivers[0] as LivePosition;
  const q = question(...coordinates(old), { limit: 60, radiusM: 50_000 });
  const moved = driver(52.27, 21.06, { driverId: old.driverId, recordedAtMs: old.recordedAtMs + 1 });
  world.add(moved);
  const found = await findNearest(world, q);
  assert.equal(found.ghosts, 1);
  assert.equal(found.hits.length, 60);
  const hit = found.hits.find(({ position }) => position.driverId === old.driverId);
  assert.equal(hit?.position.latE7, moved.latE7);
});

test('nearest: hits of a silent or warming partition are given, and the partition is missing', async () => {
  const world = cityOf([driver(52.2, 21)], 1);
  for (const reason of ['silent', 'warming'] as const) {
    world.faults.set(0, reason);
    const found = await findNearest(world, question(52.2, 21));
    assert.equal(found.hits.length, 1);
    assert.deepEqual(found.missing, [{ partition: 0, reason }]);
    assert.equal(found.answered, 1);
  }
  world.faults.set(0, 'unreachable');
  assert.equal((await findNearest(world, question(52.2, 21))).answered, 0);
});

test('nearest: a partition that fails when it is asked again keeps what it said, and is missing', async () => {
  const queue = Array.from({ length: 300 }, (_, i) => driver(52.2, 21 + i * 1e-7));
  const world = cityOf(queue, 1);
  let asks = 0;
  const failing = {
    map: world.map,
    density: world.density,
    get: world.get,
    ask: async (partition: number, query: NearQuery) =>
      asks++ === 0 ? world.ask(partition, query) : ('timeout' as const),
  };
  const found = await findNearest(failing, question(52.2, 21));
  assert.equal(found.hits.length, 10);
  assert.equal(found.answered, 1);
  assert.deepEqual(found.missing, [{ partition: 0, reason: 'timeout' }]);
});

test('nearest: in the middle of a dense partition one ask is enough', async () => {
  const drivers = Array.from({ length: 3_000 }, (_, i) =>
    driver(52.2 + (i % 60) * 0.002, 21 + Math.floor(i / 60) * 0.002),
  );
  const world = cityOf(drivers, 4);
  const asks: number[] = [];
  for (const position of drivers.slice(0, 500)) {
    world.asks = 0;
    await findNearest(world, question(...coordinates(position)));
    asks.push(world.asks);
  }
  asks.sort((a, b) => a - b);
  assert.equal(asks[250], 1);
});

test('nearest: of whom only the ghost is seen, the newest record is looked up', async () => {
  const drivers = Array.from({ length: 400 }, (_, i) =>
    driver(52.2 + (i % 20) * 0.004, 21 + Math.floor(i / 20) * 0.004),
  );
  const world = cityOf(drivers, 8);
  const here = { lat: 52.2385, lon: 21.0385 };
  const home = world.map.partitionOf(here.lat, here.lon);
  const far = [...Array(8).keys()].find((partition) => partition !== home) as number;
  const ghost = (id: string) =>
    driver(here.lat, here.lon, { driverId: id, movedTo: far, recordedAtMs: NOW_MS - 2_000 });
  // One is busy now, one is out of reach, of the third nothing newer can be found.
  for (const id of ['busy', 'gone', 'lost']) world.add(ghost(id), home);
  world.add(driver(here.lat, here.lon, { driverId: 'busy', status: 'busy' }), far);
  world.add(driver(here.lat + 30, here.lon, { driverId: 'gone' }), far);
  const found = await findNearest(world, question(here.lat, here.lon, { limit: 5 }));
  const ids = found.hits.map(({ position }) => position.driverId);
  assert.equal(ids[0], 'lost');
  assert.ok(!ids.includes('busy') && !ids.includes('gone'));
  assert.equal(ids.length, 5);
});
