import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TokenBucket } from './rate-limit.js';

const LIMIT = { perS: 5, burst: 10 };
const at = (nowMs: number, stalledMs = 0) => ({ nowMs, stalledMs });

/** Takes at even distances and returns how many were granted and the longest spell at a refusal. */
function run(bucket: TokenBucket, fromMs: number, perS: number, seconds: number) {
  let granted = 0;
  let longestMs = 0;
  for (let i = 0; i < perS * seconds; i++) {
    const nowMs = fromMs + (i * 1000) / perS;
    if (bucket.take(LIMIT, at(nowMs))) granted++;
    else longestMs = Math.max(longestMs, bucket.tooFastMs(nowMs));
  }
  return { granted, longestMs };
}

test('a burst of ten passes, the eleventh does not', () => {
  const bucket = new TokenBucket(LIMIT, 0);
  for (let i = 0; i < 10; i++) assert.equal(bucket.take(LIMIT, at(0)), true);
  assert.equal(bucket.take(LIMIT, at(0)), false);
  assert.equal(bucket.refusals, 1);
});

test('five a second pass for ever', () => {
  const { granted, longestMs } = run(new TokenBucket(LIMIT, 0), 0, 5, 600);
  assert.equal(granted, 3000);
  assert.equal(longestMs, 0);
});

test('six a second are one spell that grows', () => {
  const { granted, longestMs } = run(new TokenBucket(LIMIT, 0), 0, 6, 60);
  assert.ok(granted <= 5 * 60 + 10);
  assert.ok(longestMs > 40_000);
});

test('a pause of a second ends the spell', () => {
  const bucket = new TokenBucket(LIMIT, 0);
  run(bucket, 0, 50, 5);
  assert.ok(bucket.tooFastMs(5000) > 4000);
  assert.equal(bucket.take(LIMIT, at(6100)), true);
  assert.equal(bucket.tooFastMs(6100), 0);
  assert.equal(bucket.refusals, 0);
});

test('a clock that steps back gives nothing and breaks nothing', () => {
  const bucket = new TokenBucket(LIMIT, 10_000);
  for (let i = 0; i < 10; i++) bucket.take(LIMIT, at(10_000));
  assert.equal(bucket.take(LIMIT, at(0)), false);
  assert.equal(bucket.take(LIMIT, at(200)), true);
});

test('never more than burst + rate * time, whatever the gaps', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 2000 }), { maxLength: 300 }), (gaps) => {
      const bucket = new TokenBucket(LIMIT, 0);
      let nowMs = 0;
      let granted = 0;
      for (const gapMs of gaps) {
        nowMs += gapMs;
        if (bucket.take(LIMIT, at(nowMs))) granted++;
      }
      assert.ok(granted <= 10 + (nowMs * 5) / 1000 + 1e-6);
    }),
  );
});

test('of more than there are, as many are taken as there are; that is a refusal', () => {
  const bucket = new TokenBucket(LIMIT, 0);
  assert.equal(bucket.takeUpTo(LIMIT, at(0), 4), 4);
  assert.equal(bucket.takeUpTo(LIMIT, at(0), 100), 6);
  assert.equal(bucket.refusals, 1);
  assert.equal(bucket.takeUpTo(LIMIT, at(0), 100), 0);
  assert.equal(bucket.refusals, 2);
  assert.equal(bucket.waitMs(LIMIT, 0), 200);
  assert.equal(bucket.waitMs(LIMIT, 200), 0);
});

test('what waited while the process stood still has its own pace, and no more than that', () => {
  const bucket = new TokenBucket(LIMIT, 0);
  assert.equal(bucket.takeUpTo(LIMIT, at(20_000, 20_000), 1000), 10 + 20 * 5);
  assert.equal(bucket.takeUpTo(LIMIT, at(20_100, 20_000), 1000), 0);
  // And is back within its burst when all is as usual.
  assert.equal(bucket.takeUpTo(LIMIT, at(90_000), 1000), 10);
});
