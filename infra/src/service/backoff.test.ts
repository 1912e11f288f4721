import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from './backoff.js';

/** How long it waits after each of so many failures in a row. */
function waits(backoff: Backoff, failures: number): number[] {
  return Array.from({ length: failures }, () => {
    backoff.failed(0);
    let ms = 0;
    while (!backoff.mayTry(ms)) ms++;
    return ms;
  });
}

test('waits twice as long each time, up to the limit, for ever', () => {
  const backoff = new Backoff({ firstMs: 100, limitMs: 5000, random: () => 1 });
  assert.ok(backoff.mayTry(0));
  assert.deepEqual(waits(backoff, 8), [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  for (let i = 0; i < 2000; i++) backoff.failed(0);
  assert.ok(!backoff.mayTry(4999) && backoff.mayTry(5000));
});

test('chance moves it within the upper half, and a success ends it', () => {
  const backoff = new Backoff({ firstMs: 100, limitMs: 5000, random: () => 0 });
  assert.deepEqual(waits(backoff, 3), [50, 100, 200]);
  assert.equal(backoff.failures, 3);
  backoff.succeeded();
  assert.equal(backoff.failures, 0);
  assert.ok(backoff.mayTry(0));
  assert.deepEqual(waits(backoff, 1), [50]);
});
