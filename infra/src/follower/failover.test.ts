// A follower while masters are replaced: what is lost is known, and what comes again is not lost any more.

import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { withAdmin } from '../../local/redis-node.js';
import type { LogStore } from '../live-store/log-store.js';
import { batchOf, type LogFixture, startLogStore } from '../live-store/testing/log-fixture.js';
import { position } from '../live-store/testing/store-fixture.js';
import { parseClusterNodes } from '../live-store/topology.js';
import {
  assertFold,
  BY_HAND,
  type Following,
  follow,
  markedIds,
  pollToEnd,
  seen,
  until,
} from './testing/following.js';

let fixture: LogFixture;
let store: LogStore;
let partition = 0;

before(async () => {
  fixture = await startLogStore({ replicas: 1 });
  store = fixture.store;
});
after(() => fixture.stop());

const next = () => ++partition;
const at = (id: string) => position(id, { recordedAtMs: 1_000 });
const append = (p: number, ...ids: string[]) => store.append(p, batchOf(...ids.map(at)), ids.length);
const names = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `d${String(from + i).padStart(2, '0')}`);

/** One entry each. */
async function appendEach(p: number, ids: readonly string[]): Promise<void> {
  for (const id of ids) await append(p, id);
}

const command = (address: string, ...args: [string, ...string[]]) =>
  withAdmin(address, fixture.cluster.password, (node) => node.call(...args));

async function replicaOf(master: string): Promise<string> {
  const claims = parseClusterNodes(String(await command(master, 'CLUSTER', 'NODES')), master);
  const id = claims.find(({ address }) => address === master)?.id;
  return claims.find(({ masterId }) => masterId === id)?.address ?? assert.fail(`${master} has no replica`);
}

const isLinked = async (replica: string) =>
  /master_link_status:up/.test(String(await command(replica, 'INFO', 'replication')));

/** Masters and replicas as they were made, all in step. */
async function whole(p: number): Promise<{ master: string; replica: string }> {
  const master = store.nodeOf(p) as string;
  const replica = await replicaOf(master);
  await until('the replica is linked', () => isLinked(replica));
  await until('it has everything', async () => Number(await command(master, 'WAIT', '1', '100')) === 1);
  return { master, replica };
}

/** What the master takes from now on does not reach it. */
async function cutOff(master: string, replica: string): Promise<void> {
  await command(replica, 'CONFIG', 'SET', 'masterauth', 'wrong');
  await command(replica, 'CONFIG', 'SET', 'masteruser', 'nobody');
  await command(master, 'CLIENT', 'KILL', 'TYPE', 'replica');
  await until('the replica is cut off', async () => !(await isLinked(replica)));
}

async function promote(replica: string, p: number): Promise<void> {
  await command(replica, 'CLUSTER', 'FAILOVER', 'TAKEOVER');
  await until('everybody knows', () => store.nodeOf(p) === replica && store.reachable(p));
  await command(replica, 'CONFIG', 'SET', 'masterauth', '');
  await command(replica, 'CONFIG', 'SET', 'masteruser', '');
}

/** Five entries that are kept, and five that will be lost. */
async function losing(t: TestContext, p: number, pollMs?: number | null) {
  await appendEach(p, names(1, 5));
  const { master, replica } = await whole(p);
  const following = await follow(t, fixture, [p], pollMs);
  await cutOff(master, replica);
  await appendEach(p, names(6, 10));
  if (pollMs === BY_HAND) await pollToEnd(following, p);
  else await seen(following, p);
  assert.equal(following.sink.held.size, 10);
  return { master, replica, following };
}

async function assertHealed(following: Following, p: number, isPolled: boolean): Promise<void> {
  await append(p, ...names(6, 10));
  if (isPolled) await seen(following, p);
  else await pollToEnd(following, p);
  assert.deepEqual(markedIds(following.sink), []);
  await assertFold(following, fixture, [p]);
}

for (const isPolled of [true, false]) {
  const meanwhile = isPolled ? 'followed all the time' : 'not followed meanwhile';
  test(`failover: the same process twice, its lost ids used again, ${meanwhile}`, async (t) => {
    const p = next();
    const { master, replica, following } = await losing(t, p, isPolled ? undefined : BY_HAND);
    await promote(replica, p);
    await until('the old master is in step', () => isLinked(master));
    if (isPolled) await seen(following, p);
    await promote(master, p);
    await appendEach(p, ['new-1', 'new-2', 'new-3', 'new-4', 'new-5', 'new-6']);
    if (isPolled) await seen(following, p);
    else await pollToEnd(following, p);
    assert.deepEqual(markedIds(following.sink), names(6, 10));
    await assertFold(following, fixture, [p]);
    await assertHealed(following, p, isPolled);
  });
}

test('failover: a tail is lost and its ids are compacted before the follower looks again', async (t) => {
  const p = next();
  const { replica, following } = await losing(t, p, BY_HAND);
  await promote(replica, p);
  await appendEach(p, ['new-6', 'new-7', 'new-8', 'new-9']);
  await store.compact(p, 0);
  await append(p, 'new-10');
  await pollToEnd(following, p);
  assert.ok(following.follower.counts.breaks.gap > 0);
  assert.deepEqual(markedIds(following.sink), names(6, 10));
  await assertFold(following, fixture, [p]);
  await assertHealed(following, p, false);
});

test('failover: two terms that the follower did not see', async (t) => {
  const p = next();
  const { replica, following } = await losing(t, p, BY_HAND);
  await promote(replica, p);
  await append(p, 'new-1');
  await store.rewind(p, 1);
  await append(p, 'new-2');
  await pollToEnd(following, p);
  assert.ok(following.follower.counts.breaks.term > 0);
  assert.deepEqual(markedIds(following.sink), names(6, 10));
  await assertHealed(following, p, false);
});

test('failover: in the middle of a snapshot it begins again at the new master', async (t) => {
  const p = next();
  for (let batch = 0; batch < 20; batch++) {
    await append(p, ...Array.from({ length: 300 }, (_, i) => `b${batch}-${i}`));
  }
  for (let isMore = true; isMore; ) ({ isMore } = await store.compact(p, 0));
  const { replica } = await whole(p);
  const following = await follow(t, fixture, [p]);
  await command(replica, 'CLUSTER', 'FAILOVER', 'TAKEOVER');
  await until('it is replaced', () => store.nodeOf(p) === replica && store.reachable(p));
  await append(p, 'after');
  await seen(following, p);
  assert.equal(following.sink.held.size, 6_001);
  assert.deepEqual(markedIds(following.sink), []);
  await assertFold(following, fixture, [p]);
});

test('a slot that moves while it is written', async (t) => {
  const p = next();
  const following = await follow(t, fixture, [p]);
  let isMoved = false;
  let written = 0;
  const writing = (async () => {
    for (; !isMoved || written < 50; written++) {
      // Refused while its keys are on both sides: then it is tried again, as ingest does.
      for (let isTaken = false; !isTaken; ) {
        isTaken = await append(p, `d${written}`).then(
          () => true,
          () => false,
        );
        if (!isTaken) await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  })();
  await until('it is written', () => written > 20);
  await store.compact(p, 0);
  await moveSlot(p);
  isMoved = true;
  await writing;
  await seen(following, p);
  assert.equal(following.sink.held.size, written);
  assert.deepEqual(markedIds(following.sink), []);
  await assertFold(following, fixture, [p]);
});

/** To another master, as `CLUSTER SETSLOT` and `MIGRATE` do it. */
async function moveSlot(p: number): Promise<void> {
  const slot = String(fixture.map.slotOf(p));
  const from = store.nodeOf(p) as string;
  const claims = parseClusterNodes(String(await command(from, 'CLUSTER', 'NODES')), from);
  const masters = claims.filter(({ master, slots }) => master && slots.length > 0);
  const source = masters.find(({ address }) => address === from) ?? assert.fail();
  const target = masters.find(({ address }) => address !== from) ?? assert.fail();
  await command(target.address, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', source.id);
  await command(from, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', target.id);
  const [host = '', port = ''] = target.address.split(':');
  for (;;) {
    const keys = (await command(from, 'CLUSTER', 'GETKEYSINSLOT', slot, '100')) as string[];
    if (keys.length === 0) break;
    for (const key of keys) await command(from, 'MIGRATE', host, port, key, '0', '5000');
  }
  for (const { address } of [target, source, ...masters])
    await command(address, 'CLUSTER', 'SETSLOT', slot, 'NODE', target.id);
  await until('everybody knows', () => store.nodeOf(p) === target.address && store.reachable(p));
}
