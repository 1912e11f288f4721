// What `npm run inspect` reads, on a real cluster.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { batchOf, type LogFixture, startLogStore } from '@whereabouts/infra/live-store/testing/log-fixture';
import { position } from '@whereabouts/infra/live-store/testing/store-fixture';
import { sessionPartitionOf } from '@whereabouts/infra/session-partition';
import { lookAtPartitions, lookForDriver, newestIn } from './cache-view.js';
import { cacheText, partitionsText } from './inspect-text.js';

let fixture: LogFixture;

before(async () => {
  fixture = await startLogStore();
});
after(() => fixture.stop());

const append = (partition: number, ...positions: ReturnType<typeof position>[]) =>
  fixture.store.append(partition, batchOf(...positions), positions.length);

test('a driver is found in the log and in the snapshot, the newest record first', async () => {
  const { store } = fixture;
  const nowMs = Date.now();
  await append(5, position('anna', { recordedAtMs: nowMs - 5_000, seq: 1 }));
  await store.compact(5, 0);
  const { term, revision } = (await append(9, position('anna', { recordedAtMs: nowMs, seq: 2 }))).state;
  await store.checkpoint(9, [position('anna', { checkpoint: true, checkpointId: 'trip' })]);
  const claim = {
    kind: 'first' as const,
    driverId: 'anna',
    connectionId: 'one',
    connectedAtMs: 0,
    session: 0,
  };
  const home = sessionPartitionOf('anna', store.map.partitions);
  const { session } = (await store.claim(home, [claim])).results[0] as { session: number };

  const before = await lookForDriver(store, 'anna');
  const told = before.views.map(({ partition, place, position: at }) => [partition, place, at?.seq]);
  assert.deepEqual(told, [
    [9, 'log', 2],
    [5, 'snapshot', 1],
  ]);
  assert.deepEqual(before.session, { session, connectionId: 'one' });
  const [newest] = before.views;
  assert.deepEqual(newest?.id, { term, revision });
  assert.equal(newest?.waitingCheckpoints, 1);
  assert.deepEqual([newest?.persisted, newest?.refused], [false, false]);

  const begun = await store.begin(9, 'flusher', 5_000);
  const o = { term: begun.term, revision: begun.revision, asOfMs: begun.nowMs, flusherId: 'flusher' };
  await store.flushed(9, o);
  assert.equal((await lookForDriver(store, 'anna')).views[0]?.persisted, true);
  await store.refuse(9, [{ driverId: 'anna', id: { term, revision } }], true);
  const [refused] = (await lookForDriver(store, 'anna')).views;
  assert.deepEqual([refused?.persisted, refused?.refused], [false, true]);
  assert.match(cacheText(await lookForDriver(store, 'anna')), /Postgres refuses it/);
});

test('of many drivers, over several pages of the log', async () => {
  const ids = Array.from({ length: 700 }, (_, i) => `d${i}`);
  for (const id of ids) await append(20, position(id));
  await fixture.store.compact(20, 0);
  for (const id of ids.slice(300)) await append(20, position(id));
  const newest = await newestIn(fixture.store, 20, [...ids, 'nobody']);
  assert.equal(newest.size, 700);
  assert.equal([...newest.values()].filter(({ place }) => place === 'log').length, 400);
});

test('a record of a format that is not known here is told as such', async () => {
  const odd = Buffer.from(batchOf(position('odd')));
  odd[5] = 77; // the format
  await fixture.store.append(30, odd, 1);
  const view = await lookForDriver(fixture.store, 'odd');
  assert.equal(view.views[0]?.position, null);
  assert.match(cacheText(view), /of a format that is not known here/);
});

test('every partition tells its term, its log and what is flushed', async () => {
  await append(40, position('a'), position('b'));
  const { partitions, missing } = await lookAtPartitions(fixture.store);
  assert.deepEqual(missing, []);
  assert.equal(partitions.length, 64);
  const of = partitions.find(({ partition }) => partition === 40);
  assert.equal(of?.entries, 1);
  assert.equal(of?.drivers, 0);
  assert.ok((of?.state.logBytes ?? 0) > 0);
  const lines = partitionsText(partitions).split('\n');
  assert.equal(lines.length, 65);
  assert.match(lines[0] ?? '', /term +revision +log bytes +entries +snapshot +compacted +flushed/);
});
