import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sessionPartitionOf } from './session-partition.js';

test('drivers are spread over all partitions, and every process agrees', () => {
  const counts = new Array<number>(64).fill(0);
  for (let i = 0; i < 64_000; i++) {
    const partition = sessionPartitionOf(`driver-${i}`, 64);
    counts[partition] = (counts[partition] ?? 0) + 1;
  }
  assert.ok(Math.min(...counts) > 800 && Math.max(...counts) < 1_200, counts.join());
  // Fixed: another value would look for a driver's session where it is not.
  assert.deepEqual(
    ['a', 'driver-1', 'Z_9'].map((id) => sessionPartitionOf(id, 64)),
    [44, 5, 61],
  );
});
