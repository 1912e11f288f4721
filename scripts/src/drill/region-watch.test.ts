import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeAnswer } from './region-watch.js';

const RANGE = { from: 'u33000', to: 'u36000' };
const answer = (ids: string[], missing: { from: string; to: string; reason: string }[] = []) => ({
  complete: missing.length === 0,
  missing,
  drivers: ids.map((driver_id) => ({ driver_id })),
});

test('a driver who stands there and is not in the answer is lacking, in an incomplete answer too', () => {
  assert.deepEqual(judgeAnswer(answer(['a', 'b', 'x']), RANGE, ['a', 'b']), {
    answer: 'complete',
    isNamed: true,
    lacking: 0,
  });
  assert.equal(judgeAnswer(answer(['a']), RANGE, ['a', 'b']).lacking, 1);
  const partial = answer(['a'], [{ from: 'u33000', to: 'u36000', reason: 'unreachable' }]);
  assert.deepEqual(judgeAnswer(partial, RANGE, ['a', 'b']), { answer: 'partial', isNamed: true, lacking: 1 });
});

test('an incomplete answer names the partition that was asked for', () => {
  const named = (from: string, to: string, reason = 'unreachable') =>
    judgeAnswer(answer([], [{ from, to, reason }]), RANGE, []).isNamed;
  assert.ok(named('u30000', 'u34000'));
  assert.ok(named('u35zzz', 'u40000'));
  assert.ok(!named('u36000', 'u40000'));
  assert.ok(!named('u30000', 'u33000'));
  assert.ok(!named('u33000', 'u36000', ''));
});

test('a full answer says nothing of who comes after it', () => {
  const many = Array.from({ length: 50 }, (_, i) => `other-${i}`);
  assert.equal(judgeAnswer(answer(many), RANGE, ['a']).lacking, 0);
});
