import assert from 'node:assert/strict';
import { it } from 'node:test';
import { afterClose, DEFAULT_BACKOFF, reconnectDelayMs } from './reconnect.js';

it('waits up to twice as long each time, and never longer than the bound', () => {
  const longest = (attempt: number): number => reconnectDelayMs('backoff', attempt, DEFAULT_BACKOFF, () => 1);
  assert.deepEqual([0, 1, 2, 5, 6, 7, 5000].map(longest), [500, 1000, 2000, 16_000, 30_000, 30_000, 30_000]);
  assert.equal(
    reconnectDelayMs('backoff', 5, DEFAULT_BACKOFF, () => 0),
    0,
  );
});

it('hands over within a second once, then waits like everybody', () => {
  assert.equal(
    reconnectDelayMs('handover', 0, DEFAULT_BACKOFF, () => 1),
    1000,
  );
  assert.equal(
    reconnectDelayMs('handover', 4, DEFAULT_BACKOFF, () => 1),
    8000,
  );
});

it('spares a server that said it has too much', () => {
  assert.equal(
    reconnectDelayMs('overload', 0, DEFAULT_BACKOFF, () => 1),
    4000,
  );
});

it('knows what each close code asks for', () => {
  const codes = [1000, 1001, 1006, 1009, 1012, 1013, 4400, 4401, 4403, 4408, 4409, 4429];
  assert.deepEqual(codes.map(afterClose), [
    'backoff',
    'handover',
    'backoff',
    'backoff',
    'handover',
    'overload',
    'backoff',
    'fresh_token',
    'never',
    'backoff',
    'never',
    'overload',
  ]);
});
