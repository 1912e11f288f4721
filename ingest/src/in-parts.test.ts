import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreError, type StoreErrorCode } from '@whereabouts/infra/live-store/store-error';
import { sendInParts } from './in-parts.js';

const BATCH = Array.from({ length: 512 }, (_, i) => i);

/** A store that refuses every part with one of these in it. */
async function sent(culprits: readonly number[], code: StoreErrorCode = 'refused', batch = BATCH) {
  const taken: number[] = [];
  let calls = 0;
  const { leftovers, isAnyTaken } = await sendInParts(batch, async (part) => {
    calls++;
    if (part.some((item) => culprits.includes(item))) throw new StoreError(code, 'no');
    taken.push(...part);
  });
  const left = leftovers.flatMap(({ part }) => [...part]).sort((a, b) => a - b);
  const foundAlone = leftovers.flatMap(({ part }) => (part.length === 1 ? [...part] : []));
  assert.deepEqual(
    [...taken, ...left].sort((a, b) => a - b),
    batch,
    'nothing is lost, nothing is sent twice',
  );
  return {
    taken: taken.length,
    left,
    foundAlone,
    calls,
    isAnyTaken,
  };
}

test('a batch that is taken is one call', async () => {
  assert.deepEqual(await sent([]), {
    taken: 512,
    left: [],
    foundAlone: [],
    calls: 1,
    isAnyTaken: true,
  });
});

test('up to three culprits are found, all others are taken', async () => {
  for (const culprits of [[0], [511], [7, 300], [0, 1], [5, 200, 511]])
    for (const code of ['refused', 'bad_batch'] as const) {
      const { taken, left, foundAlone, calls } = await sent(culprits, code);
      assert.deepEqual(
        [taken, left, foundAlone.sort((a, b) => a - b)],
        [512 - culprits.length, culprits, culprits],
      );
      assert.ok(calls <= 65, `${calls} calls`);
    }
});

test('where every second one is refused each round gets further, and its calls are bounded', async () => {
  const culprits = BATCH.filter((item) => item % 2 === 0);
  let batch = BATCH;
  let rounds = 0;
  for (; batch.length > 0; rounds++) {
    const { left, calls, taken, foundAlone } = await sent(culprits, 'refused', batch);
    assert.ok(calls <= 100 && taken > 0, `${calls} calls, ${taken} taken in round ${rounds}`);
    // Who was refused alone does not come again.
    batch = left.filter((item) => !foundAlone.includes(item));
  }
  assert.ok(rounds < 64, `${rounds} rounds`);
});

test('a store that refuses all is asked so often and no more', async () => {
  const { taken, calls, isAnyTaken } = await sent(BATCH);
  assert.deepEqual([taken, isAnyTaken], [0, false]);
  assert.ok(calls <= 65, `${calls} calls`);
});

test('an outage ends it', async () => {
  for (const code of ['region_unavailable', 'not_ready', 'overloaded', 'map_mismatch'] as const) {
    const { calls, left } = await sent([3], code);
    assert.deepEqual([calls, left.length], [1, 512]);
  }
  let calls = 0;
  const { leftovers } = await sendInParts([1, 2, 3, 4], async () => {
    throw new StoreError(++calls === 1 ? 'refused' : 'region_unavailable', 'no');
  });
  assert.deepEqual(
    [calls, leftovers.map(({ part }) => part)],
    [
      2,
      [
        [1, 2],
        [3, 4],
      ],
    ],
  );
});
