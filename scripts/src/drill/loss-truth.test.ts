// The truth about a loss, read from a real cluster that loses something.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { logKeys } from '@whereabouts/infra/live-store/log-keys';
import { batchOf, type LogFixture, startLogStore } from '@whereabouts/infra/live-store/testing/log-fixture';
import { position } from '@whereabouts/infra/live-store/testing/store-fixture';
import { parseClusterNodes } from '@whereabouts/infra/live-store/topology';
import { withAdmin } from '@whereabouts/infra/local/redis-node';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { ownersOf, replicasOf, withNode } from './cluster-view.js';
import { newestUpTo } from './log-reading.js';
import { LossTruth } from './loss-truth.js';
import type { Ack } from './observations.js';

const READER = { username: 'reader', password: 'r'.repeat(32) };
const RULES = '%R~*:{*} +ping +info +readonly +hget +hmget +xrange';
const DEADLINE_MS = 20_000;
const PARTITION = 40;

let fixture: LogFixture;

const USERS = [{ name: READER.username, password: READER.password, rules: RULES }];

before(async () => {
  fixture = await startLogStore({ users: USERS, replicas: 1 });
});
after(() => fixture.stop());

const append = (partition: number, driverId: string, recordedAtMs: number) =>
  fixture.store.append(partition, batchOf(position(driverId, { recordedAtMs })), 1);

test('what a partition had when a term ended: from the log, from the snapshot, and not what came since', async () => {
  const [partition, tag] = [3, fixture.map.tagOf(3)];
  await append(partition, 'a', 1_000);
  await append(partition, 'b', 1_000);
  await fixture.store.compact(partition, 0);
  const { term } = (await append(partition, 'a', 2_000)).state;
  await fixture.store.rewind(partition, 1); // begins a term
  await append(partition, 'a', 3_000);
  const newest = () =>
    withNode({ redisReader: READER }, fixture.store.nodeOf(partition) as string, (node) =>
      newestUpTo(node, logKeys(tag), ['a', 'b', 'nobody'], term),
    );
  const expected = [
    ['a', { session: 1, recordedAtMs: 2_000 }],
    ['b', { session: 1, recordedAtMs: 1_000 }],
  ];
  assert.deepEqual([...((await newest()) ?? [])].sort(), expected);
  await fixture.store.compact(partition, 0);
  assert.equal(await newest(), null, 'a later record hides what there was');
});

async function shardOf(
  address: string,
  { cluster }: LogFixture = fixture,
): Promise<{ replicas: string[]; pids: Record<string, number> }> {
  const text = await withAdmin(address, cluster.password, (node) => node.cluster('NODES'));
  const nodes = parseClusterNodes(String(text), address);
  const owner = ownersOf(nodes).find((node) => node.address === address);
  assert.ok(owner);
  const replicas = replicasOf(nodes, owner).map((replica) => replica.address);
  const pids = cluster.nodes.map(({ host, port, pid }) => [`${host}:${port}`, pid] as const);
  return { replicas, pids: Object.fromEntries(pids) };
}

test('a replica that has not heard all takes over: what it lacks of what was told is lost', async () => {
  const { store, cluster, map } = fixture;
  const master = store.nodeOf(PARTITION) as string;
  const { replicas, pids } = await shardOf(master);
  const replica = replicas[0] as string;
  const nowMs = Date.now();
  const acks: Ack[] = [];
  const report = async (driverId: string, recordedAtMs: number) => {
    await append(PARTITION, driverId, recordedAtMs);
    const at = { sentAtMs: performance.now(), ackAtMs: performance.now() };
    acks.push({ driverId, ...at, partition: PARTITION, session: 1, recordedAtMs, durability: 'cache' });
  };
  for (const id of ['a', 'b', 'c']) await report(id, nowMs);
  await withAdmin(master, cluster.password, (node) => node.wait(1, 5_000));
  const spot = { partition: PARTITION, lat: 0, lon: 0 };
  const drivers = ['a', 'b', 'c'].map((driverId) => ({ driverId, spot }));
  const region = { partitions: [{ partition: PARTITION, tag: map.tagOf(PARTITION) }] };
  const truth = await LossTruth.of({ redisReader: READER }, [master, replica], { drivers }, region);
  try {
    process.kill(pids[replica] as number, 'SIGSTOP');
    await withAdmin(master, cluster.password, (node) => node.call('CLIENT', 'KILL', 'TYPE', 'replica'));
    for (const id of ['a', 'b']) await report(id, nowMs + 1);
    const faultAtMs = performance.now();
    process.kill(pids[master] as number, 'SIGKILL');
    process.kill(pids[replica] as number, 'SIGCONT');
    await waitFor('the replica takes over', DEADLINE_MS, async () => {
      await withAdmin(replica, cluster.password, (node) => node.call('CLUSTER', 'FAILOVER', 'TAKEOVER'));
      return true;
    });
    // Healing: the new owner is given one of them again. That restores nothing that it had lost.
    await waitFor('the new owner takes writes', DEADLINE_MS, async () => {
      await append(PARTITION, 'a', nowMs + 1);
      return true;
    });
    await waitFor('it was seen', DEADLINE_MS, () => truth.nextOwner ?? undefined);
    assert.equal(truth.nextOwner, replica);
    const two = { least: 2, most: 2 };
    assert.deepEqual(truth.lost(acks, faultAtMs), { all: two, replicated: { least: 0, most: 0 } });
  } finally {
    await truth.stop();
  }
});

test('a second replica takes over that had not heard of the first: the first is the next owner', async () => {
  const of = await startLogStore({ users: USERS, replicas: 2 });
  const { store, cluster, map } = of;
  const write = (recordedAtMs: number) =>
    store.append(PARTITION, batchOf(position('a', { recordedAtMs })), 1);
  const takeOver = async (address: string, recordedAtMs: number) => {
    await waitFor(`${address} takes over`, DEADLINE_MS, async () => {
      await withAdmin(address, cluster.password, (node) => node.call('CLUSTER', 'FAILOVER', 'TAKEOVER'));
      return true;
    });
    await waitFor(`${address} takes writes`, DEADLINE_MS, async () => {
      await write(recordedAtMs);
      return store.nodeOf(PARTITION) === address || undefined;
    });
  };
  const master = store.nodeOf(PARTITION) as string;
  const { replicas, pids } = await shardOf(master, of);
  const [first, second] = replicas as [string, string];
  const nowMs = Date.now();
  await write(nowMs);
  await withAdmin(master, cluster.password, (node) => node.wait(2, 5_000));
  const drivers = [{ driverId: 'a', spot: { partition: PARTITION, lat: 0, lon: 0 } }];
  const region = { partitions: [{ partition: PARTITION, tag: map.tagOf(PARTITION) }] };
  // The second comes before the first: the order in which they are looked at is irrelevant.
  const truth = await LossTruth.of({ redisReader: READER }, [master, second, first], { drivers }, region);
  try {
    process.kill(pids[second] as number, 'SIGSTOP');
    process.kill(pids[master] as number, 'SIGKILL');
    await takeOver(first, nowMs + 1);
    await waitFor('the first was seen', DEADLINE_MS, () => truth.nextOwner ?? undefined);
    assert.equal(truth.nextOwner, first);
    process.kill(pids[first] as number, 'SIGKILL');
    process.kill(pids[second] as number, 'SIGCONT');
    await takeOver(second, nowMs + 2);
    await sleep(1_000); // time for it to be seen too
    assert.equal(truth.nextOwner, first);
  } finally {
    await truth.stop();
    await of.stop();
  }
});
