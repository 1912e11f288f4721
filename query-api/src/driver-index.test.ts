// Which record of a driver counts, when a position counts as persisted, which drivers leave, and what a driver costs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEEP_RESTORED_MS } from '@whereabouts/infra/live-store/log-limits';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { driver, emptyIndex, NOW_MS, take } from './fixtures/filled-index.js';

const at = (recordedAtMs: number, session = 1, lat = 52) => driver('d', lat, 21, { recordedAtMs, session });
const id = (term: number, revision: number) => ({ term, revision });

test('index: the greatest (session, recorded-at) counts, whatever order they come in', () => {
  const { index } = emptyIndex();
  const records = [at(5), at(9), at(1, 2), at(3, 2), at(100)];
  const random = seededRandom(7).next;
  for (let round = 0; round < 50; round++) {
    for (const record of [...records].sort(() => random() - 0.5)) take(index, record);
    const { session, recordedAtMs } = index.recordOf('d') ?? assert.fail();
    assert.deepEqual([session, recordedAtMs], [2, 3]);
  }
});

test('index: of equal ones the later entry counts', () => {
  const { index } = emptyIndex();
  take(index, at(5), { id: id(2, 7) });
  take(index, at(5), { id: id(2, 6) });
  take(index, at(5), { id: id(1, 90) });
  assert.deepEqual(index.recordOf('d')?.id, id(2, 7));
  take(index, at(5), { id: id(3, 1) });
  assert.deepEqual(index.recordOf('d')?.id, id(3, 1));
});

test('index: persisted once the flushed id has passed, unless refused', () => {
  const filled = emptyIndex();
  const { index } = filled;
  take(index, at(5), { id: id(2, 7) });
  const slot = index.slotOf('d') ?? assert.fail();
  assert.equal(index.isPersisted(slot), false);
  filled.flushed = id(2, 7);
  assert.equal(index.isPersisted(slot), true);
  filled.refused.add('d');
  assert.equal(index.isPersisted(slot), false);
});

test('index: a lost record is not persisted, until it comes again', () => {
  const filled = emptyIndex();
  const { index } = filled;
  take(index, at(5), { id: id(2, 7), partition: 3 });
  take(index, driver('e', 52, 21), { id: id(2, 5), partition: 3 });
  take(index, driver('f', 52, 21), { id: id(2, 7), partition: 4 });
  index.lost(3, 2, 5);
  filled.flushed = id(9, 0);
  const persisted = () => ['d', 'e', 'f'].map((name) => index.isPersisted(index.slotOf(name) as number));
  assert.deepEqual(persisted(), [false, true, true]);
  take(index, at(5), { id: id(3, 1), partition: 3 });
  assert.deepEqual(persisted(), [true, true, true]);
});

test('index: what is not found when a partition is read anew is lost; what is found stands where it was found', () => {
  const filled = emptyIndex();
  const { index } = filled;
  filled.flushed = id(9, 0);
  for (const name of ['kept', 'gone']) take(index, driver(name, 52, 21), { id: id(2, 7), partition: 3 });
  take(index, driver('other', 52, 21), { id: id(2, 7), partition: 4 });
  index.readAnew(3);
  const persisted = () =>
    ['kept', 'gone', 'other'].map((name) => index.isPersisted(index.slotOf(name) as number));
  assert.deepEqual(persisted(), [false, false, true]);
  take(index, driver('kept', 52, 21), { id: id(1, 4), partition: 3 });
  index.settled(3);
  assert.deepEqual(persisted(), [true, false, true]);
  assert.deepEqual(index.recordOf('kept')?.id, id(1, 4));
  take(index, driver('gone', 52, 21), { id: id(1, 3), partition: 3 });
  assert.deepEqual(persisted(), [true, true, true]);
});

test('index: what cannot be read is passed over', () => {
  const { index } = emptyIndex();
  assert.equal(index.take(0, 'd', Buffer.alloc(33, 2), 0, 33, id(1, 1)), false);
  assert.equal(index.take(0, 'd', Buffer.alloc(34, 77), 0, 34, id(1, 1)), false);
  assert.equal(index.drivers, 0);
});

test('index: counts by partition and status, also of those who cross and leave', () => {
  const filled = emptyIndex();
  const { index } = filled;
  const record = (name: string, status: 'available' | 'busy' | 'offline', recordedAtMs: number) =>
    driver(name, 52, 21, { status, recordedAtMs });
  take(index, record('a', 'available', NOW_MS), { partition: 1 });
  take(index, record('b', 'busy', NOW_MS), { partition: 1 });
  take(index, record('c', 'offline', NOW_MS - 400_000), { partition: 1 });
  assert.deepEqual(index.countsOf(1), [1, 1, 1]);
  take(index, record('a', 'busy', NOW_MS + 1), { partition: 2 });
  take(index, record('a', 'available', NOW_MS), { partition: 1 });
  assert.deepEqual(
    [index.countsOf(1), index.countsOf(2)],
    [
      [1, 0, 1],
      [0, 0, 1],
    ],
  );
  filled.flushed = id(9, 0);
  index.lookAtAges(100, NOW_MS);
  assert.deepEqual(index.countsOf(1), [0, 0, 1]);
});

test('index: who is old leaves once he is in Postgres; what is archived stays longer', () => {
  const filled = emptyIndex();
  const { index } = filled;
  take(index, driver('old', 52, 21, { recordedAtMs: NOW_MS - 300_001 }));
  take(index, driver('archived', 52, 21, { recordedAtMs: NOW_MS - 300_001 }), { archived: true });
  take(index, driver('stale', 52, 21, { recordedAtMs: NOW_MS - 60_000 }));
  take(index, driver('lost', 52, 21, { recordedAtMs: NOW_MS - 300_001 }), { id: id(20, 8) });
  const names = () => [...index.driverIds()].sort();
  index.lookAtAges(100, NOW_MS);
  assert.deepEqual(names(), ['archived', 'lost', 'old', 'stale'], 'nothing is in Postgres');
  assert.equal(index.isListed(index.slotOf('stale') as number), false);
  assert.equal(index.isListed(index.slotOf('archived') as number), false);
  filled.flushed = id(9, 0);
  index.lookAtAges(100, NOW_MS);
  assert.deepEqual(names(), ['archived', 'lost', 'stale']);
  index.lost(0, 20, 7);
  index.lookAtAges(100, NOW_MS);
  assert.deepEqual(names(), ['archived', 'stale']);
  index.lookAtAges(100, NOW_MS + KEEP_RESTORED_MS);
  assert.deepEqual(names(), []);
  take(index, driver('stale', 52, 21, { recordedAtMs: NOW_MS + 1 }));
  assert.equal(index.isListed(index.slotOf('stale') as number), true);
  assert.equal(index.slotsUsed, 4, 'slots are used again');
});

test('index: 100,000 drivers who come and go take the room of 100,000', () => {
  const filled = emptyIndex();
  const { index } = filled;
  const random = seededRandom(5).next;
  let bytes = 0;
  for (let day = 0; day < 4; day++) {
    const nowMs = NOW_MS + day * 1_000_000;
    for (let i = 0; i < 100_000; i++) {
      const place = [52 + (random() - 0.5) * 0.2, 21 + (random() - 0.5) * 0.2] as const;
      take(index, driver(`day-${day}-driver-${i}`, ...place, { recordedAtMs: nowMs }));
    }
    if (day === 0) bytes = index.bytes;
    filled.flushed = id(9, 0);
    index.lookAtAges(100_000, nowMs + 300_001);
    assert.equal(index.drivers, 0);
  }
  assert.ok(index.bytes <= bytes * 1.5, `${index.bytes} bytes, ${bytes} after the first day`);
  assert.ok(bytes / 100_000 < 200, `${bytes / 100_000} bytes a driver`);
});
