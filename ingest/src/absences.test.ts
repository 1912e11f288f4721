import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Absences } from './absences.js';

const ABSENCE = { generation: 1, session: 1, seq: 2 };

function due(absences: Absences, nowMs: number): string[] {
  const ids: string[] = [];
  absences.takeDue(nowMs, (driverId) => ids.push(driverId));
  return ids;
}

test('who stays away comes due, once', () => {
  const absences = new Absences(10_000, 100);
  absences.left('a', ABSENCE, 0);
  absences.left('b', ABSENCE, 500);
  assert.deepEqual(due(absences, 9_999), []);
  assert.deepEqual(due(absences, 10_000), ['a']);
  assert.deepEqual(due(absences, 20_000), ['b']);
  assert.equal(absences.size, 0);
});

test('who returns does not, and who leaves again waits anew', () => {
  const absences = new Absences(10_000, 100);
  absences.left('a', ABSENCE, 0);
  absences.left('b', ABSENCE, 1);
  absences.returned('a');
  absences.left('b', ABSENCE, 5000);
  absences.left('c', ABSENCE, 5001);
  assert.deepEqual(due(absences, 14_999), []);
  assert.deepEqual(due(absences, 15_001), ['b', 'c']);
});

test('above the limit the longest absent go first', () => {
  const absences = new Absences(10_000, 2);
  for (const [i, id] of ['a', 'b', 'c', 'd'].entries()) absences.left(id, ABSENCE, i);
  assert.deepEqual(due(absences, 10), ['a', 'b']);
  assert.equal(absences.size, 2);
});
