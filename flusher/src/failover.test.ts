// A node that takes entries while its replica is cut off, is replaced, follows, and is promoted again: it is the same
// process, and the ids of what it has lost are used again. Nobody may call those flushed.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { lostAbove } from '@whereabouts/infra/live-store/log-state';
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { batchOf, type LogFixture, startLogStore } from '@whereabouts/infra/live-store/testing/log-fixture';
import { QUIET, rejects } from '@whereabouts/infra/live-store/testing/store-fixture';
import { withAdmin } from '@whereabouts/infra/local/redis-node';
import { waitFor } from '@whereabouts/infra/local/server-process';
import type { Position } from '@whereabouts/infra/position';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { PacedLog } from '@whereabouts/infra/service/paced-log';
import { CheckpointWriter } from './checkpoint-writer.js';
import { flushMetrics } from './flush-metrics.js';
import { FlushPass } from './flush-pass.js';
import { statusOf } from './partition-status.js';
import { RefusedPositions } from './refused-positions.js';
import { type ArchiveFixture, startArchive, stored } from './testing/archive-fixture.js';
import { liveView } from './testing/live-view.js';
import { readUnflushed } from './unflushed.js';
import { UnflushedRecords } from './unflushed-records.js';

const DEADLINE_MS = 20_000;
/** Not the first of its node, which is the one that is probed. */
const PARTITION = 5;

let redis: LogFixture;
let postgres: ArchiveFixture;
before(async () => {
  [redis, postgres] = await Promise.all([startLogStore({ replicas: 1 }), startArchive()]);
});
after(() => Promise.all([redis?.stop(), postgres?.stop()]));

const onNode = (port: number, ...args: [string, ...string[]]) =>
  withAdmin(`127.0.0.1:${port}`, redis.cluster.password, (node) => node.call(...args));
const infoOf = async (port: number) => String(await onNode(port, 'INFO', 'replication'));
const told = (port: number, what: RegExp) =>
  waitFor(`${port}: ${what}`, DEADLINE_MS, async () => what.test(await infoOf(port)) || undefined);

/** The node that owns the partition, and its replica. */
async function shard(): Promise<[number, number]> {
  const master = Number(redis.store.nodeOf(PARTITION)?.split(':').at(-1));
  await told(master, /slave0:.*state=online/);
  const replica = Number(/slave0:ip=[^,]+,port=(\d+)/.exec(await infoOf(master))?.[1]);
  return [master, replica];
}

async function cutOff(master: number, replica: number): Promise<void> {
  await onNode(replica, 'CONFIG', 'SET', 'masterauth', 'wrong');
  await onNode(replica, 'CONFIG', 'SET', 'masteruser', 'nobody');
  await onNode(master, 'CLIENT', 'KILL', 'TYPE', 'replica');
  await told(replica, /master_link_status:down/);
}

/** The replica is promoted without its master's consent, which follows it; then the old master is promoted again. */
async function replaceAndPromoteAgain(master: number, replica: number): Promise<void> {
  await onNode(replica, 'CLUSTER', 'FAILOVER', 'TAKEOVER');
  await onNode(replica, 'CONFIG', 'SET', 'masterauth', '');
  await onNode(replica, 'CONFIG', 'SET', 'masteruser', '');
  await told(master, /role:slave[\s\S]*master_link_status:up/);
  await waitFor(`${master} is promoted`, DEADLINE_MS, async () => {
    if (/role:master/.test(await infoOf(master))) return true;
    // Refused while it does not know yet whom it follows, and given up where the other is slow.
    await onNode(master, 'CLUSTER', 'FAILOVER').catch(() => {});
    return undefined;
  });
  await told(master, /slave0:.*state=online/);
}

/** Opened anew: one that was open would have probed the replica. */
async function connectAnew(): Promise<LogStore> {
  const store = await redis.connect();
  await waitFor('the partition', DEADLINE_MS, async () => store.reachable(PARTITION) || undefined);
  return store;
}

const runPass = async (store: LogStore) => {
  const metrics = flushMetrics(createMetrics('flusher', { commit: 'test' }));
  const refused = new RefusedPositions({ store, log: QUIET, metrics });
  const archive = postgres.archive({ mapHash: redis.map.hash });
  const own = { store, archive, refused, metrics, flusherId: 'pass', sweepAfterMs: 300_000 };
  return new FlushPass({ ...own, log: QUIET, paced: new PacedLog(), reached: () => {} }).run([
    await statusOf(store, PARTITION),
  ]);
};
const append = async (store: LogStore, ...positions: Position[]) =>
  (await store.append(PARTITION, batchOf(...positions), positions.length)).state;
const report = (driverId: string, recordedAtMs: number) => stored(driverId, { session: 1, recordedAtMs });
const archived = async () =>
  (await postgres.sql('SELECT driver_id FROM driver_positions ORDER BY driver_id')).map(
    ({ driver_id: driverId }) => driverId,
  );

test('lost ids that are used again are not flushed, and a lost checkpoint is not persisted', async () => {
  const nowMs = Date.now();
  const [master, replica] = await shard();
  await append(redis.store, report('kept', nowMs));
  assert.equal((await runPass(redis.store)).flushed, 1);
  const offset = async (port: number) => Number(/master_repl_offset:(\d+)/.exec(await infoOf(port))?.[1]);
  const written = await offset(master);
  await waitFor(
    'the replica has it',
    DEADLINE_MS,
    async () => (await offset(replica)) >= written || undefined,
  );

  await cutOff(master, replica);
  for (const id of ['lost1', 'lost2', 'lost3']) await append(redis.store, report(id, nowMs));
  const trip = { ...report('lost1', nowMs), checkpoint: true, checkpointId: 'trip' };
  const taken = (await redis.store.checkpoint(PARTITION, [trip])).state;
  // A pass is under way: all but the watermark.
  const began = await redis.store.begin(PARTITION, 'pass', 30_000);
  const newest = new UnflushedRecords(PARTITION, new Map());
  for await (const { unreadable } of readUnflushed(redis.store, began, newest))
    assert.deepEqual(unreadable, []);
  assert.equal(newest.take().length, 3);
  redis.store.close();
  await replaceAndPromoteAgain(master, replica);

  const line = String(await onNode(master, 'HGET', `meta:{${redis.map.tagOf(PARTITION)}}`, 'term'));
  assert.match(line, new RegExp(` ${began.term} `), 'nobody wrote: it is still the same term');
  const store = await connectAnew();
  const { term, revision, nowMs: asOfMs } = began;
  const old = { term, revision, asOfMs, flusherId: 'pass' };
  assert.equal(await rejects(store.flushed(PARTITION, old)), 'term_changed', 'nobody wrote there');

  // The lost revisions are used again.
  let state = await append(store, report('new1', nowMs));
  for (const id of ['new2', 'new3', 'new4']) state = await append(store, report(id, nowMs));
  assert.ok(state.term > term && state.revision >= revision - 1, `${state.term}-${state.revision}`);
  assert.equal(await rejects(store.flushed(PARTITION, old)), 'term_changed');
  const view = await liveView(store, PARTITION);
  const persisted = [...view.values()].filter((record) => record.persisted).map(({ driverId }) => driverId);
  assert.deepEqual(persisted, ['kept']);

  const { state: now, standings } = await store.checkpointStandings(PARTITION, ['lost1:trip']);
  const lost = lostAbove(taken, now);
  assert.deepEqual(standings, ['gone']);
  assert.ok(lost !== null && taken.revision > lost, 'its loss is known');
  const metrics = flushMetrics(createMetrics('flusher', { commit: 'test' }));
  const archive = postgres.archive({ mapHash: redis.map.hash });
  const writer = new CheckpointWriter({ store, archive, log: QUIET, metrics });
  assert.equal(await writer.run([PARTITION]), 0);

  assert.equal((await runPass(store)).flushed, 1);
  assert.deepEqual(await archived(), ['kept', 'new1', 'new2', 'new3', 'new4']);
  const after = await statusOf(store, PARTITION);
  assert.deepEqual([after.dirtySinceMs, after.flushed.term], [null, state.term]);
  assert.ok(after.flushed.revision >= state.revision);
});

test('a pass whose node is replaced while it reads begins again, and nothing is left behind', async () => {
  const store = await connectAnew();
  const nowMs = Date.now();
  const ids = Array.from({ length: 200 }, (_, i) => `many${i}`);
  for (const id of ids) await append(store, report(id, nowMs));
  const master = Number(store.nodeOf(PARTITION)?.split(':').at(-1));
  await told(master, /slave0:.*state=online/);
  const replica = Number(/slave0:ip=[^,]+,port=(\d+)/.exec(await infoOf(master))?.[1]);
  const began = await store.begin(PARTITION, 'pass', 1_000);
  const pages = readUnflushed(store, began, new UnflushedRecords(PARTITION, new Map()));
  await pages.next();
  await onNode(replica, 'CLUSTER', 'FAILOVER', 'TAKEOVER');
  await told(replica, /role:master/);
  await waitFor('the store has seen it', DEADLINE_MS, async () => {
    const isThere = store.nodeOf(PARTITION)?.endsWith(`:${replica}`) && store.reachable(PARTITION);
    return isThere || undefined;
  });
  assert.match(await rejects(pages.next()), /^(term|place)_changed$/);
  await waitFor('a pass', DEADLINE_MS, async () => (await runPass(store)).flushed === 1 || undefined);
  const there = await archived();
  assert.deepEqual(
    ids.filter((id) => !there.includes(id)),
    [],
  );
});
