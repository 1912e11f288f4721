import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TraceClock } from './trace-clock.js';

const HOUR_MS = 3_600_000;

test('rows are as far apart as they were, divided by the speed', () => {
  const clock = new TraceClock(10, 5_000);
  assert.deepEqual(
    [0, 1_000, 61_000].map((ms) => clock.dueAtMs(1_700_000_000_000 + ms)),
    [5_000, 5_100, 11_100],
  );
});

test('a row out of order is due at once and holds nobody up', () => {
  const clock = new TraceClock(1, 0);
  clock.dueAtMs(10_000);
  assert.equal(clock.dueAtMs(12_000), 2_000);
  assert.equal(clock.dueAtMs(11_000), 2_000);
  assert.equal(clock.dueAtMs(13_000), 3_000);
  assert.equal(clock.leaps, 0);
});

test('a leap, there and back, is not waited for', () => {
  const clock = new TraceClock(1, 0);
  clock.dueAtMs(0);
  assert.equal(clock.dueAtMs(48 * HOUR_MS), 0);
  assert.equal(clock.dueAtMs(1_000), 0);
  assert.equal(clock.dueAtMs(2_000), 1_000);
  assert.equal(clock.leaps, 2);
});
