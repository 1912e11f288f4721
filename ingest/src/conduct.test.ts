import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Conduct, CUT_OFF } from './conduct.js';

const NOW_MS = 1_000_000;
const CHECKPOINTS = { perS: 1 / 6, burst: 20 };

/** How many refusals with this code it takes, one every `everyMs`, and what the last one ends with. */
function refusalsUntilTheEnd(reportsPerS: number, code: 'stale' | 'bad_message', everyMs: number) {
  const conduct = new Conduct(
    { reports: { perS: reportsPerS, burst: 2 * reportsPerS }, checkpoints: CHECKPOINTS },
    NOW_MS,
  );
  for (let count = 1; count <= 10_000; count++) {
    const end = conduct.refused(code, NOW_MS + count * everyMs);
    if (end !== null) return { count, end };
  }
  return null;
}

test('up to 5 reports a second: twenty faults within 10 s, of those that cannot be read five', () => {
  for (const perS of [0.5, 5]) {
    assert.deepEqual(refusalsUntilTheEnd(perS, 'stale', 400), { count: 20, end: 4400 });
    assert.deepEqual(refusalsUntilTheEnd(perS, 'bad_message', 400), { count: 5, end: 4400 });
    assert.equal(refusalsUntilTheEnd(perS, 'stale', 600), null);
  }
});

test('whoever may send more may err more, in the same proportion', () => {
  // A feed repeats itself: two in five are taken for that.
  assert.deepEqual(refusalsUntilTheEnd(50, 'stale', 40), { count: 200, end: 4400 });
  assert.equal(refusalsUntilTheEnd(50, 'stale', 60), null);
  assert.deepEqual(refusalsUntilTheEnd(50, 'stale', 1), { count: 101, end: CUT_OFF });
  assert.deepEqual(refusalsUntilTheEnd(1_000, 'stale', 0.1), { count: 1_001, end: CUT_OFF });
});
