import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { formatAddress, parseAddress } from '../src/node-address.js';
import { findRedisServer } from './find-servers.js';
import { freeRedisPorts, isRedisPortFree } from './ports.js';
import { readerConnection } from './reader-connection.js';
import { adminConnection, withAdmin } from './redis-node.js';
import { type RedisCluster, type RedisClusterOptions, startRedisCluster } from './redis-servers.js';
import { isAlive, waitFor } from './server-process.js';
import { hasIpv6 } from './testing/ipv6.js';
import { noOtherUser, readableByNobody } from './testing/other-user.js';

let dir: string;
let options: RedisClusterOptions;
let cluster: RedisCluster;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'whereabouts-redis-'));
  await chmod(dir, 0o755); // so that the files have to keep others out by themselves
  const users = [{ name: 'reader', password: 'secret', rules: '~* +get +cluster|info' }];
  options = { masters: 3, replicas: 1, dir, redisServer: await findRedisServer(), users };
  cluster = await startRedisCluster(options);
});

after(async () => {
  await cluster.stop();
  await rm(dir, { recursive: true, force: true });
});

const at = (port: number) => `127.0.0.1:${port}`;

/** The port of the master that owns this slot. */
async function ownerOf(slot: number, asked = cluster.nodes[0]?.port): Promise<number> {
  return withAdmin(at(asked ?? 0), cluster.password, async (connection) => {
    const stretches = await connection.cluster('SLOTS');
    const stretch = stretches.find(([from, to]) => from <= slot && slot <= to);
    return Number(stretch?.[2]?.[1]);
  });
}

/** The key `{b}` lives in slot 3300, in the first third. */
async function value(): Promise<string | null> {
  return withAdmin(at(await ownerOf(3300)), cluster.password, (connection) => connection.get('{b}'));
}

test('three masters own contiguous thirds in the order of the ports, each with one replica', async () => {
  const roles = cluster.nodes.map((node) => node.role);
  assert.deepEqual(roles, ['master', 'master', 'master', 'replica', 'replica', 'replica']);
  const owners = await Promise.all([0, 5461, 10922].map((slot) => ownerOf(slot)));
  assert.deepEqual(
    owners,
    cluster.nodes.slice(0, 3).map((node) => node.port),
  );
});

test('the settings that were measured are in force', async () => {
  const port = cluster.nodes[0]?.port ?? 0;
  const wanted = {
    'cluster-node-timeout': '1000',
    'cluster-require-full-coverage': 'no',
    'cluster-allow-reads-when-down': 'yes',
    'cluster-replica-validity-factor': '0',
    appendonly: 'yes',
    appendfsync: 'everysec',
    'maxmemory-policy': 'noeviction',
    save: '',
  };
  await withAdmin(at(port), cluster.password, async (connection) => {
    for (const [name, expected] of Object.entries(wanted)) {
      assert.deepEqual(await connection.config('GET', name), [name, expected]);
    }
  });
});

test('users may do what their rules say, and nobody enters without a password', async () => {
  const port = await ownerOf(3300);
  const stranger = adminConnection(at(port), undefined);
  await assert.rejects(
    stranger.connect().then(() => stranger.ping()),
    /NOAUTH/,
  );
  stranger.disconnect();
  await withAdmin(at(port), cluster.password, async (connection) => {
    await connection.call('AUTH', 'reader', 'secret');
    assert.equal(await connection.get('{b}'), null);
    await assert.rejects(connection.set('{b}', 'x'), /NOPERM/);
  });
});

test('no other user of the machine can read what a node writes', { skip: noOtherUser }, () => {
  assert.deepEqual(readableByNobody(dir), []);
});

test("redis.conf does not hold the administrator's password, and that of the replicas opens nothing", async () => {
  const node = cluster.nodes[0];
  assert.ok(node && cluster.password);
  const text = readFileSync(join(dir, 'node-0', 'redis.conf'), 'utf8');
  assert.equal(text.includes(cluster.password), false);
  const [, user = '', secret = ''] = /^masteruser (.*)\nmasterauth "(.*)"$/m.exec(text) ?? [];
  await withAdmin(at(node.port), cluster.password, async (connection) => {
    await connection.call('AUTH', user, secret);
    assert.equal(await connection.ping(), 'PONG');
    for (const forbidden of [() => connection.get('{b}'), () => connection.config('GET', 'dir')]) {
      await assert.rejects(forbidden(), /NOPERM/);
    }
    await assert.rejects(connection.call('ACL', 'LIST'), /NOPERM/);
  });
});

test('a killed node comes back in its folder', async () => {
  const last = cluster.nodes.at(-1);
  assert.ok(last);
  cluster.kill(last.port, 'SIGKILL');
  await waitFor('the node is gone', 20_000, () => (isAlive(last.pid) ? undefined : true));
  const again = await cluster.restartNode(last.port);
  assert.notEqual(again.pid, last.pid);
  assert.equal(again.role, 'replica');
});

test('data survive a restart, also on other ports, and nothing is left behind', async () => {
  await withAdmin(at(await ownerOf(3300)), cluster.password, (connection) => connection.set('{b}', 'kept'));
  const before = cluster.nodes.map((node) => node.port);
  const pids = cluster.nodes.map((node) => node.pid);
  await cluster.stop();
  assert.deepEqual(pids.filter(isAlive), []);
  for (const port of before) assert.equal(await isRedisPortFree(port), true);

  cluster = await startRedisCluster({ ...options, ports: before });
  assert.equal(await value(), 'kept');
  await cluster.stop();

  cluster = await startRedisCluster({ ...options, ports: await freeRedisPorts(6) });
  assert.equal(await value(), 'kept');
});

test('a cluster that has failed over comes back whole, with the roles that it has now', async () => {
  const [first] = cluster.nodes;
  assert.ok(first);
  await withAdmin(at(await ownerOf(3300)), cluster.password, (connection) =>
    connection.set('{b}', 'failed over'),
  );
  cluster.kill(first.port, 'SIGKILL');
  const others = cluster.nodes.filter(({ port }) => port !== first.port);
  await waitFor('a replica is promoted', 20_000, async () => {
    const owner = await ownerOf(3300, others[0]?.port);
    return owner !== first.port ? owner : undefined;
  });
  await cluster.stop();
  cluster = await startRedisCluster({ ...options, ports: cluster.nodes.map((node) => node.port) });
  assert.equal(await value(), 'failed over');
  assert.equal(cluster.nodes[0]?.role, 'replica');
  assert.equal(cluster.nodes.filter(({ role }) => role === 'master').length, 3);
});

test('a description of the cluster that a power cut left empty is told, and the data stay', async () => {
  const file = join(dir, 'cluster.json');
  const whole = readFileSync(file, 'utf8');
  for (const broken of ['', '{"masters":3', 'null']) {
    await writeFile(file, broken);
    await assert.rejects(startRedisCluster(options), { code: 'broken_state' });
  }
  await writeFile(file, whole);
});

test('a folder with a cluster of another shape is refused', async () => {
  await assert.rejects(startRedisCluster({ ...options, masters: 4 }), { code: 'cluster_shape' });
});

test('nodes on ::1 keep their addresses, also on other ports', {
  skip: hasIpv6 ? false : 'no ::1 here',
}, async (t) => {
  const other = await mkdtemp(join(tmpdir(), 'whereabouts-redis-'));
  t.after(() => rm(other, { recursive: true, force: true }));
  for (let start = 0; start < 2; start++) {
    const ports = await freeRedisPorts(6);
    const six = await startRedisCluster({ ...options, dir: other, host: '::1', ports });
    try {
      const places = six.nodes.map(formatAddress);
      assert.deepEqual(
        places,
        ports.map((port) => `[::1]:${port}`),
      );
      assert.deepEqual(
        six.urls,
        ports.map((port) => `redis://[::1]:${port}`),
      );
      const text = await withAdmin(
        places[0] as string,
        six.password,
        (node) => node.cluster('NODES') as Promise<string>,
      );
      const known = [...text.matchAll(/(\S+)@\d+/g)].map(([, address]) =>
        formatAddress(parseAddress(address as string)),
      );
      assert.deepEqual(known.sort(), places.sort());
      const reader = readerConnection(places[0] as string, { username: 'reader', password: 'secret' }, 5_000);
      await reader.connect();
      assert.match(String(await reader.cluster('INFO')), /cluster_state:ok/);
      reader.disconnect();
    } finally {
      await six.stop();
    }
  }
});
