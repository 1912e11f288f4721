// Against brute force over the same fleet, on a real cluster.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { distanceM, toE7 } from '@whereabouts/infra/position';
import { cityFleet } from '../load/places.js';
import { StoreSearch } from './store-search.js';
import { positionOf, StoreUnderTest } from './store-under-test.js';

const SEED = 7;
const RADIUS_M = 5000;
const LIMIT = 10;

const stored = (degrees: number) => toE7(degrees) / 1e7;

test('the search finds the nearest available drivers, also across borders', async () => {
  const fleet = cityFleet(4000, SEED);
  const own = await StoreUnderTest.start(buildPartitionMap(fleet), 3);
  try {
    const status = (i: number) => (i % 2 === 0 ? 'available' : 'busy');
    await own.load(fleet.map((place, i) => positionOf(place, status(i), Date.now())));
    const search = new StoreSearch(own.store, { radiusM: RADIUS_M, limit: LIMIT, maxAgeMs: 60_000 });
    for (const point of fleet.filter((_, i) => i % 20 === 0)) {
      const wanted = fleet
        .filter((_, i) => status(i) === 'available')
        .map(({ lat, lon }) => distanceM(point.lat, point.lon, stored(lat), stored(lon)))
        .filter((m) => m <= RADIUS_M)
        .sort((a, b) => a - b)
        .slice(0, LIMIT);
      const found = await search.nearest(point);
      assert.equal(found.length, wanted.length, `seed ${SEED}, at ${point.id}`);
      for (const [i, m] of found.entries()) {
        // At the rim of the circle Redis and we may differ by its slack.
        assert.ok(
          Math.abs(m - (wanted[i] as number)) < 2,
          `seed ${SEED}, at ${point.id}: ${found} ${wanted}`,
        );
      }
    }
    assert.ok(search.asks >= 200 + 1, 'some questions took more than one partition');
  } finally {
    await own.stop();
  }
});
