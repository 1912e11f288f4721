import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outlineOf } from './outline.js';

const lengthOf = (lines: ReturnType<typeof outlineOf>) =>
  lines.reduce((sum, [[x1, y1], [x2, y2]]) => sum + Math.abs(x2 - x1) + Math.abs(y2 - y1), 0);

test('outline: shared edges of different lengths are inside', () => {
  // A block of 2 by 2 with two of 1 by 1 at its eastern side.
  const blocks = [
    { west: 0, south: 0, east: 2, north: 2 },
    { west: 2, south: 0, east: 3, north: 1 },
    { west: 2, south: 1, east: 3, north: 2 },
  ];
  const outline = outlineOf(blocks);
  assert.equal(lengthOf(outline), 2 * (3 + 2));
  assert.ok(outline.every(([[x1], [x2]]) => !(x1 === 2 && x2 === 2)));
});

test('outline: a part that stands out keeps its own edge', () => {
  const blocks = [
    { west: 0, south: 0, east: 2, north: 2 },
    { west: 2, south: 0, east: 3, north: 1 },
  ];
  assert.equal(lengthOf(outlineOf(blocks)), 10);
  const apart = [...blocks, { west: 10, south: 10, east: 11, north: 11 }];
  assert.equal(lengthOf(outlineOf(apart)), 14);
});

test('outline: the end of the map is none', () => {
  assert.deepEqual(outlineOf([{ west: -180, south: -90, east: 180, north: 90 }]), []);
});
