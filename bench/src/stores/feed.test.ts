import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isNewer, type Position } from '@whereabouts/infra/position';
import { Feed } from './feed.js';
import { positionOf } from './store-under-test.js';

const driver = (id: string): Position => positionOf({ id, lat: 52, lon: 21 }, 'available', 1000);

test('everybody has a turn, in batches of the size asked for, and none twice in a batch', () => {
  const feed = new Feed([['a', 'b', 'c'].map(driver), [driver('d')], []]);
  const ids = () => feed.batches(2, 2000).map((batch) => batch.map(({ driverId }) => driverId));
  assert.deepEqual(ids(), [['a', 'b'], ['d'], []]);
  assert.deepEqual(ids(), [['c', 'a'], ['d'], []]);
  assert.deepEqual(ids(), [['b', 'c'], ['d'], []]);
});

test('each report is newer than the one before, of the same place within metres', () => {
  const feed = new Feed([[driver('a')]]);
  let before = driver('a');
  for (let report = 0; report < 5; report++) {
    const [now] = feed.batches(1, 1000)[0] as [Position];
    assert.ok(isNewer(now, before));
    assert.ok(now.seq > before.seq);
    assert.equal(Math.abs(now.latE7 - before.latE7), 1800);
    assert.ok(Math.abs(now.latE7 - 520_000_000) <= 1800);
    before = { ...now };
  }
});
