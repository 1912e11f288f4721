import assert from 'node:assert/strict';
import { beforeEach, it } from 'node:test';
import { Comeback } from './comeback.js';
import type { Loss } from './connection.js';
import { DEFAULT_BACKOFF, DEFAULT_TOKEN_BACKOFF } from './reconnect.js';
import { Renewal } from './renewal.js';
import { TokenKeeper } from './token-keeper.js';

const longest = (): number => 1;
const REFUSED: Loss = { code: 4401, reason: 'HTTP 401', status: 401, retryAfterMs: 0 };
const BROKEN: Loss = { code: 1006, reason: '', status: null, retryAfterMs: 0 };

let tokens: TokenKeeper;
let comeback: Comeback;
beforeEach(() => {
  tokens = new TokenKeeper('one', DEFAULT_TOKEN_BACKOFF, longest);
  comeback = new Comeback(tokens, DEFAULT_BACKOFF, longest);
});

it('pauses before the same token up to twice as long each time, and never longer than the bound', () => {
  const pauses = [];
  let nowMs = 0;
  for (let i = 0; i < 9; i++) {
    assert.equal(tokens.choose(nowMs), 'one');
    const { state, reconnectInMs, retryInMs } = comeback.plan(REFUSED, nowMs, false);
    assert.deepEqual([state, reconnectInMs], ['refused', retryInMs]);
    assert.equal(tokens.choose(nowMs + (retryInMs ?? 0) - 1), null, 'it is tried before its time');
    pauses.push((retryInMs ?? 0) / 1000);
    nowMs += retryInMs ?? 0;
  }
  assert.deepEqual(pauses, [10, 20, 40, 80, 160, 300, 300, 300, 300]);
});

it('takes another token for a new beginning, and the first acknowledgement too', () => {
  for (let i = 0; i < 5; i++) comeback.plan(REFUSED, 0, false);
  tokens.choose(1e9);
  assert.equal(comeback.plan(REFUSED, 0, false).retryInMs, 10_000);
  assert.equal(comeback.plan(REFUSED, 0, false).retryInMs, 20_000);
  assert.equal(tokens.take('two'), true);
  assert.equal(tokens.choose(0), 'two', 'it waits for the pause of another');
  assert.equal(comeback.plan(REFUSED, 0, false).retryInMs, 10_000);
  assert.equal(comeback.plan(REFUSED, 0, false).retryInMs, 20_000);
  comeback.proved();
  assert.equal(comeback.plan(REFUSED, 0, false).retryInMs, 10_000);
});

it('asks soon where there may be another token, and at the latest when the old one may be tried', () => {
  tokens.choose(0);
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6].map(() => comeback.plan(REFUSED, 0, true).reconnectInMs),
    [500, 1000, 2000, 4000, 8000, 16_000],
  );
  tokens = new TokenKeeper('one', DEFAULT_TOKEN_BACKOFF, longest);
  comeback = new Comeback(tokens, DEFAULT_BACKOFF, longest);
  tokens.choose(0);
  comeback.plan(REFUSED, 0, true);
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => comeback.askAtMs(1000)),
    [2000, 3000, 5000, 9000, 10_000],
  );
});

it('goes on with a token that the app brought while the last one was refused', () => {
  tokens.choose(0);
  tokens.take('two');
  assert.deepEqual(comeback.plan(REFUSED, 0, false).reconnectInMs, 500);
  assert.equal(tokens.choose(500), 'two');
  assert.equal(tokens.take('one'), false);
});

it('adds its random wait to what Retry-After asks for', () => {
  assert.equal(comeback.plan({ ...BROKEN, retryAfterMs: 7000 }, 0, false).reconnectInMs, 7500);
  tokens.choose(0);
  const { reconnectInMs, retryInMs } = comeback.plan({ ...REFUSED, retryAfterMs: 7000 }, 0, true);
  assert.deepEqual([reconnectInMs, retryInMs], [8000, 17_000]);
});

it('is final after 4403 and 4409 alone', () => {
  assert.deepEqual(comeback.plan({ ...BROKEN, code: 4403 }, 0, true), {
    state: 'closed',
    reconnectInMs: null,
    why: 'forbidden',
    isRefusal: true,
    retryInMs: null,
  });
  assert.deepEqual(comeback.plan({ ...BROKEN, code: 4409 }, 0, true).isRefusal, false);
  assert.equal(comeback.plan({ ...BROKEN, code: 4403, status: 403 }, 0, true).state, 'refused');
});

it('renews a token again after growing pauses, within bounds, and from the beginning after a calm time', () => {
  const renewal = new Renewal(DEFAULT_TOKEN_BACKOFF, longest);
  renewal.nackedWithoutSeq(0, 1000);
  assert.equal(renewal.atMs, Infinity, 'no token was sent');
  const pauses = [];
  for (let i = 0; i < 8; i++) {
    renewal.sent(0);
    assert.equal(renewal.isRefused, false);
    renewal.nackedWithoutSeq(10_000, 1000);
    assert.equal(renewal.isRefused, true);
    pauses.push((renewal.atMs - 10_000) / 1000);
  }
  assert.deepEqual(pauses, [11, 21, 41, 81, 161, 301, 301, 301]);
  renewal.sent(700_000);
  renewal.nackedWithoutSeq(710_001, 0);
  assert.equal(renewal.isRefused, false, 'that nack is about something else');
  renewal.nackedWithoutSeq(705_000, 0);
  assert.equal(renewal.atMs, 705_000 + 10_000);
});
