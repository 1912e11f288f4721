import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { withDeadline } from './deadline.js';

const never = new Promise<string>(() => {});
const late = (): never => {
  throw new Error('late');
};

test('work in time: its result or its error, and no timer is left', async () => {
  assert.equal(await withDeadline(Promise.resolve('done'), 60_000, late), 'done');
  await assert.rejects(withDeadline(Promise.reject(new Error('failed')), 60_000, late), /failed/);
  assert.ok(!process.getActiveResourcesInfo().includes('Timeout'));
});

test('late work: what onLate returns or throws, and no unhandled rejection when the work fails later', async () => {
  assert.equal(await withDeadline(never, 1, () => 'instead'), 'instead');
  await assert.rejects(withDeadline(never, 1, late), /late/);
  await assert.rejects(withDeadline(never, 1), /no answer within 1 ms/);
  const failsLater = delay(20).then(() => Promise.reject(new Error('failed later')));
  await assert.rejects(withDeadline(failsLater, 1, late), /^Error: late/);
  await delay(40);
});
