// A cluster with one master in a network namespace: whole, cut off, repaired, and fully removed afterwards. Skipped,
// with the reason, if namespaces are not available.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findRedisServer } from './find-servers.js';
import {
  makeNetworkNamespace,
  namespaceOf,
  removeStrayNamespaces,
  setCable,
  whyNoNamespace,
} from './network-namespace.js';
import { withAdmin } from './redis-node.js';
import { startRedisCluster } from './redis-servers.js';
import { isAlive, waitFor } from './server-process.js';

const DEADLINE_MS = 20_000;
const LACKING = await whyNoNamespace();
const skip = LACKING ?? false;

const hasInterface = (address: string) =>
  Object.values(networkInterfaces()).some((all) => all?.some((one) => one.address === address));

test('what is missing is told as a person can put it right', async () => {
  const given = process.env.PATH;
  process.env.PATH = '/nowhere';
  try {
    assert.match((await whyNoNamespace()) ?? '', /^it needs (Linux|(root and )?ip of iproute2 on the PATH)$/);
  } finally {
    process.env.PATH = given;
  }
});

test('a master in a namespace joins, is cut off and mended, and its cluster comes back without one', {
  skip,
}, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'whereabouts-namespace-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const users = [{ name: 'reader', password: 'secret', rules: '~* +get' }];
  const options = { masters: 3, replicas: 1, dir, redisServer: await findRedisServer(), users };
  const namespace = await makeNetworkNamespace();
  const cluster = await startRedisCluster({ ...options, namespace });
  const pids = cluster.nodes.map(({ pid }) => pid);
  const ask = (address: string, what: 'INFO' | 'NODES') =>
    withAdmin(address, cluster.password, async (node) => String(await node.call('CLUSTER', what)));
  try {
    assert.deepEqual(
      cluster.nodes.map(({ host }) => host === namespace.address),
      [false, true, false, false, false, false],
    );
    assert.deepEqual(pids.map(namespaceOf), [null, namespace.name, null, null, null, null]);
    const [outside, inside] = cluster.nodes.map(({ host, port }) => `${host}:${port}`) as [string, string];
    await setCable(namespace.name, 'down');
    await assert.rejects(ask(inside, 'INFO'));
    await waitFor('the others hold it for failing', DEADLINE_MS, async () => {
      const lines = (await ask(outside, 'NODES')).split('\n');
      return lines.some((line) => line.includes(` ${inside}@`) && line.includes('fail')) || undefined;
    });
    await setCable(namespace.name, 'up');
    await waitFor('it is back', DEADLINE_MS, async () =>
      (await ask(inside, 'INFO')).includes('cluster_state:ok') ? true : undefined,
    );
  } finally {
    await cluster.stop();
    await namespace.remove();
  }
  assert.deepEqual(pids.filter(isAlive), []);
  assert.equal(hasInterface(namespace.hostAddress), false);

  const again = await startRedisCluster(options);
  const hosts = again.nodes.map(({ host }) => host);
  await again.stop();
  assert.deepEqual([...new Set(hosts)], ['127.0.0.1']);
});

/** Makes one in a separate process, which then waits to be killed. */
const MAKER = `const { makeNetworkNamespace } = await import(process.argv[1]);
console.log((await makeNetworkNamespace()).hostAddress); setInterval(() => {}, 1000);`;

test('what a killed process leaves is removed, by its guard or by the next start', { skip }, async () => {
  const module = new URL('./network-namespace.js', import.meta.url).href;
  const maker = spawn(process.execPath, ['--input-type=module', '-e', MAKER, module], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await once(maker.stdout, 'data');
  const address = String(said).trim();
  await removeStrayNamespaces();
  assert.equal(hasInterface(address), true, 'that of a process that runs is left alone');
  maker.kill('SIGKILL');
  const name = join('/var/run/netns', `whereabouts-${maker.pid}`);
  await waitFor('its guard removes it', DEADLINE_MS, () => !existsSync(name) || undefined);
  assert.equal(hasInterface(address), false);

  execFileSync('ip', ['netns', 'add', `whereabouts-${maker.pid}`]);
  await removeStrayNamespaces();
  assert.equal(existsSync(name), false, 'the next start removes it');
});
