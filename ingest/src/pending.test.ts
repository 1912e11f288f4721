import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { type Position, validatePosition } from '@whereabouts/infra/position';
import { Fleet } from './fleet.js';
import type { Origin } from './origin.js';
import { Pending, type Report } from './pending.js';

let fleet: Fleet;
let pending: Pending;
beforeEach(() => {
  fleet = new Fleet();
  pending = new Pending(fleet);
});
const connection = {} as Origin;
const other = {} as Origin;

function report(driverId: string, seq: number, o: Partial<Report> & { checkpoint?: boolean } = {}): Report {
  const { checkpoint = false, ...rest } = o;
  const checkpointId = checkpoint ? `trip-${seq}` : undefined;
  const input = { seq, recordedAtMs: 1000 + seq, lat: 1, lon: 1, checkpoint, checkpointId };
  const position: Position = validatePosition(input, driverId, 1);
  const driver = fleet.of(driverId, 0);
  return {
    driver,
    position,
    origin: connection,
    partition: 0,
    sinceMs: 0,
    nacked: false,
    ...rest,
  };
}
const seqs = (reports: Iterable<Report>) => Array.from(reports, (one) => one.position.seq);

test('a newer report takes the place of the older one in the queue, and has waited as long', () => {
  pending.put(report('a', 1, { sinceMs: 10 }));
  pending.put(report('b', 1));
  pending.put(report('a', 2, { sinceMs: 20 }));
  pending.put(report('a', 3, { sinceMs: 30 }));
  assert.equal(pending.size, 2);
  const [first, second] = pending.take(0, 10);
  assert.equal(first?.position.seq, 3);
  assert.equal(first?.sinceMs, 10);
  assert.equal(second?.position.driverId, 'b');
  assert.equal(pending.size, 0);
  assert.deepEqual([...pending.partitions()], []);
});

test('an older report does not take the place of a newer one', () => {
  pending.put(report('a', 2));
  assert.equal(pending.put(report('a', 1)), false);
  assert.deepEqual(seqs(pending.of(0)), [2]);
});

test('a driver who crosses a border waits in the new partition alone', () => {
  pending.put(report('a', 1));
  pending.put(report('a', 2, { partition: 7 }));
  assert.deepEqual([...pending.partitions()], [7]);
  assert.deepEqual(seqs(pending.of(7)), [2]);
});

test('what another connection of the driver sent, or what was nacked, waits for no other answer', () => {
  pending.put(report('a', 1, { origin: other, sinceMs: 10 }));
  pending.put(report('a', 2, { sinceMs: 20 }));
  const [held] = pending.of(0);
  assert.equal(held?.sinceMs, 20);
  if (held) held.nacked = true;
  pending.put(report('a', 3, { sinceMs: 30 }));
  const [newest] = pending.take(0, 1);
  assert.equal(newest?.sinceMs, 30);
  assert.equal(newest?.nacked, false);
});

test('checkpoints go first and are never replaced', () => {
  pending.put(report('a', 1));
  pending.put(report('a', 2, { checkpoint: true }));
  pending.put(report('a', 3, { checkpoint: true }));
  assert.equal(pending.put(report('a', 3, { checkpoint: true })), false);
  pending.put(report('a', 4));
  assert.equal(pending.size, 3);
  assert.deepEqual(seqs(pending.take(0, 2)), [2, 3]);
  assert.deepEqual(seqs(pending.take(0, 2)), [4]);
  assert.equal(pending.size, 0);
});

test('what comes back unwritten waits again, or is settled with what was reported since', () => {
  pending.put(report('a', 1));
  const [taken] = pending.take(0, 1) as [Report];
  pending.putBack(taken);
  assert.deepEqual(seqs(pending.of(0)), [1]);
  const [again] = pending.take(0, 1) as [Report];
  pending.put(report('a', 2, { partition: 3, sinceMs: 50 }));
  pending.putBack(again);
  assert.equal(pending.size, 1);
  const [newer] = pending.take(3, 1);
  assert.equal(newer?.sinceMs, 0);
});

test('what comes back unwritten after a newer one was acknowledged is settled, and waits no more', () => {
  pending.put(report('a', 1));
  const [taken] = pending.take(0, 1) as [Report];
  taken.driver.position = report('a', 2).position;
  assert.equal(pending.putBack(taken), true);
  assert.equal(pending.size, 0);
});

test('a held checkpoint that is sent again, over this connection or the next, waits for the last to send it', () => {
  pending.put(report('a', 1, { checkpoint: true }));
  const [held] = pending.of(0) as [Report];
  held.nacked = true;
  assert.equal(pending.put(report('a', 1, { checkpoint: true, sinceMs: 70 })), false);
  assert.deepEqual([held.nacked, held.sinceMs], [false, 70]);
  const next = report('a', 1, { checkpoint: true, origin: other });
  next.position.session = 2;
  next.position.seq = 9;
  assert.equal(pending.put(next), false);
  assert.equal(held.origin, other);
  assert.equal(held.position.seq, 9);
  // One that comes back from the store says nothing about who sent it last.
  held.nacked = true;
  pending.putBack(report('a', 1, { checkpoint: true }));
  assert.equal(held.origin, other);
  assert.equal(pending.size, 1);
});

test('a checkpoint that was sent again while it was under way waits once when it comes back', () => {
  pending.put(report('a', 1, { checkpoint: true }));
  const [underWay] = pending.take(0, 1) as [Report];
  assert.equal(pending.put(report('a', 1, { checkpoint: true })), true);
  assert.equal(pending.putBack(underWay), false);
  assert.equal(pending.size, 1);
});

test('a driver who was let go while a report was under way waits again as one', () => {
  pending.put(report('a', 1));
  const [taken] = pending.take(0, 1) as [Report];
  fleet.letGo('a', taken.driver);
  pending.put(report('a', 2));
  pending.putBack(taken);
  assert.equal(pending.size, 1);
  assert.deepEqual(seqs(pending.take(0, 2)), [2]);
});
