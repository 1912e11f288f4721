import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { validatePosition } from '@whereabouts/infra/position';
import { decodeBody, eachRecord } from '@whereabouts/infra/record';
import { Batch, BatchPool } from './batch.js';
import { Drivers, type Origin } from './drivers.js';
import { Report } from './report.js';

let drivers: Drivers;
beforeEach(() => {
  drivers = new Drivers();
});
const report = new Report();

function origin(session: number): Origin {
  const unheard = () => assert.fail('nobody is told anything here');
  return {
    generation: drivers.newGeneration(),
    session,
    accepted: unheard,
    refused: unheard,
    checkpointKept: unheard,
    checkpointRefused: unheard,
    checkpointPersisted: unheard,
  };
}

function put(slot: number, from: Origin, seq: number, nowMs = 0): void {
  const input = { seq, recordedAtMs: 1_000_000 + seq, lat: 52.5, lon: 13.4, status: 'busy', services: 5 };
  report.readPosition(validatePosition(input, 'd', from.session));
  drivers.put(slot, from, report, nowMs);
}

test('rows keep what was put, also when the table grows, and are used again', () => {
  const session = 281_474_976_710_000;
  const from = origin(session);
  const slots = Array.from({ length: 5_000 }, (_, i) => drivers.slotOf(`driver-${i}`, 0));
  for (const [i, slot] of slots.entries()) put(slot, from, i + 1);
  for (const [i, slot] of slots.entries()) {
    const { driverId, seq, session: kept, latE7, status } = drivers.positionOf(slot);
    assert.deepEqual(
      [driverId, seq, kept, latE7, status],
      [`driver-${i}`, i + 1, session, 525_000_000, 'busy'],
    );
    assert.equal(drivers.isNewest(slot, session, 1_000_001 + i), true);
  }
  assert.equal(drivers.slotOf('driver-7', 0), slots[7]);
  drivers.release(slots[7] as number);
  assert.equal(drivers.find('driver-7'), null);
  const again = drivers.slotOf('another', 0);
  assert.equal(again, slots[7]);
  assert.deepEqual([drivers.hasReported(again), drivers.isAcknowledged(again)], [false, false]);
  assert.equal(drivers.size, 5_000);
});

test('an acknowledgement is of one report; an older one does not undo a newer', () => {
  const slot = drivers.slotOf('d', 0);
  const from = origin(1);
  put(slot, from, 1);
  const at = (partition: number, revision: number) => ({ partition, term: 1, revision });
  assert.equal(drivers.acknowledge(slot, 1, 1_000_001, at(2, 5)), true);
  assert.equal(drivers.isAcknowledged(slot), true);
  put(slot, from, 2);
  assert.equal(drivers.isAcknowledged(slot), false);
  assert.equal(drivers.acknowledge(slot, 1, 1_000_002, at(3, 9)), true);
  assert.equal(drivers.acknowledge(slot, 1, 1_000_001, at(2, 6)), false);
  assert.equal(drivers.isAcknowledged(slot), true);
  assert.equal(drivers.standsAt(slot, at(3, 9)), true);
});

test('the first unanswered report of a connection is the one that has waited longest', () => {
  const slot = drivers.slotOf('d', 0);
  const [older, newer] = [origin(1), origin(2)];
  put(slot, older, 1, 10);
  put(slot, older, 2, 20);
  assert.equal(drivers.sinceMs[slot], 10);
  put(slot, newer, 1, 30);
  put(slot, newer, 2, 40);
  assert.equal(drivers.sinceMs[slot], 30);
});

test('going offline: at the last place, later than the last report, once more under the session of now', () => {
  const slot = drivers.slotOf('d', 0);
  const from = { ...origin(5), session: 5 };
  put(slot, from, 3);
  const departure = { generation: from.generation, session: 5, seq: 4 };
  assert.equal(drivers.putOffline(slot, departure, 17, 0), 1_000_004);
  assert.equal(drivers.isOffline(slot), true);
  const { status, services, seq, latE7, session } = drivers.positionOf(slot);
  assert.deepEqual([status, services, seq, latE7, session], ['offline', 5, 4, 525_000_000, 5]);
  from.session = 8;
  assert.equal(drivers.renumber(slot, from), true);
  assert.equal(drivers.renumber(slot, from), false);
  drivers.putOffline(slot, departure, 2_000_000, 0);
  assert.deepEqual([drivers.positionOf(slot).session, drivers.positionOf(slot).recordedAtMs], [8, 2_000_000]);
  assert.equal(drivers.renumber(slot, origin(9)), false, 'it did not report');
});

test('a batch is a copy of its rows, and holds them', () => {
  const pool = new BatchPool();
  const from = origin(6);
  const slots = Array.from({ length: 40 }, (_, i) => drivers.slotOf(`driver-${i}`, 0));
  for (const slot of slots) put(slot, from, slot + 1, 500);
  const batch = pool.take();
  for (const slot of slots) batch.add(drivers, slot);
  for (const slot of slots) put(slot, from, slot + 100, 700);
  const seen: [string, number][] = [];
  const bytes = batch.bytes();
  eachRecord(bytes, (id, start, end) => {
    seen.push([id, decodeBody(id, bytes.subarray(start, end)).seq]);
  });
  assert.deepEqual(
    seen,
    slots.map((slot) => [`driver-${slot}`, slot + 1]),
  );
  assert.deepEqual([batch.sinceMs[3], drivers.sinceMs[3]], [500, 700]);
  assert.equal(drivers.underWay[3], 1);
  pool.giveBack(batch, drivers);
  assert.deepEqual([drivers.underWay[3], batch.count, pool.underWay], [0, 0, 0]);
  assert.equal(pool.take(), batch);
  assert.ok(batch instanceof Batch);
});
