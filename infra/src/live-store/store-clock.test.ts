import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreClock } from './store-clock.js';

const NODE_AHEAD_MS = 1_700_000_000_000;

test('before the first answer it is this process that tells the time', () => {
  assert.ok(Math.abs(new StoreClock().at(performance.now()) - Date.now()) < 1000);
});

test('an answer that is read late, or was long on its way, does not set the clock back', () => {
  const clock = new StoreClock();
  clock.heard(NODE_AHEAD_MS + 1000, 1001);
  assert.equal(clock.at(2000), NODE_AHEAD_MS + 1999);
  // Answered at 2000, read at 12,000 by a process that stood still.
  clock.heard(NODE_AHEAD_MS + 2000, 12_000);
  assert.equal(clock.at(12_000), NODE_AHEAD_MS + 11_999);
});

test('a quicker answer corrects it', () => {
  const clock = new StoreClock();
  clock.heard(NODE_AHEAD_MS + 1000, 1100);
  clock.heard(NODE_AHEAD_MS + 1200, 1201);
  assert.equal(clock.at(2000), NODE_AHEAD_MS + 1999);
});

test('of nodes that differ it is the one that is ahead, whichever answers last', () => {
  const clock = new StoreClock();
  for (let ms = 1000; ms < 60_000; ms += 100) {
    clock.heard(NODE_AHEAD_MS + ms, ms);
    clock.heard(NODE_AHEAD_MS + ms - 400, ms);
    assert.equal(clock.at(ms), NODE_AHEAD_MS + ms);
  }
});

test('a clock that was set back is followed within two windows', () => {
  const clock = new StoreClock();
  for (let ms = 0; ms < 15_000; ms += 100) clock.heard(NODE_AHEAD_MS + ms, ms);
  for (let ms = 15_000; ms < 36_000; ms += 100) clock.heard(NODE_AHEAD_MS + ms - 3_600_000, ms);
  assert.equal(clock.at(36_000), NODE_AHEAD_MS + 36_000 - 3_600_000);
});
