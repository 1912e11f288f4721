import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  afterClose,
  DEFAULT_BACKOFF,
  DEFAULT_TOKEN_BACKOFF,
  growingPauseMs,
  reconnectDelayMs,
  retryAfterMs,
} from './reconnect.js';

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
  assert.deepEqual(
    codes.map((code) => afterClose(code)),
    [
      'backoff',
      'handover',
      'backoff',
      'backoff',
      'handover',
      'overload',
      'backoff',
      'token_refused',
      'never',
      'backoff',
      'never',
      'overload',
    ],
  );
});

it('takes a refusal by HTTP for no more final than one of the token', () => {
  assert.equal(afterClose(4403, 403), 'token_refused');
  assert.equal(afterClose(4401, 401), 'token_refused');
  assert.equal(afterClose(1013, 429), 'overload');
});

it('lets the pauses of a refused token grow, whatever the chance', () => {
  const pausesS = (chance: number): number[] =>
    [0, 1, 2, 4, 5, 6, 5000].map((i) => growingPauseMs(i, DEFAULT_TOKEN_BACKOFF, () => chance) / 1000);
  assert.deepEqual(pausesS(0), [5, 10, 20, 80, 150, 150, 150]);
  assert.deepEqual(pausesS(1), [10, 20, 40, 160, 300, 300, 300]);
});

it('reads Retry-After in seconds and as a date, within a bound', () => {
  const date = 'Thu, 01 Jan 2026 00:00:00 GMT';
  const cases: [string | undefined, string | undefined, number][] = [
    [undefined, date, 0],
    ['0', date, 0],
    ['2', undefined, 2000],
    [' 120 ', date, 120_000],
    ['86400', date, 300_000],
    ['Thu, 01 Jan 2026 00:00:07 GMT', date, 7000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', date, 0],
    ['Wed, 31 Dec 2025 00:00:00 GMT', undefined, 0],
    ['soon', date, 0],
    ['-5', date, 0],
    ['1.5', date, 0],
    ['9'.repeat(400), date, 300_000],
  ];
  for (const [retryAfter, now, ms] of cases) assert.equal(retryAfterMs(retryAfter, now), ms, retryAfter);
});
