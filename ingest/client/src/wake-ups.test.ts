import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { until } from './test-peer.js';
import { WakeUp, WakeUps } from './wake-ups.js';

it('wakes in the order of the times that were set last, and nobody who was taken out', async () => {
  const moves = fc.array(fc.tuple(fc.nat(30), fc.oneof(fc.nat(20), fc.constant(Infinity))), {
    maxLength: 200,
  });
  await fc.assert(
    fc.asyncProperty(moves, async (steps) => {
      const woken: number[] = [];
      const wakeUps = new WakeUps(() => performance.now());
      const sleepers = Array.from({ length: 31 }, () => {
        const sleeper: WakeUp = new WakeUp(() => woken.push(expected.get(sleeper) ?? Infinity));
        return sleeper;
      });
      const expected = new Map<WakeUp, number>();
      const startMs = performance.now();
      for (const [which, afterMs] of steps) {
        const sleeper = sleepers[which] as WakeUp;
        expected.set(sleeper, startMs + afterMs);
        wakeUps.set(sleeper, startMs + afterMs);
      }
      const due = [...expected.values()].filter(Number.isFinite).sort((a, b) => a - b);
      assert.equal(wakeUps.size, due.length);
      await until('all woke', () => wakeUps.size === 0);
      assert.deepEqual(woken, due);
      assert.ok(sleepers.every(({ index }) => index === -1));
    }),
    { numRuns: 30 },
  );
});

it('lets a process end when nobody sleeps', async () => {
  const wakeUps = new WakeUps(() => performance.now());
  const sleeper = new WakeUp(() => {});
  wakeUps.set(sleeper, performance.now() + 3_600_000);
  wakeUps.set(sleeper, Infinity);
  assert.equal(wakeUps.size, 0); // a timer left behind would hold this test's process for an hour
});
