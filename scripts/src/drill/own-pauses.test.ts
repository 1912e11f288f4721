import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Pause, pausedMs, watchOwnPauses } from './own-pauses.js';

test('a pause counts as far as it lies within the time', () => {
  const pauses = [
    { fromMs: 100, toMs: 150 },
    { fromMs: 200, toMs: 210 },
  ];
  assert.equal(pausedMs(pauses, 0, 1_000), 60);
  assert.equal(pausedMs(pauses, 120, 205), 35);
  assert.equal(pausedMs(pauses, 150, 200), 0);
  assert.equal(pausedMs(pauses, 110, 120), 10);
  assert.equal(pausedMs([], 0, 1_000), 0);
});

test('time in which this process did nothing else is a pause; waiting is none', async () => {
  const pauses: Pause[] = [];
  const end = watchOwnPauses(pauses);
  await sleep(50);
  const fromMs = performance.now();
  while (performance.now() < fromMs + 100);
  const toMs = performance.now();
  await sleep(50);
  end();
  // The first look after it was due up to one interval before or after it began.
  assert.ok(pausedMs(pauses, fromMs, toMs) >= 90, JSON.stringify(pauses));
  const seen = pauses.length;
  await sleep(50);
  assert.equal(pauses.length, seen, 'it has ended');
});
