import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SLOT_COUNT } from '@whereabouts/infra/hash-slot';
import fc from 'fast-check';
import {
  type Move,
  movesToAdd,
  movesToRemove,
  PlanError,
  type Stretch,
  slotsInOrder,
  slotsOf,
  stretchesAfter,
} from './contiguous-moves.js';

const evenly = (count: number): Stretch[] =>
  Array.from({ length: count }, (_, i) => ({
    node: `n${i}`,
    first: Math.floor((i * SLOT_COUNT) / count),
    last: Math.floor(((i + 1) * SLOT_COUNT) / count) - 1,
  }));

/** Any masters with one stretch each, in any order of their names. */
const anyRow = fc
  .uniqueArray(fc.integer({ min: 1, max: SLOT_COUNT - 1 }), { minLength: 1, maxLength: 9 })
  .map((cuts) => {
    const borders = [0, ...cuts.toSorted((a, b) => a - b), SLOT_COUNT];
    return borders.slice(1).map((end, i) => ({ node: `n${i}`, first: borders[i] as number, last: end - 1 }));
  });

const total = (moves: readonly Move[]) => moves.reduce((sum, move) => sum + slotsOf(move), 0);
const sizes = (stretches: readonly Stretch[]) => stretches.map(({ first, last }) => last - first + 1);

/** Slot by slot, with an array of owners: each goes from its owner, and every share is one stretch at all times. */
function carryOut(before: readonly Stretch[], moves: readonly Move[]): void {
  const owners = new Array<string>(SLOT_COUNT);
  for (const { node, first, last } of before) owners.fill(node, first, last + 1);
  const shares = new Map<string, number>();
  for (const owner of owners) shares.set(owner, (shares.get(owner) ?? 0) + 1);
  for (const move of moves) {
    for (const slot of slotsInOrder(move)) {
      if (owners[slot] !== move.from) assert.fail(`slot ${slot} is not of ${move.from}`);
      owners[slot] = move.to;
      const held = shares.get(move.to) ?? 0;
      shares.set(move.to, held + 1);
      shares.set(move.from, (shares.get(move.from) as number) - 1);
      // Only the borders beside the slot can have changed: it lies at the end of both shares.
      const beside = [owners[slot - 1], owners[slot + 1]];
      if (held > 0 && !beside.includes(move.to)) assert.fail(`slot ${slot} tears ${move.to} apart`);
      assert.ok(
        !(beside[0] === move.from && beside[1] === move.from),
        `slot ${slot} tears ${move.from} apart`,
      );
    }
  }
}

function assertEven(after: readonly Stretch[], nodes: number): void {
  assert.equal(after.length, nodes, 'one stretch each');
  assert.equal(new Set(after.map(({ node }) => node)).size, nodes);
  assert.ok(Math.max(...sizes(after)) - Math.min(...sizes(after)) <= 1, String(sizes(after)));
}

test('one more: even shares, one stretch each, at every moment', () => {
  fc.assert(
    fc.property(anyRow, (before) => {
      const moves = movesToAdd(before, 'new');
      assertEven(stretchesAfter(before, moves), before.length + 1);
      carryOut(before, moves);
    }),
    { numRuns: 60 },
  );
});

test('one fewer: the same, and it owns nothing', () => {
  fc.assert(
    fc.property(anyRow, fc.nat(), (before, n) => {
      const removed = before[n % before.length]?.node as string;
      const moves = movesToRemove(before, removed);
      const after = stretchesAfter(before, moves);
      assertEven(after, before.length - 1);
      assert.ok(after.every(({ node }) => node !== removed));
      carryOut(before, moves);
    }),
    { numRuns: 60 },
  );
});

test('of even shares no slot moves twice, at most a half of all moves, and taking it away gives the shares back', () => {
  for (let count = 1; count <= 12; count++) {
    const before = evenly(count);
    const moves = movesToAdd(before, 'new');
    const moved = moves.flatMap((move) => [...slotsInOrder(move)]);
    assert.equal(new Set(moved).size, moved.length);
    assert.ok(moved.length <= SLOT_COUNT / 2, `${count}: ${moved.length}`);
    const after = stretchesAfter(before, moves);
    assert.deepEqual(stretchesAfter(after, movesToRemove(after, 'new')), before);
  }
});

test('it stands where the fewest slots move', () => {
  // From three to four: at an end a half of all slots would move, inside a third.
  assert.ok(Math.abs(total(movesToAdd(evenly(3), 'new')) - SLOT_COUNT / 3) < 4);
});

test('what is not one stretch each is refused', () => {
  const [a, b, c] = evenly(3) as [Stretch, Stretch, Stretch];
  const torn = [a, b, { ...c, node: 'n0' }];
  for (const wrong of [torn, [a, c], [a, b], [a, { ...b, first: b.first - 1 }, c]]) {
    assert.throws(() => movesToAdd(wrong, 'new'), PlanError);
  }
  assert.throws(() => movesToAdd([a, b, c], 'n1'), PlanError);
  assert.throws(() => movesToRemove([a, b, c], 'x'), PlanError);
  assert.throws(() => movesToRemove([{ node: 'n0', first: 0, last: SLOT_COUNT - 1 }], 'n0'), PlanError);
});
