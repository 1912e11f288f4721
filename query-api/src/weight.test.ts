import assert from 'node:assert/strict';
import { test } from 'node:test';
import { weightOfBox, weightOfCircle, weightOfIds, weightOfMap } from './weight.js';

test('weight: an ordinary question weighs 1, and more what asks for more', () => {
  assert.equal(weightOfCircle({ radius_m: 5_000, limit: 10 }), 1);
  assert.equal(weightOfCircle({ radius_m: 1, limit: 1 }), 1);
  assert.equal(weightOfCircle({ radius_m: 5_001, limit: 24 }), 2);
  assert.equal(weightOfCircle({ radius_m: 50_000, limit: 100 }), 14);
  assert.deepEqual([weightOfIds(1, 64), weightOfIds(25, 64), weightOfIds(100, 64)], [4, 8, 20]);
  assert.deepEqual([weightOfIds(1, 1), weightOfIds(1, 1_024)], [1, 64]);
  assert.deepEqual([weightOfBox(10, 64), weightOfBox(5_000, 64)], [4, 204]);
  assert.equal(weightOfMap(16), 1);
});
