// What the promoter tells of who cannot be replaced, and whom it watches. Nodes on IPv6, as any address is.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { findRedisServer } from '../../local/find-servers.js';
import { withAdmin } from '../../local/redis-node.js';
import { type RedisCluster, startRedisCluster } from '../../local/redis-servers.js';
import { waitFor } from '../../local/server-process.js';
import { hasIpv6 } from '../../local/testing/ipv6.js';
import { reconnectDelayMs } from '../live-store/node-connection.js';
import { QUIET } from '../live-store/testing/store-fixture.js';
import { parseClusterNodes } from '../live-store/topology.js';
import { formatAddress } from '../node-address.js';
import { createMetrics } from '../service/metrics.js';
import { Promoter } from './promoter.js';

const DEADLINE_MS = 30_000;
const HOST = hasIpv6 ? '::1' : '127.0.0.1';

let dir: string;
let cluster: RedisCluster;
let promoter: Promoter;
const metrics = createMetrics('promoter', { commit: 'test' });

const at = (port: number) => formatAddress({ host: HOST, port });
const onNode = (port: number, ...args: [string, ...(string | number)[]]) =>
  withAdmin(at(port), cluster.password, (node) => node.call(...args));
const checkOf = (name: string) => promoter.readiness().checks.find((check) => check.name === name);
const told = (name: string, detail: string) =>
  waitFor(`${name}: ${detail}`, DEADLINE_MS, () => checkOf(name)?.detail === detail || undefined).catch(
    (error) => {
      throw new Error(`${error.message}, but: ${checkOf(name)?.detail}`);
    },
  );

async function metric(name: string): Promise<number> {
  const text = await metrics.registry.metrics();
  return Number(new RegExp(`^whereabouts_promoter_${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

/** A master, and its replica. */
async function shard(index: number): Promise<[number, number]> {
  const asked = cluster.nodes[index]?.port as number;
  const claims = parseClusterNodes(String(await onNode(asked, 'CLUSTER', 'NODES')), at(asked));
  const master = claims.find(({ address }) => address === at(asked));
  const replica = claims.find(({ masterId }) => masterId === master?.id);
  const portOf = (address: string | undefined) =>
    cluster.nodes.find(({ port }) => at(port) === address)?.port;
  return [asked, portOf(replica?.address) as number];
}

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'whereabouts-given-up-'));
  const redisServer = await findRedisServer();
  // So long that only a promoter can be the one who acts.
  cluster = await startRedisCluster({
    masters: 3,
    replicas: 1,
    dir,
    redisServer,
    nodeTimeoutMs: 60_000,
    host: HOST,
  });
  const timeouts = { commandTimeoutMs: 300, connectTimeoutMs: 500, socketTimeoutMs: 500 };
  promoter = new Promoter({ redis: { redisUrls: cluster.urls, ...timeouts }, log: QUIET, metrics });
  await promoter.start();
  await told('cluster', '3 masters are watched');
  await told('replicas', 'masters without one: 0');
});

after(async () => {
  promoter.stop();
  await cluster.stop();
  await rm(dir, { recursive: true, force: true });
});

test('each node is watched once, by its own address', async () => {
  assert.equal(await metric('nodes'), 6);
  assert.equal(await metric('masters'), 3);
});

test('each node tells whether it is up, its memory and its clock; of a silent one only that it is silent', async () => {
  const [master, replica] = await shard(0);
  const ofNode = async (name: string, port: number): Promise<number | undefined> => {
    const text = await metrics.registry.metrics();
    const series = `whereabouts_promoter_node_${name}{redis_node="${at(port)}"} `;
    const line = text.split('\n').find((each) => each.startsWith(series));
    return line === undefined ? undefined : Number(line.slice(series.length));
  };
  assert.deepEqual([await ofNode('up', master), await ofNode('up', replica)], [1, 1]);
  assert.deepEqual([await ofNode('is_master', master), await ofNode('is_master', replica)], [1, 0]);
  assert.equal(await ofNode('max_memory_bytes', master), 0);
  await onNode(master, 'CONFIG', 'SET', 'maxmemory', '1gb');
  await waitFor('its limit is told', DEADLINE_MS, async () =>
    (await ofNode('max_memory_bytes', master)) === 2 ** 30 ? true : undefined,
  );
  assert.ok(((await ofNode('used_memory_bytes', master)) ?? 0) > 100_000);
  // One machine has one clock.
  assert.ok(Math.abs((await ofNode('clock_offset_seconds', master)) ?? 9) < 1);
  cluster.kill(replica, 'SIGSTOP');
  await waitFor('the silent one is down', DEADLINE_MS, async () =>
    (await ofNode('up', replica)) === 0 ? true : undefined,
  );
  assert.deepEqual([await ofNode('used_memory_bytes', replica), await ofNode('up', master)], [undefined, 1]);
  cluster.kill(replica, 'SIGCONT');
  await told('replicas', 'masters without one: 0');
});

test('a replica that is frozen, or linked no more, is none', async () => {
  const [master, replica] = await shard(0);
  cluster.kill(replica, 'SIGSTOP');
  await told('replicas', `masters without one: 1 (${at(master)})`);
  assert.equal(await metric('masters_without_replica'), 1);
  cluster.kill(replica, 'SIGCONT');
  await told('replicas', 'masters without one: 0');
  await onNode(replica, 'CONFIG', 'SET', 'masterauth', 'wrong');
  await onNode(replica, 'CONFIG', 'SET', 'masteruser', 'nobody');
  await onNode(master, 'CLIENT', 'KILL', 'TYPE', 'replica');
  await told('replicas', `masters without one: 1 (${at(master)})`);
  await onNode(replica, 'CONFIG', 'SET', 'masterauth', '');
  await onNode(replica, 'CONFIG', 'SET', 'masteruser', '');
  await told('replicas', 'masters without one: 0');
});

test('a promotion that is given up is told, and comes about when a replica is back', async () => {
  const [master, replica] = await shard(1);
  cluster.kill(replica, 'SIGKILL');
  cluster.kill(master, 'SIGKILL');
  await told('promotions', `given up: 1 (${at(master)})`);
  await told('replicas', `masters without one: 1 (${at(master)})`);
  assert.deepEqual([checkOf('promotions')?.ok, checkOf('replicas')?.ok], [false, false]);
  assert.deepEqual([await metric('masters_given_up'), await metric('masters_without_replica')], [1, 1]);
  assert.ok(promoter.readiness().ready);
  // It alone, so that it can only be by promotion.
  await cluster.restartNode(replica);
  await waitFor('the replica takes over', DEADLINE_MS, async () =>
    ((await onNode(replica, 'ROLE')) as unknown[])[0] === 'master' ? true : undefined,
  );
  await told('promotions', 'given up: 0');
  await cluster.restartNode(master);
  await told('replicas', 'masters without one: 0');
});

test('a node that has left the cluster is watched no more, whether it is gone or runs on', async () => {
  const [, gone] = await shard(0);
  const [, runsOn] = await shard(2);
  const ids = await Promise.all(
    [gone, runsOn].map(async (port) => String(await onNode(port, 'CLUSTER', 'MYID'))),
  );
  cluster.kill(gone, 'SIGKILL');
  const left = cluster.nodes.map(({ port }) => port).filter((port) => port !== gone && port !== runsOn);
  for (const port of left) for (const id of ids) await onNode(port, 'CLUSTER', 'FORGET', id);
  await waitFor('four are watched', DEADLINE_MS, async () => (await metric('nodes')) === 4 || undefined);
  await told('cluster', '3 masters are watched');
});

test('a node that was just lost is met again at once, and one that stays away less and less often', () => {
  for (let attempt = 1; attempt <= 60; attempt++) assert.equal(reconnectDelayMs(attempt), 50);
  for (const attempt of [61, 70, 80, 100, 10_000]) {
    const ms = Array.from({ length: 200 }, () => reconnectDelayMs(attempt));
    assert.ok(Math.min(...ms) >= 25 && Math.max(...ms) <= 1000);
    assert.ok(attempt < 100 || Math.min(...ms) >= 500);
    assert.ok(new Set(ms).size > 100, 'at random');
  }
});
