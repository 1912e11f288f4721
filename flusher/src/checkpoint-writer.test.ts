// How a round of the checkpoint writer is shared out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partitionLimit } from './checkpoint-writer.js';

test('every partition where checkpoints wait has a share of each round, and the round has its bound', () => {
  assert.equal(partitionLimit(1), 512);
  assert.equal(partitionLimit(9), 512);
  for (const partitions of [10, 64, 1_000, 5_000]) {
    assert.ok(partitionLimit(partitions) >= 1);
    assert.ok(partitionLimit(partitions) * partitions <= 5_000);
  }
  // More partitions than a round takes checkpoints: one of each all the same.
  assert.equal(partitionLimit(16_384), 1);
});
