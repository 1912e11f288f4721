import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Pause, pauseBetween, pausedMs, seenLateMs, watchOwnPauses } from './own-pauses.js';

const pause = (fromMs: number, toMs: number): Pause => ({ fromMs, toMs });

test('a pause counts as far as it lies within the time', () => {
  const pauses = [pause(100, 150), pause(200, 210)];
  assert.equal(pausedMs(pauses, 0, 1_000), 60);
  assert.equal(pausedMs(pauses, 120, 205), 35);
  assert.equal(pausedMs(pauses, 150, 200), 0);
  assert.equal(pausedMs(pauses, 110, 120), 10);
  assert.equal(pausedMs([], 0, 1_000), 0);
});

test('only the pauses that end with it can have hidden what was seen', () => {
  assert.equal(seenLateMs([pause(1_020, 1_080)], 1_000, 1_080), 60);
  assert.equal(seenLateMs([pause(1_020, 1_080)], 1_000, 1_084), 60, 'it was seen with the next look');
  assert.equal(seenLateMs([pause(1_020, 1_090)], 1_000, 1_084), 64, 'or before the timer was');
  assert.equal(seenLateMs([pause(1_020, 1_080)], 1_050, 1_080), 30, 'it began before');
  assert.equal(seenLateMs([pause(1_010, 1_160)], 1_000, 1_400), 0, 'the process ran since');
  assert.equal(seenLateMs([pause(1_010, 1_160), pause(1_390, 1_400)], 1_000, 1_400), 10);
  assert.equal(seenLateMs([pause(1_010, 1_060), pause(1_065, 1_100)], 1_000, 1_100), 85, 'two in a row');
  assert.equal(seenLateMs([pause(900, 990), pause(1_200, 1_300)], 1_000, 1_100), 0);
  assert.equal(seenLateMs([], 1_000, 1_100), 0);
});

test('a look that is on time, or nearly, shows no pause', () => {
  assert.equal(pauseBetween(1_000, 1_000), null);
  assert.equal(pauseBetween(1_000, 1_004), null);
  assert.deepEqual(pauseBetween(1_000, 1_005), pause(1_000, 1_005));
});

test('time in which this process did nothing else is a pause, until the watch ends', async () => {
  const busyMs = (ms: number) => {
    const fromMs = performance.now();
    while (performance.now() < fromMs + ms);
    return fromMs;
  };
  const pauses: Pause[] = [];
  const end = watchOwnPauses(pauses);
  await sleep(50);
  const fromMs = busyMs(100);
  await sleep(50);
  end();
  // The watch looks every 5 ms, so it noticed the busy time at most that late.
  assert.ok(pausedMs(pauses, fromMs, fromMs + 100) >= 90, JSON.stringify(pauses));
  const seen = pauses.length;
  busyMs(50);
  await sleep(20);
  assert.equal(pauses.length, seen);
});
