import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isNewer, type Position } from '@whereabouts/infra/position';
import { BatchWriter, eachRecord } from '@whereabouts/infra/record';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { stored } from './testing/archive-fixture.js';
import { UnflushedRecords } from './unflushed-records.js';

const RECORDS = 5_000;
const MAX_U48 = 2 ** 48 - 1;
const ORDERS = [1, 2, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 5, MAX_U48];

test('of each driver the newest, the later one among equals, at every size of session and time', () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const { next: random } = seededRandom(seed);
  const pick = <T>(of: readonly T[]) => of[Math.floor(random() * of.length)] as T;
  const notes = new Map([['d3', { term: 1, revision: 2 }]]);
  const newest = new UnflushedRecords(7, notes);
  const expected = new Map<string, { position: Position; revision: number }>();
  for (let revision = 1; revision <= RECORDS; revision++) {
    const position = stored(`d${Math.floor(random() * 200)}`, {
      session: pick(ORDERS),
      recordedAtMs: pick(ORDERS),
    });
    const writer = new BatchWriter();
    writer.add(position);
    const batch = writer.bytes();
    eachRecord(batch, (id, from, to) => newest.add(id, batch, from, to, { term: 1, revision }));
    const held = expected.get(position.driverId);
    if (!held || !isNewer(held.position, position)) expected.set(position.driverId, { position, revision });
  }
  assert.equal(newest.size, expected.size);
  for (const { partition, position, id, noted } of newest.take()) {
    const { position: wanted, revision } = expected.get(position.driverId) ?? assert.fail();
    const found = [partition, position.session, position.recordedAtMs, id.revision];
    assert.deepEqual(found, [7, wanted.session, wanted.recordedAtMs, revision], `seed ${seed}`);
    assert.deepEqual(noted, notes.get(position.driverId) ?? null);
  }
  assert.deepEqual([newest.size, newest.take()], [0, []]);
});

test('what cannot be read is told, each time, and takes nobody away', () => {
  const writer = new BatchWriter();
  writer.add(stored('d1', { session: 1, recordedAtMs: 1 }));
  const good = writer.bytes();
  const bodyAt = 4;
  const id = { term: 1, revision: 1 };
  const unknown = Buffer.from(good);
  unknown[bodyAt] = 255;
  const newest = new UnflushedRecords(0, new Map());
  const add = (driverId: string, bytes: Buffer) => newest.add(driverId, bytes, bodyAt, bytes.length, id);
  assert.equal(add('d1', good), true);
  assert.equal(add('d1', unknown), false);
  for (let i = 0; i < 2; i++) assert.equal(add('not one', good), false);
  assert.deepEqual(
    newest.take().map(({ position }) => position.driverId),
    ['d1'],
  );
});
