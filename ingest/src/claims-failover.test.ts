// Sessions while masters fail: claims made during an outage, late, or lost with a tail that no replica had.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { type LogFixture, startLogStore } from '@whereabouts/infra/live-store/testing/log-fixture';
import { withAdmin } from '@whereabouts/infra/local/redis-node';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { sessionPartitionOf } from '@whereabouts/infra/session-partition';
import { type TestConnection, TestProcess } from './testing/claiming.js';

const DEADLINE_MS = 30_000;
const PARTITIONS = 64;
const DRIVERS = 40;

let fixture: LogFixture;
const processes: TestProcess[] = [];
let rounds = 0;

before(async () => {
  fixture = await startLogStore({ replicas: 1 });
});
afterEach(() => {
  for (const { claims } of processes.splice(0)) claims.close();
});
after(() => fixture.stop());

async function startProcess(): Promise<TestProcess> {
  const store = await fixture.connect();
  for (let partition = 0; partition < PARTITIONS; partition++) await store.touch(partition);
  const started = new TestProcess({ store });
  processes.push(started);
  return started;
}

const partitionOf = (driverId: string) => sessionPartitionOf(driverId, PARTITIONS);
const until = (what: string, holds: () => boolean | Promise<boolean>) =>
  waitFor(what, DEADLINE_MS, async () => ((await holds()) ? true : undefined));
const settled = (...all: TestProcess[]) =>
  until('all claims are answered', () => all.every(({ claims }) => claims.unanswered === 0));

/** Drivers whose sessions stand on the node of partition 0. */
function driversThere(): string[] {
  const round = ++rounds;
  const node = fixture.store.nodeOf(0);
  const all = Array.from({ length: 1_000 }, (_, i) => `driver-${round}-${i}`);
  return all.filter((id) => fixture.store.nodeOf(partitionOf(id)) === node).slice(0, DRIVERS);
}

async function onNode(address: string, ...[name, ...args]: [string, ...string[]]): Promise<unknown> {
  return withAdmin(address, undefined, (node) => node.call(name, ...args));
}

async function replicaOf(master: string): Promise<string> {
  return waitFor('the replica is in step', DEADLINE_MS, async () => {
    const [, , replicas] = (await onNode(master, 'ROLE')) as [string, number, [string, string, string][]];
    return replicas[0] && `${replicas[0][0]}:${replicas[0][1]}`;
  });
}

/** What the master takes from now on no replica has, until `promote`. */
async function cutReplication(): Promise<{ promote(): Promise<void> }> {
  const master = fixture.store.nodeOf(0) as string;
  const replica = await replicaOf(master);
  await onNode(replica, 'CONFIG', 'SET', 'masterauth', 'wrong');
  await onNode(master, 'CLIENT', 'KILL', 'TYPE', 'replica');
  await until('replication is cut', async () =>
    String(await onNode(replica, 'INFO', 'replication')).includes('master_link_status:down'),
  );
  return {
    async promote() {
      await onNode(replica, 'CLUSTER', 'FAILOVER', 'TAKEOVER');
      await until('the replica is promoted', () => fixture.store.nodeOf(0) === replica);
      await onNode(replica, 'CONFIG', 'SET', 'masterauth', '');
      await until('every store sees it', () => fixture.store.reachable(0));
    },
  };
}

/** The newest of each driver speaks for him, in the store and to itself, and the others have ended. */
async function assertNewest(
  newest: readonly TestConnection[],
  others: readonly TestConnection[],
): Promise<void> {
  await until('the older ones have ended', () => others.every(({ isSuperseded }) => isSuperseded));
  await until('the newest stand', async () => {
    for (const { driverId, connectionId, session } of newest) {
      const stands = (await fixture.store.sessions(partitionOf(driverId), [driverId]))[0];
      if (stands?.connectionId !== connectionId || stands.session !== session) return false;
    }
    return true;
  });
  assert.deepEqual(
    newest.filter(({ isSuperseded }) => isSuperseded),
    [],
  );
  const greatest = new Map<string, number>();
  for (const { driverId, sessions } of others)
    greatest.set(driverId, Math.max(greatest.get(driverId) ?? 0, ...sessions));
  for (const { driverId, session } of newest) assert.ok(session > (greatest.get(driverId) ?? 0), driverId);
}

test('lost with a tail: the newest of two processes claims again, and the older hears no other', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const drivers = driversThere();
  const before = drivers.map((id) => one.open(id));
  await settled(one);
  const lost = await cutReplication();
  const newest = drivers.map((id) => two.open(id));
  await settled(two);
  await until('the older ones hear it', () => before.every(({ isSuperseded }) => isSuperseded));
  await lost.promote();
  await assertNewest(newest, before);
  assert.ok(two.claims.counts.claims >= 2 * DRIVERS, 'what was lost was claimed again');
  assert.ok(
    newest.every(({ sessions }) => sessions.length === 1),
    'under the same sessions',
  );
});

test('lost with a tail while the older ones were not told: they lose, whoever claims again first', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const drivers = driversThere();
  const lost = await cutReplication();
  // Both claims of each driver are lost; the older ones hear nothing.
  const before = drivers.map((id) => one.open(id));
  await settled(one);
  const deaf = before.map((connection) => {
    connection.superseded = () => {};
    return connection;
  });
  const newest = drivers.map((id) => two.open(id));
  await settled(two);
  await lost.promote();
  await until('the newest stand', async () => {
    for (const { driverId, connectionId } of newest) {
      const stands = (await fixture.store.sessions(partitionOf(driverId), [driverId]))[0];
      if (stands?.connectionId !== connectionId) return false;
    }
    return true;
  });
  assert.deepEqual(
    newest.filter(({ isSuperseded }) => isSuperseded),
    [],
  );
  for (const [i, { session }] of newest.entries()) assert.ok(session > (deaf[i]?.session ?? 0));
});

test('lost with a tail, and new connections since: they stay, above every session that was acknowledged', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const drivers = driversThere();
  const lost = await cutReplication();
  // The sessions of these are a minute ahead, so what comes after the loss begins below them.
  const before = drivers.map((id) => one.open(id, { session: Date.now() + 60_000 }));
  await settled(one);
  await lost.promote();
  const newest = drivers.map((id) => two.open(id));
  await assertNewest(newest, before);
});

test('made while the node was down: each connection begins at once, and the newest stands when it is back', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const drivers = driversThere();
  const first = drivers.map((id) => one.open(id));
  await settled(one);
  const master = fixture.store.nodeOf(0) as string;
  await replicaOf(master);
  const port = Number(master.split(':').at(-1));
  fixture.cluster.kill(port, 'SIGKILL');
  await until('the node is gone', () => !one.claims.isReachable(0) && !two.claims.isReachable(0));
  const second = drivers.map((id) => two.open(id));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const newest = drivers.map((id) => one.open(id));
  assert.ok(
    first.every(({ isSuperseded }) => isSuperseded),
    'told within the process',
  );
  assert.ok(newest.every(({ session }) => session > 0));
  await until('another node has taken over', () => fixture.store.reachable(0));
  await assertNewest(newest, [...first, ...second]);
  await fixture.cluster.restartNode(port);
});

test('a node that stalls takes claims late and in any order: the newest connection stands', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const drivers = driversThere();
  const port = Number((fixture.store.nodeOf(0) as string).split(':').at(-1));
  fixture.cluster.kill(port, 'SIGSTOP');
  const before = drivers.map((id) => one.open(id));
  await new Promise((resolve) => setTimeout(resolve, 120));
  const newest = drivers.map((id) => two.open(id));
  await new Promise((resolve) => setTimeout(resolve, 500));
  fixture.cluster.kill(port, 'SIGCONT');
  await assertNewest(newest, before);
});

test('a slot that moves: its channel is heard at the new owner', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const connection = one.open(driversThere()[0] as string);
  await settled(one);
  const partition = partitionOf(one.claims.processId);
  const slot = String(fixture.map.slotOf(partition));
  const from = fixture.store.nodeOf(partition) as string;
  const to = [
    ...new Set(Array.from({ length: PARTITIONS }, (_, p) => fixture.store.nodeOf(p) as string)),
  ].find((node) => node !== from) as string;
  const [fromId, toId] = [
    String(await onNode(from, 'CLUSTER', 'MYID')),
    String(await onNode(to, 'CLUSTER', 'MYID')),
  ];
  await onNode(to, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId);
  await onNode(from, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId);
  for (const key of (await onNode(from, 'CLUSTER', 'GETKEYSINSLOT', slot, '100')) as string[]) {
    const [host, port] = to.split(':') as [string, string];
    await onNode(from, 'MIGRATE', host, port, key, '0', '5000');
  }
  for (const node of [to, from]) await onNode(node, 'CLUSTER', 'SETSLOT', slot, 'NODE', toId);
  await until('the new owner is known', () => fixture.store.nodeOf(partition) === to);
  two.open(connection.driverId);
  await until('it hears it', () => connection.isSuperseded);
});
