// A shell runs the printed commands unchanged, on a real cluster. With few slots, as each costs several processes.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { keySlot } from '@whereabouts/infra/hash-slot';
import { parseClusterNodes } from '@whereabouts/infra/live-store/topology';
import { findRedisServer } from '@whereabouts/infra/local/find-servers';
import { freeRedisPorts } from '@whereabouts/infra/local/ports';
import { startRedisNode, withAdmin } from '@whereabouts/infra/local/redis-node';
import { type RedisCluster, startRedisCluster } from '@whereabouts/infra/local/redis-servers';
import { type ServerProcess, waitFor } from '@whereabouts/infra/local/server-process';
import type { Move } from './contiguous-moves.js';
import { commandsToAdd, commandsToRemove } from './redis-commands.js';

const FOUND = spawnSync('redis-cli', ['--version']).status === 0;
const SKIP = FOUND ? false : 'there is no redis-cli on the PATH';
const LIBRARY = `#!lua name=whereabouts_test\nredis.register_function('hello', function() return 'hello' end)`;
const DEADLINE_MS = 20_000;

let dir: string;
let cluster: RedisCluster;
let added: ServerProcess;
let newPort: number;

before(async () => {
  if (!FOUND) return;
  dir = await mkdtemp(join(tmpdir(), 'whereabouts-plan-'));
  const redisServer = await findRedisServer();
  const users = [{ name: 'someone', password: 'else', rules: '+ping' }];
  cluster = await startRedisCluster({ masters: 3, replicas: 0, dir, redisServer, users });
  [newPort] = (await freeRedisPorts(1)) as [number];
  added = await startRedisNode({
    redisServer,
    dir: join(dir, 'new'),
    host: '127.0.0.1',
    port: newPort,
    appendfsync: 'everysec',
    nodeTimeoutMs: 1_000,
    locale: 'C',
    users,
    passwords: { admin: cluster.password ?? '', replica: 'unused' },
    orphanGraceS: 0,
  });
  for (const { host, port } of cluster.nodes) {
    await withAdmin(`${host}:${port}`, cluster.password, (node) => node.call('FUNCTION', 'LOAD', LIBRARY));
  }
});
after(async () => {
  await cluster?.stop();
  await added?.stop(8_000);
  if (dir) await rm(dir, { recursive: true, force: true });
});

const run = (commands: readonly string[]) =>
  promisify(execFile)('/bin/sh', ['-e', '-c', commands.join('\n')], {
    env: { ...process.env, REDISCLI_AUTH: cluster.password },
  });
const first = () => `127.0.0.1:${cluster.nodes[0]?.port}`;
async function claims() {
  const text = await withAdmin(first(), cluster.password, (node) => node.cluster('NODES'));
  return parseClusterNodes(String(text), first());
}

test('the commands add a master with its functions, move the slots with their keys, and take it away', {
  skip: SKIP,
}, async () => {
  const key = Array.from({ length: 100_000 }, (_, i) => `k${i}`).find(
    (each) => keySlot(each) === 5_455,
  ) as string;
  const stream = `log:{${key}}`;
  await withAdmin(first(), cluster.password, async (node) => {
    await node.set(key, 'kept');
    await node.xadd(stream, '7-3', 'b', 'batch');
    await node.xtrim(stream, 'MAXLEN', 0);
  });
  const [from, to] = [first(), `127.0.0.1:${newPort}`];
  const there: Move = { from, to, slots: { first: 5_460, last: 5_451 } };
  const masters = await claims();
  await run(commandsToAdd([there], masters, to));
  assert.deepEqual((await claims()).find(({ address }) => address === to)?.slots, [[5_451, 5_460]]);
  await withAdmin(to, cluster.password, async (node) => {
    assert.equal(await node.get(key), 'kept');
    await assert.rejects(node.xadd(stream, '7-3', 'b', 'batch'), /smaller/, 'a log keeps its last id');
    assert.equal(await node.fcall('hello', 0), 'hello');
  });

  const back: Move = { from: to, to: from, slots: { first: 5_451, last: 5_460 } };
  const all = await claims();
  await run(
    commandsToRemove(
      [back],
      all,
      all.filter(({ address }) => address === to),
    ),
  );
  assert.equal(await withAdmin(first(), cluster.password, (node) => node.get(key)), 'kept');
  await waitFor(
    'everyone has forgotten it',
    DEADLINE_MS,
    async () => (await claims()).length === 3 || undefined,
  );
});
