// Compares the search with a sort of all drivers: the same drivers in the same order, anywhere on the map.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_LATITUDE, type Position } from '@whereabouts/infra/position';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { bruteForce, driver, emptyIndex, idsOf, NOW_MS, question, take } from './fixtures/filled-index.js';
import { NearestSearch, type Question } from './nearest.js';

const SEED = 20_261_127;
const WORLDS = 250;
const QUESTIONS = 400;
const CITIES: readonly [lat: number, lon: number][] = [
  ...([
    [52.23, 21.01],
    [-36.85, 174.76],
    [64.15, -21.94],
    [1.35, 103.82],
    [40.71, -74.01],
  ] as const),
  // The edges of the world.
  ...([
    [0, 0],
    [-16.5, 180],
    [-16.5, -180],
    [MAX_LATITUDE, 20],
    [-MAX_LATITUDE, 179.99],
  ] as const),
].map(([lat, lon]) => [lat, lon]);
const SPREADS = [0, 1e-7, 1e-5, 0.001, 0.05, 0.5, 20];

interface World {
  positions: Position[];
  place(): [lat: number, lon: number];
  pick<T>(from: readonly T[]): T;
  random(): number;
}

function worldOf(seed: number): World {
  const random = seededRandom(seed).next;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const cities = [pick(CITIES), pick(CITIES)];
  const spread = pick(SPREADS);
  const place = (): [number, number] => {
    const [lat, lon] = pick(cities);
    const away = () => (random() - 0.5) * 2 * (random() < 0.8 ? spread : pick(SPREADS));
    const east = lon + away();
    return [
      Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, lat + away())),
      east > 180 ? east - 360 : east < -180 ? east + 360 : east,
    ];
  };
  const positions = Array.from({ length: pick([1, 20, 200, 1_000]) }, (_, i) =>
    driver(`d${i}`, ...place(), {
      status: pick(['available', 'available', 'busy', 'offline']),
      services: Math.floor(random() * 4),
      recordedAtMs: NOW_MS - pick([0, 1_000, 9_999, 10_001]),
    }),
  );
  return { positions, place, pick, random };
}

function questionIn({ place, pick, positions, random }: World): Question {
  return question(...place(), {
    radiusM: pick([1, 50, 1_000, 5_000, 50_000, 50_000]),
    limit: pick([1, 3, 10, 100]),
    status: pick(['available', 'busy']),
    services: pick([0, 0, 1, 2]),
    maxAgeMs: pick([10_000, 1_000, 1]),
    exclude: random() < 0.2 ? positions.slice(0, 5).map(({ driverId }) => driverId) : [],
  });
}

test(`nearest: ${WORLDS * QUESTIONS} random questions are answered as by a sort of everyone`, () => {
  for (let world = 0; world < WORLDS; world++) {
    const seed = SEED + world;
    const it = worldOf(seed);
    const { index } = emptyIndex();
    const search = new NearestSearch(index);
    // Twice, from elsewhere, so that cells are divided and joined again.
    for (const p of it.positions) take(index, { ...p, latE7: -p.latE7, recordedAtMs: p.recordedAtMs - 1 });
    for (const p of it.positions) take(index, p);
    for (let i = 0; i < QUESTIONS; i++) {
      const q = questionIn(it);
      search.find(q, NOW_MS);
      assert.deepEqual(
        idsOf(search, index),
        bruteForce(it.positions, q),
        `seed ${seed}, question ${i}: ${JSON.stringify(q)}`,
      );
    }
  }
});

test('nearest: 20,000 drivers who move, change their status, come and go', () => {
  const random = seededRandom(SEED).next;
  const { index } = emptyIndex();
  const search = new NearestSearch(index);
  const fleet = new Map<string, Position>();
  let session = 0;
  for (let round = 0; round < 8; round++) {
    for (let i = 0; i < 20_000; i++) {
      const id = `d${Math.floor(random() * 20_000)}`;
      const spread = 0.2 / (1 + (i % 7));
      const p = driver(id, 52 + (random() - 0.5) * spread, 21 + (random() - 0.5) * spread, {
        status: (['available', 'busy', 'offline'] as const)[Math.floor(random() * 2.2)] as 'busy',
        session: ++session,
      });
      fleet.set(id, p);
      take(index, p);
    }
    for (let i = 0; i < 100; i++) {
      const q = question(52 + (random() - 0.5) * 0.2, 21 + (random() - 0.5) * 0.2, { limit: 20 });
      search.find(q, NOW_MS);
      assert.deepEqual(idsOf(search, index), bruteForce(fleet.values(), q), `round ${round}, question ${i}`);
      assert.ok(search.looked < 1_500, `${search.looked} looked at`);
    }
  }
});

test('nearest: a queue of 3,000 on one spot, ties by id', () => {
  const { index } = emptyIndex();
  const search = new NearestSearch(index);
  const queue = Array.from({ length: 3_000 }, (_, i) => driver(`d${i}`, 52.2, 21));
  for (const p of queue) take(index, p);
  const q = question(52.2, 21, { limit: 5 });
  search.find(q, NOW_MS);
  assert.deepEqual(idsOf(search, index), bruteForce(queue, q));
  assert.equal(search.reachM, 0);
  for (const p of queue) take(index, { ...p, status: 'offline', recordedAtMs: p.recordedAtMs + 1 });
  search.find(q, NOW_MS);
  assert.equal(search.count, 0);
});
