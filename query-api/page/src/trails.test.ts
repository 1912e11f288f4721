import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Trails } from './trails.js';

test('trails: standing still adds nothing, moving adds a point, and the oldest goes first', () => {
  const trails = new Trails();
  for (let i = 0; i < 10; i++) trails.seen('a', 52, 21, i);
  assert.equal(trails.of('a').length, 1);
  for (let i = 1; i <= 500; i++) trails.seen('a', 52 + i / 1_000, 21, 10 + i);
  const points = trails.of('a');
  assert.equal(points.length, 240);
  assert.ok(Math.abs((points.at(-1)?.[1] ?? 0) - 52.5) < 1e-5);
  assert.ok(Math.abs((points[0]?.[1] ?? 0) - 52.261) < 1e-5);
  assert.deepEqual(trails.of('b'), []);
});

test('trails: who was not seen for long is forgotten, and the count is bounded', () => {
  const trails = new Trails();
  for (let i = 0; i < 10_001; i++) trails.seen(`d${i}`, 1, 1, 0);
  assert.equal(trails.of('d10000').length, 0);
  trails.forgetOld(600_001);
  assert.equal(trails.of('d0').length, 0);
  trails.seen('d10000', 1, 1, 600_001);
  assert.equal(trails.of('d10000').length, 1);
});
