// The promoter on a real cluster: who is asked to take over, when, and that it stays out of what is no failure.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { findRedisServer } from '../../local/find-servers.js';
import { withAdmin } from '../../local/redis-node.js';
import { type RedisCluster, startRedisCluster } from '../../local/redis-servers.js';
import { waitFor } from '../../local/server-process.js';
import { QUIET } from '../live-store/testing/store-fixture.js';
import { parseClusterNodes } from '../live-store/topology.js';
import { createMetrics } from '../service/metrics.js';
import { isHeardByMost, Promoter } from './promoter.js';

const DEADLINE_MS = 20_000;
/** So long that only a promoter can be the one who acts. */
const NODE_TIMEOUT_MS = 60_000;

let dir: string;
let cluster: RedisCluster;
const promoters: Promoter[] = [];
const metrics = createMetrics('promoter', { commit: 'test' });

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'whereabouts-promoter-'));
  const redisServer = await findRedisServer();
  cluster = await startRedisCluster({
    masters: 3,
    replicas: 1,
    dir,
    redisServer,
    nodeTimeoutMs: NODE_TIMEOUT_MS,
  });
  const redis = {
    redisUrls: cluster.urls,
    commandTimeoutMs: 300,
    connectTimeoutMs: 500,
    socketTimeoutMs: 500,
  };
  // Several at once do no harm.
  for (let i = 0; i < 3; i++) {
    const own = i === 0 ? metrics : createMetrics('promoter', { commit: 'test' });
    const promoter = new Promoter({ redis, log: QUIET, metrics: own });
    await promoter.start();
    promoters.push(promoter);
  }
  await waitFor('the cluster is watched', DEADLINE_MS, async () => watched() || undefined);
});

after(async () => {
  for (const promoter of promoters) promoter.stop();
  await cluster.stop();
  await rm(dir, { recursive: true, force: true });
});

const watched = () =>
  promoters.every((promoter) => promoter.readiness().checks[0]?.detail === '3 masters are watched');

const at = (port: number) => `127.0.0.1:${port}`;

async function masters(askedPort: number): Promise<number[]> {
  return withAdmin(at(askedPort), cluster.password, async (connection) => {
    const stretches = await connection.cluster('SLOTS');
    return stretches.map((stretch) => Number(stretch[2]?.[1])).sort((a, b) => a - b);
  });
}

/** The masters, with a replica linked to each. */
async function whole(askedPort: number): Promise<number[] | undefined> {
  const ports = await masters(askedPort);
  for (const port of ports) {
    const info = await withAdmin(at(port), cluster.password, (connection) => connection.info('replication'));
    if (!/state=online/.test(info)) return undefined;
  }
  return ports.length === 3 ? ports : undefined;
}

const others = (port: number) => cluster.nodes.map((node) => node.port).filter((other) => other !== port);

async function replaced(port: number): Promise<void> {
  const [asked] = others(port).filter((other) => other !== port);
  await waitFor(`${port} is replaced`, DEADLINE_MS, async () => {
    const ports = await masters(asked as number);
    return (ports.length === 3 && !ports.includes(port)) || undefined;
  });
}

test('a master whose process is gone is replaced, long before its cluster agrees', async () => {
  const [port] = (await waitFor('whole', DEADLINE_MS, () => whole(cluster.nodes[0]?.port ?? 0))) as number[];
  cluster.kill(port as number, 'SIGKILL');
  await replaced(port as number);
  await cluster.restartNode(port as number);
  await waitFor('whole again', DEADLINE_MS, () => whole(port as number));
});

test('a frozen master is replaced, and follows when it wakes up', async () => {
  const all = await waitFor('whole', DEADLINE_MS, () => whole(cluster.nodes[0]?.port ?? 0));
  const port = all[1] as number;
  const rebooted = await counted('rebooted');
  cluster.kill(port, 'SIGSTOP');
  try {
    await replaced(port);
    // For that reason at once, and not after one for a wrong reason was given up.
    const reason = /promotions_total\{why="frozen",result="promoted"\} [1-9]/;
    await waitFor('it is counted', DEADLINE_MS, async () => reason.test(await counted()) || undefined);
    assert.equal(await counted('rebooted'), rebooted);
  } finally {
    cluster.kill(port, 'SIGCONT');
  }
  await waitFor('whole again', DEADLINE_MS, () => whole(port));
});

test('a replica that is gone is no reason to promote anybody', async () => {
  const all = await waitFor('whole', DEADLINE_MS, () => whole(cluster.nodes[0]?.port ?? 0));
  const replica = cluster.nodes.map((node) => node.port).find((port) => !all.includes(port)) as number;
  const before = await counted();
  cluster.kill(replica, 'SIGKILL');
  await cluster.restartNode(replica);
  await waitFor('whole again', DEADLINE_MS, () => whole(all[0] as number));
  assert.deepEqual(await masters(all[0] as number), all);
  assert.equal(await counted(), before);
});

async function counted(why = ''): Promise<string> {
  const text = await metrics.registry.metrics();
  return text
    .split('\n')
    .filter((line) => line.startsWith('whereabouts_promoter_promotions_total') && line.includes(why))
    .join('\n');
}

test('a replica is asked for an orderly handover once most masters hear it and are heard', () => {
  const line = (id: string, address: string, role: string, link: string, slots = '') =>
    `${id} ${address}@17000 ${role} ${role === 'slave' ? 'm1' : '-'} 0 0 1 ${link} ${slots}`;
  const viewOf = (asked: string, unlinked: readonly string[]) =>
    parseClusterNodes(
      [
        line(
          'm1',
          '127.0.0.1:7001',
          'master',
          unlinked.includes('7001') ? 'disconnected' : 'connected',
          '0-5',
        ),
        line(
          'm2',
          '127.0.0.1:7002',
          'master',
          unlinked.includes('7002') ? 'disconnected' : 'connected',
          '6-9',
        ),
        line(
          'm3',
          '127.0.0.1:7003',
          'master',
          unlinked.includes('7003') ? 'disconnected' : 'connected',
          '10',
        ),
        line('r1', '127.0.0.1:7004', 'slave', unlinked.includes('7004') ? 'disconnected' : 'connected'),
      ].join('\n'),
      asked,
    );
  const heard = (unlinked: Record<string, string[]>) =>
    isHeardByMost(
      '127.0.0.1:7004',
      new Map(
        ['7001', '7002', '7003', '7004'].map((port) => [
          `127.0.0.1:${port}`,
          viewOf(`127.0.0.1:${port}`, unlinked[port] ?? []),
        ]),
      ),
    );
  assert.equal(heard({}), true);
  assert.equal(heard({ 7003: ['7004'] }), true);
  assert.equal(heard({ 7002: ['7004'], 7003: ['7004'] }), false);
  assert.equal(heard({ 7002: ['7004'], 7004: ['7003'] }), false);
  assert.equal(isHeardByMost('127.0.0.1:7004', new Map()), false);
});
