// The jobs that make a cluster outside of `npm start`, as a deployment runs them, on servers started the same way.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findRedisServer } from '../../local/find-servers.js';
import { freeRedisPorts } from '../../local/ports.js';
import { withAdmin } from '../../local/redis-node.js';
import { type ServerProcess, startServer, waitFor } from '../../local/server-process.js';
import { parseClusterNodes } from '../live-store/topology.js';
import { USER_NAMES } from './users.js';

const script = (name: string) => fileURLToPath(new URL(`./${name}.js`, import.meta.url));
const CONFIGURATION = fileURLToPath(new URL('../../../deploy/redis/redis.conf', import.meta.url));
const DEADLINE_MS = 30_000;
const ADMIN = 'admin-password-of-this-test';

const dir = mkdtempSync(join(tmpdir(), 'whereabouts-setup-'));
const setup = join(dir, 'setup');
const passwords = join(dir, 'passwords');
const servers = new Map<number, ServerProcess>();
let ports: number[];
let redisServer: string;

function run(name: string, env: NodeJS.ProcessEnv): Promise<{ code: number; out: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [script(name)], { env, timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), out: `${stdout}${stderr}` }),
    );
  });
}

async function startNode(port: number, data = join(dir, String(port))): Promise<void> {
  mkdirSync(data, { recursive: true });
  const args = [
    CONFIGURATION,
    '--include',
    join(setup, 'secrets.conf'),
    '--dir',
    data,
    '--port',
    String(port),
  ];
  const logFile = join(dir, `${port}.log`);
  const server = await startServer({
    command: redisServer,
    args: [...args, '--cluster-announce-ip', '127.0.0.1'],
    logFile,
    stopSignal: 'SIGTERM',
  });
  servers.set(port, server);
}

const clusterEnv = (more: NodeJS.ProcessEnv = {}, at = ports): NodeJS.ProcessEnv => ({
  REDIS_URL: at.map((port) => `redis://localhost:${port}`).join(','),
  REDIS_PASSWORD: ADMIN,
  ...more,
});
const nodesAt = async (port: number) =>
  parseClusterNodes(
    String(await withAdmin(`127.0.0.1:${port}`, ADMIN, (node) => node.call('CLUSTER', 'NODES'))),
    '',
  );

before(async () => {
  mkdirSync(passwords);
  for (const name of USER_NAMES) writeFileSync(join(passwords, `redis-${name}`), `${name}-password-long\n`);
  writeFileSync(join(passwords, 'redis-admin'), ADMIN);
  writeFileSync(join(passwords, 'redis-replica'), 'replica-password-long');
  redisServer = await findRedisServer();
  ports = await freeRedisPorts(6);
});
after(async () => {
  await Promise.all([...servers.values()].map((server) => server.stop(5_000)));
  rmSync(dir, { recursive: true, force: true });
});

test('files: users with hashes, and what a replica needs', async () => {
  const { code, out } = await run('files', { REDIS_SETUP_DIR: setup, REDIS_PASSWORDS_DIR: passwords });
  assert.deepEqual([code, out], [0, `wrote users.acl and secrets.conf to ${setup}\n`]);
  const acl = readFileSync(join(setup, 'users.acl'), 'utf8');
  assert.equal(acl.match(/^user \w+ on #[0-9a-f]{64} /gm)?.length, USER_NAMES.length + 2);
  assert.doesNotMatch(acl, /password/);
});

test('files: passwords that are missing, short or would not be read back are refused', async () => {
  const bad = join(dir, 'bad');
  mkdirSync(bad);
  writeFileSync(join(bad, 'redis-admin'), 'has a blank and is long enough');
  writeFileSync(join(bad, 'redis-ingest'), 'short');
  const { code, out } = await run('files', { REDIS_SETUP_DIR: setup, REDIS_PASSWORDS_DIR: bad });
  assert.equal(code, 78);
  assert.equal(out.match(/has to hold a password/g)?.length, USER_NAMES.length + 2);
});

test('cluster: made by host names, with contiguous slots, masters first', async () => {
  await Promise.all(ports.map((port) => startNode(port)));
  const { code, out } = await run('cluster', clusterEnv());
  assert.deepEqual([code, out], [0, 'made a cluster of 3 masters with 1 replicas each\n']);
  const claims = await nodesAt(ports[0] as number);
  const slots = ports.map((port) => claims.find(({ address }) => address.endsWith(`:${port}`))?.slots);
  assert.deepEqual(slots, [[[0, 5460]], [[5461, 10921]], [[10922, 16383]], [], [], []]);
});

test('cluster: again it changes nothing', async () => {
  const { code, out } = await run('cluster', clusterEnv());
  assert.deepEqual([code, out], [0, 'the cluster is there: nothing to do\n']);
});

test('cluster: a replica that lost its disk comes back as one', async () => {
  const [port] = ports.slice(4) as [number];
  await servers.get(port)?.stop(5_000);
  rmSync(join(dir, String(port)), { recursive: true });
  await waitFor(
    'it counts as failed',
    DEADLINE_MS,
    async () => (await nodesAt(ports[0] as number)).some(({ failing }) => failing) || undefined,
  );
  await startNode(port);
  const { code, out } = await run('cluster', clusterEnv());
  assert.match(out, new RegExp(`^127\\.0\\.0\\.1:${port} is a replica of 127\\.0\\.0\\.1:${ports[1]}\\n$`));
  assert.equal(code, 0);
});

test('cluster: nodes that all came back at once, each at another address, meet again', async () => {
  const aliveAt = async (port: number) =>
    (await nodesAt(port)).filter(({ linked, failing }) => linked && !failing);
  const size = (port: number) => withAdmin(`127.0.0.1:${port}`, ADMIN, (node) => node.dbsize());
  const ids = (await aliveAt(ports[0] as number)).map(({ id }) => id).sort();
  // Its slot is 12182.
  await withAdmin(`127.0.0.1:${ports[2]}`, ADMIN, (node) => node.set('foo', 'kept'));
  const moved = await freeRedisPorts(6);
  await Promise.all(ports.map((port) => servers.get(port)?.stop(5_000)));
  await Promise.all(moved.map((port, i) => startNode(port, join(dir, String(ports[i])))));
  const { code, out } = await run('cluster', clusterEnv({}, moved));
  const told = 'the nodes of the cluster have met again\nthe cluster is there: nothing to do\n';
  assert.deepEqual([code, out], [0, told]);
  for (const port of moved) {
    await waitFor(`${port} sees all at their new addresses`, DEADLINE_MS, async () => {
      const seen = await aliveAt(port);
      assert.deepEqual(seen.map(({ address }) => Number(address.split(':')[1])).sort(), [...moved].sort());
      assert.deepEqual(seen.map(({ id }) => id).sort(), ids);
      return true;
    });
  }
  assert.equal(await size(moved[2] as number), 1);
  await Promise.all(moved.map((port) => servers.get(port)?.stop(5_000)));
});

test('cluster: what an earlier run left half done is begun anew', async () => {
  await Promise.all([...servers.values()].map((server) => server.stop(5_000)));
  for (const port of ports) rmSync(join(dir, String(port)), { recursive: true });
  await Promise.all(ports.map((port) => startNode(port)));
  const address = `127.0.0.1:${ports[0]}`;
  await waitFor('it answers', DEADLINE_MS, () => withAdmin(address, ADMIN, (node) => node.ping()));
  await withAdmin(address, ADMIN, (node) => node.call('CLUSTER', 'ADDSLOTSRANGE', 0, 99));
  assert.match((await run('cluster', clusterEnv())).out, /^made a cluster of 3 masters/);
});

test('cluster: a number of nodes that does not fit is refused', async () => {
  const { code, out } = await run('cluster', clusterEnv({ REDIS_REPLICAS: '3' }));
  assert.equal(code, 78);
  assert.match(out, /6 nodes: that is no number of masters with 3 replicas each/);
});
