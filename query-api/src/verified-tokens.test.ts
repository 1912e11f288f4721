import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VerifiedTokens } from './verified-tokens.js';

function verifiedTokens(expiresAtMs = 1e9) {
  const clock = { ms: 0 };
  const verify = async (token: string) => {
    if (token === 'bad') throw new Error('bad');
    return { subject: `of ${token}`, expiresAtMs, scopes: [] };
  };
  const it = new VerifiedTokens(verify, () => clock.ms);
  return { it, clock };
}

test('tokens: known for half a minute, then verified again', async () => {
  const { it, clock } = verifiedTokens();
  assert.equal(it.known('a'), undefined);
  const caller = { subject: 'of a', tokenExpiresAtMs: 1e9 };
  assert.deepEqual(await it.verify('a'), caller);
  clock.ms = 29_999;
  assert.deepEqual(it.known('a'), caller);
  clock.ms = 30_000;
  assert.equal(it.known('a'), undefined);
  await it.verify('a');
  assert.deepEqual(it.known('a'), caller);
});

test('tokens: never known for longer than they are good, and never where they are bad', async () => {
  const { it, clock } = verifiedTokens(5_000);
  await it.verify('a');
  clock.ms = 5_000;
  assert.equal(it.known('a'), undefined);
  await assert.rejects(it.verify('bad'));
  assert.equal(it.known('bad'), undefined);
});

test('tokens: so many at most, the longest known is forgotten', async () => {
  const { it } = verifiedTokens();
  for (let i = 0; i <= 1_000; i++) await it.verify(`t${i}`);
  assert.deepEqual([it.known('t0'), it.known('t1')?.subject], [undefined, 'of t1']);
});
