import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mayRefuse, RefusalJudge } from './refusal-judge.js';

const SECOND_MS = 1_000;
const ids = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `d${from + i}`);

/** Judges and notes, as a commit does; one a second. */
function judged() {
  const judge = new RefusalJudge();
  let nowMs = 1_000_000;
  return {
    commit(refused: readonly string[], rows: number, afterMs = SECOND_MS): boolean {
      nowMs += afterMs;
      const areWrong = judge.areTablesWrong(refused, rows, nowMs);
      judge.note(refused, rows, nowMs);
      return areWrong;
    },
  };
}

test('of a batch 10 rows may be refused, 5 % of a larger one, and 25 of any', () => {
  assert.deepEqual([1, 10, 200, 300, 1_000, 5_000].map(mayRefuse), [10, 10, 10, 15, 25, 25]);
});

describe('one batch', () => {
  test('a few bad rows among many are bad rows, more are wrong tables', () => {
    assert.equal(judged().commit(ids(10), 200), false);
    assert.equal(judged().commit(ids(11), 200), true);
    assert.equal(judged().commit(ids(25), 5_000), false);
    assert.equal(judged().commit(ids(26), 5_000), true);
  });

  test('nothing refused is nothing wrong, whatever was before', () => {
    const { commit } = judged();
    assert.equal(commit(ids(3), 3), true);
    assert.equal(commit([], 3), false);
    assert.equal(commit([], 0), false);
  });
});

describe('few drivers', () => {
  test('all of them are refused: the tables, however few they are, and however often they come', () => {
    const { commit } = judged();
    for (let i = 0; i < 100; i++) assert.equal(commit(ids(3), 3), true);
    assert.equal(judged().commit(ids(1), 1), true);
  });

  test('all were taken until now, and that is no proof', () => {
    const { commit } = judged();
    for (let i = 0; i < 100; i++) commit([], 3);
    assert.equal(commit(ids(3), 3), true);
  });

  test('one of them is taken, with the refused ones or after: these are bad rows', () => {
    assert.equal(judged().commit(ids(2), 3), false);
    const { commit } = judged();
    assert.equal(commit(ids(1), 1), true);
    assert.equal(commit([], 1), false);
    assert.equal(commit(ids(1), 1), false);
  });

  test('after a minute of refusals alone what was taken before proves nothing any more', () => {
    const { commit } = judged();
    assert.equal(commit(ids(1), 2), false);
    for (let i = 0; i < 58; i++) assert.equal(commit(ids(1), 1), false);
    for (let i = 0; i < 5; i++) commit(ids(1), 1);
    assert.equal(commit(ids(1), 1), true);
  });
});

describe('a few in each of many batches', () => {
  test('the same drivers again and again are bad rows', () => {
    const { commit } = judged();
    for (let i = 0; i < 1_000; i++) assert.equal(commit(ids(10), 100), false, String(i));
  });

  test('ever other drivers are wrong tables, from more than 10 and 5 % on', () => {
    const { commit } = judged();
    const verdicts = Array.from({ length: 40 }, (_, i) => commit(ids(1, i), 15));
    assert.deepEqual(verdicts.indexOf(true), 10);
    assert.ok(verdicts.slice(10).every((verdict) => verdict));
  });

  test('ever other drivers of a large fleet, one in a thousand, are bad rows', () => {
    const { commit } = judged();
    for (let i = 0; i < 2_000; i++) assert.equal(commit(ids(5, 5 * i), 5_000), false);
  });

  test('a minute later they are forgotten', () => {
    const { commit } = judged();
    for (let i = 0; i < 10; i++) assert.equal(commit(ids(1, i), 15), false);
    assert.equal(commit(ids(1, 10), 15, 61 * SECOND_MS), false);
  });
});
