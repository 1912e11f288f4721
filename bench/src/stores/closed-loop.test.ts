import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closedLoop, quantile } from './closed-loop.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('so many calls are under way at once, each with a number of its own', async () => {
  const numbers: number[] = [];
  let underWay = 0;
  let most = 0;
  const call = async (number: number) => {
    numbers.push(number);
    most = Math.max(most, ++underWay);
    await turn();
    underWay--;
    return 2;
  };
  const { calls, done, latenciesMs } = await closedLoop(3, 0.05, call, 10);
  assert.equal(most, 3);
  assert.equal(underWay, 0);
  assert.deepEqual(
    numbers,
    Array.from({ length: calls }, (_, i) => 10 + i),
  );
  assert.equal(done, 2 * calls);
  assert.equal(latenciesMs.length, calls);
  assert.deepEqual(
    latenciesMs,
    [...latenciesMs].sort((a, b) => a - b),
  );
});

test('a failure ends the loop', async () => {
  let calls = 0;
  const call = async () => {
    calls++;
    await turn();
    if (calls >= 5) throw new Error('refused');
    return 1;
  };
  await assert.rejects(closedLoop(2, 3600, call, 0), /refused/);
});

test('a quantile is one of the values', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  assert.equal(quantile(hundred, 0.5), 50);
  assert.equal(quantile(hundred, 0.99), 99);
  assert.equal(quantile(hundred, 1), 100);
  assert.equal(quantile([7], 0.01), 7);
  assert.equal(quantile([], 0.5), Number.NaN);
});
