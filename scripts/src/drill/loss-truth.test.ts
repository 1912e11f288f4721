// The truth about a loss, read from a real cluster that loses something.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
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

before(async () => {
  const users = [{ name: READER.username, password: READER.password, rules: RULES }];
  fixture = await startLogStore({ users, replicas: 1 });
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

async function shardOf(address: string): Promise<{ replica: string; pids: Record<string, number> }> {
  const text = await withAdmin(address, fixture.cluster.password, (node) => node.cluster('NODES'));
  const nodes = parseClusterNodes(String(text), address);
  const owner = ownersOf(nodes).find((node) => node.address === address);
  assert.ok(owner);
  const [replica] = replicasOf(nodes, owner);
  assert.ok(replica);
  const pids = fixture.cluster.nodes.map(({ host, port, pid }) => [`${host}:${port}`, pid] as const);
  return { replica: replica.address, pids: Object.fromEntries(pids) };
}

test('a replica that has not heard all takes over: what it lacks of what was told is lost', async () => {
  const { store, cluster, map } = fixture;
  const master = store.nodeOf(PARTITION) as string;
  const { replica, pids } = await shardOf(master);
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
    // Healing: the new owner is given one of them again, which brings back nothing that it had lost.
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
