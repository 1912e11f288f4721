import assert from 'node:assert/strict';
import { test } from 'node:test';
import { piecesIn } from './pieces.js';

test('pieces: those that the view touches, also across the antimeridian', () => {
  assert.deepEqual(piecesIn([20, 50, 22, 53]), ['fine_0_30']);
  assert.deepEqual(piecesIn([-1, -1, 1, 1]), ['fine_-30_-30', 'fine_-30_0', 'fine_0_-30', 'fine_0_0']);
  assert.deepEqual(piecesIn([179, 10, -179, 11]), ['fine_150_0', 'fine_-180_0']);
  assert.equal(piecesIn([-180, -90, 180, 90]).length, 72);
});
