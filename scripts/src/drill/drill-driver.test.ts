// Where the drivers of a drill are placed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPartitionMap, evenPartitionMap } from '@whereabouts/infra/partition-map';
import { CITIES } from '../fleet/cities.js';
import { fleetSample } from '../fleet/simulated-driver.js';
import { spotOf } from './drill-driver.js';

test('in every partition of a map there is a spot, and its surroundings are in no other', () => {
  for (const map of [buildPartitionMap(fleetSample(CITIES, 1)), evenPartitionMap(1), evenPartitionMap(2)]) {
    for (let partition = 0; partition < map.partitions; partition++) {
      const { lat, lon } = spotOf(map, partition);
      // The first cell of the first partition of an even map is where Redis cannot store positions.
      if (Math.abs(lat) < 85) assert.deepEqual(map.cover(lat, lon, 100), [partition]);
    }
  }
});
