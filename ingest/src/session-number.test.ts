import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validatePosition } from '@whereabouts/infra/position';
import { SessionNumber } from './session-number.js';

function report(seq: number, session: number, checkpoint = false) {
  return validatePosition({ seq, recordedAtMs: 1000 + seq, lat: 1, lon: 2, checkpoint }, 'd', session);
}

test('outranked at the first report: the next number, once', () => {
  const number = new SessionNumber(10);
  assert.equal(number.outrank(50), 'renumbered');
  assert.equal(number.value, 51);
  assert.equal(number.outrank(50), 'as_before');
  assert.equal(number.outrank(60), 'superseded');
  assert.equal(number.value, 51);
});

test('outranked once proven: superseded', () => {
  const number = new SessionNumber(10);
  number.prove();
  assert.equal(number.outrank(11), 'superseded');
});

test('renumbered and proven, what was still under way is outranked by the session itself', () => {
  const number = new SessionNumber(10);
  number.outrank(50);
  number.prove();
  assert.equal(number.outrank(51 - 1), 'as_before');
});

test('of several under way the newest goes again, once, and every checkpoint', () => {
  const number = new SessionNumber(10);
  const [first, checkpoint, last] = [report(1, 10), report(2, 10, true), report(3, 10)];
  for (const position of [first, checkpoint, last]) number.submitted(position);
  number.outrank(50);
  assert.deepEqual(number.again(first), { ...last, session: 51 });
  assert.deepEqual(number.again(checkpoint), { ...checkpoint, session: 51 });
  assert.equal(number.again(last), null);
});

test('a report that came after the new number needs nothing', () => {
  const number = new SessionNumber(10);
  const first = report(1, 10);
  number.submitted(first);
  number.outrank(50);
  number.submitted(report(2, 51));
  assert.equal(number.again(first), null);
});
