import assert from 'node:assert/strict';
import { test } from 'node:test';
import { orderOf } from './intake.js';

const NOTHING = { lastSeq: 0, lastSeqTimeMs: 0, newestTimeMs: 0 };
const BEFORE = { lastSeq: 7, lastSeqTimeMs: 1000, newestTimeMs: 1000 };
// The last one was a checkpoint from before the newest position.
const AFTER_OLD_CHECKPOINT = { lastSeq: 8, lastSeqTimeMs: 400, newestTimeMs: 1000 };

test('the first report is new, whatever its number', () => {
  assert.equal(orderOf(NOTHING, 1, 1, false), 'new');
  assert.equal(orderOf(NOTHING, 4_294_967_295, 1, false), 'new');
});

test('a growing seq needs a later time', () => {
  assert.equal(orderOf(BEFORE, 8, 1001, false), 'new');
  assert.equal(orderOf(BEFORE, 9, 1000, false), 'stale');
  assert.equal(orderOf(BEFORE, 9, 999, false), 'stale');
  assert.equal(orderOf(AFTER_OLD_CHECKPOINT, 9, 700, false), 'stale');
});

test('a checkpoint needs a growing seq alone', () => {
  assert.equal(orderOf(BEFORE, 8, 10, true), 'new');
  assert.equal(orderOf(BEFORE, 7, 10, true), 'seq_must_grow');
  assert.equal(orderOf(BEFORE, 3, 10, true), 'seq_must_grow');
});

test('the last report once more', () => {
  assert.equal(orderOf(BEFORE, 7, 1000, false), 'again');
  assert.equal(orderOf(AFTER_OLD_CHECKPOINT, 8, 400, true), 'again');
});

test('a seq that does not grow names two reports, or one that is out of date', () => {
  assert.equal(orderOf(BEFORE, 7, 1001, false), 'seq_must_grow');
  assert.equal(orderOf(BEFORE, 7, 999, false), 'seq_must_grow');
  assert.equal(orderOf(BEFORE, 6, 1001, false), 'seq_must_grow');
  assert.equal(orderOf(BEFORE, 6, 1000, false), 'stale');
});
