import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  expectedOf,
  type Weight,
  weightAfter,
  weightOfBox,
  weightOfCircles,
  weightOfIds,
  weightOfMap,
} from './weight.js';

const both = (weight: Weight, looked: number) => [expectedOf(weight), weightAfter(weight, looked)];

test('weight: an ordinary question weighs 1, and more what asks for more', () => {
  const circle = (radius_m: number, limit: number) => weightOfCircles([{ radius_m, limit }]);
  assert.deepEqual(both(circle(5_000, 10), 200), [1, 1]);
  assert.deepEqual(both(circle(1, 1), 1), [1, 1]);
  assert.deepEqual(both(circle(5_001, 99), 1_001), [2, 2]);
  assert.deepEqual(both(circle(50_000, 100), 300), [11, 2]);
  assert.deepEqual(both(circle(50_000, 1), 500_000), [10, 500]);
  const batch = weightOfCircles(Array(100).fill({ radius_m: 6_000, limit: 10 }));
  assert.deepEqual(both(batch, 20_000), [200, 100]);
  assert.deepEqual(both(weightOfIds(1), 1), [1, 1]);
  assert.deepEqual(both(weightOfIds(100), 100), [5, 5]);
  assert.deepEqual(both(weightOfBox(5_000), 20_000), [201, 220]);
  assert.deepEqual(both(weightOfMap(64), 0), [1, 1]);
  assert.deepEqual(both(weightOfMap(2_048), 0), [32, 32]);
});
