import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Stalls } from './stalls.js';

let nowMs = 1000;
let stalls = new Stalls(() => nowMs);
afterEach(() => {
  stalls.stop();
  nowMs = 1000;
  stalls = new Stalls(() => nowMs);
});

const tick = () => stalls.tick(nowMs);

test('a timer on time, or a little late, is no stall', () => {
  for (const lateMs of [0, 20, 99]) {
    nowMs += 50 + lateMs;
    assert.equal(stalls.stalledMs(nowMs), 0);
    tick();
    assert.equal(stalls.stalledMs(nowMs), 0);
  }
});

test('a stall is seen before the timer has had its turn, and for a second after', () => {
  nowMs += 8050;
  assert.equal(stalls.stalledMs(nowMs), 8000);
  tick();
  assert.equal(stalls.stalledMs(nowMs), 8000);
  nowMs += 50;
  tick();
  // A short one in its wake does not hide it.
  nowMs += 250;
  tick();
  assert.equal(stalls.stalledMs(nowMs), 8000);
  nowMs += 800;
  tick();
  assert.equal(stalls.stalledMs(nowMs), 750);
});

test('it is bounded', () => {
  nowMs += 3_600_000;
  assert.equal(stalls.stalledMs(nowMs), 60_000);
});
