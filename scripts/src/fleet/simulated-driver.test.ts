import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { distanceM } from '@whereabouts/infra/position';
import { CITIES } from './cities.js';
import { fleetSample, SimulatedDriver } from './simulated-driver.js';

const HABITS = { pace: 1, offDuty: 0.3 };
const FASTEST_MPS = 15;

test('the same seed gives the same drive', () => {
  const [a, b] = [1, 1].map((seed) => new SimulatedDriver(seed, 7, CITIES, HABITS));
  for (let step = 0; step < 500; step++) {
    assert.equal(a?.advance(2), b?.advance(2));
    assert.deepEqual(a?.position(), b?.position());
  }
  const other = new SimulatedDriver(2, 7, CITIES, HABITS);
  assert.notDeepEqual(other.position(), a?.position());
});

test('nobody leaps, and everybody stays near the city', () => {
  for (let index = 0; index < 100; index++) {
    const driver = new SimulatedDriver(3, index, CITIES, HABITS);
    let before = driver.position();
    for (let step = 0; step < 300; step++) {
      driver.advance(2);
      const now = driver.position();
      const metres = distanceM(before.lat, before.lon, now.lat, now.lon);
      assert.ok(metres <= 2 * FASTEST_MPS * 1.02, `driver ${index} moved ${metres} m in 2 s`);
      assert.ok(distanceM(driver.city.lat, driver.city.lon, now.lat, now.lon) < 60_000);
      before = now;
    }
  }
});

test('trips are busy, end, and some drivers go off duty and come back', () => {
  const driver = new SimulatedDriver(4, 1, CITIES, HABITS);
  const events = { trip_ended: 0, came_on_duty: 0 };
  let busy = 0;
  for (let step = 0; step < 200_000; step++) {
    const event = driver.advance(2);
    if (event) events[event]++;
    if (driver.position().status === 'busy') busy++;
  }
  assert.ok(events.trip_ended > 50);
  assert.ok(events.came_on_duty > 5 && events.came_on_duty < events.trip_ended);
  assert.ok(busy > 20_000 && busy < 190_000);
});

test('its density makes a map of 64 partitions', () => {
  assert.equal(buildPartitionMap(fleetSample(CITIES, 1)).partitions, 64);
});
