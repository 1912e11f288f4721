import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OffsetTrace } from './offset-trace.js';

function moving(everyMs: number, untilMs: number): OffsetTrace {
  const trace = new OffsetTrace();
  for (let ms = 0, offset = 0; ms <= untilMs; ms += 100) {
    if (ms % everyMs === 0) offset += 10;
    trace.add(offset, ms);
  }
  return trace;
}

test('one that moved all the time has stopped when it stands still for half a second', () => {
  const trace = moving(100, 5000);
  assert.equal(trace.hasStopped(5400), false);
  assert.equal(trace.hasStopped(5500), true);
});

test('one that moves now and then has to stand still for longer', () => {
  const trace = moving(2000, 20_000);
  assert.equal(trace.hasStopped(23_000), false);
  assert.equal(trace.hasStopped(26_000), true);
});

test('of one that was hardly seen to move nothing is known', () => {
  assert.equal(new OffsetTrace().hasStopped(60_000), false);
  assert.equal(moving(100, 500).hasStopped(60_000), false);
});
