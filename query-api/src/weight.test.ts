import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  mostOf,
  type Weight,
  weightAfter,
  weightOfBox,
  weightOfCircles,
  weightOfIds,
  weightOfMap,
} from './weight.js';

const both = (weight: Weight, callsMade: number) => [mostOf(weight), weightAfter(weight, callsMade)];

test('weight: an ordinary question weighs 1, and more what asks for more', () => {
  const circle = (radius_m: number, limit: number) => weightOfCircles([{ radius_m, limit }]);
  assert.deepEqual(both(circle(5_000, 10), 2), [1, 1]);
  assert.deepEqual(both(circle(1, 1), 1), [1, 1]);
  assert.deepEqual(both(circle(5_001, 99), 17), [2, 2]);
  assert.deepEqual(both(circle(50_000, 100), 3), [11, 2]);
  assert.deepEqual(both(circle(50_000, 100), 64), [11, 5]);
  assert.deepEqual(both(circle(50_000, 1), 1_000), [10, 10]);
  const batch = weightOfCircles(Array(100).fill({ radius_m: 6_000, limit: 10 }));
  assert.deepEqual(both(batch, 150), [200, 100]);
  assert.deepEqual(both(weightOfIds(1, 64), 64), [4, 4]);
  assert.deepEqual(both(weightOfIds(100, 64), 64), [20, 20]);
  assert.deepEqual(both(weightOfIds(1, 1_024), 1_024), [64, 64]);
  assert.deepEqual(both(weightOfBox(5_000, 64), 10), [204, 201]);
  assert.deepEqual(both(weightOfMap(16), 16), [1, 1]);
});
