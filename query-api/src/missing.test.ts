import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import { missingRanges } from './missing.js';

test('missing: neighbours with the same reason are one range, whatever order they came in', () => {
  const map = evenPartitionMap(8);
  const range = (from: number, to: number) => ({ from: map.range(from).from, to: map.range(to).to });
  const entries = [
    { partition: 7, reason: 'silent' },
    { partition: 2, reason: 'unreachable' },
    { partition: 1, reason: 'unreachable' },
    { partition: 3, reason: 'timeout' },
    { partition: 5, reason: 'timeout' },
  ] as const;
  assert.deepEqual(missingRanges(map, entries), [
    { ...range(1, 2), reason: 'unreachable' },
    { ...range(3, 3), reason: 'timeout' },
    { ...range(5, 5), reason: 'timeout' },
    { ...range(7, 7), reason: 'silent' },
  ]);
  assert.equal(missingRanges(map, entries).at(-1)?.to, '~~~~~~');
  assert.deepEqual(missingRanges(map, []), []);
});
