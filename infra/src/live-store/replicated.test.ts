// `replicated`: what an answer may promise, with replicas in step, frozen and gone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { waitFor } from '../../local/server-process.js';
import { LogStore } from './log-store.js';
import { batchOf, type LogFixture, startLogStore } from './testing/log-fixture.js';
import { position, QUIET } from './testing/store-fixture.js';

const DEADLINE_MS = 20_000;
const PARTITION = 0;

let fixture: LogFixture;
let store: LogStore;
let nextDriver = 0;

before(async () => {
  fixture = await startLogStore({ replicas: 1 });
  const redis = {
    redisUrls: fixture.cluster.urls,
    commandTimeoutMs: 300,
    connectTimeoutMs: 500,
    socketTimeoutMs: 500,
  };
  store = await LogStore.connect({ redis, map: fixture.map, log: QUIET, durability: 'replicated' });
});
after(async () => {
  store.close();
  await fixture.stop();
});

/** Whether it was replicated. */
async function append(partition = PARTITION): Promise<boolean> {
  const { replicated } = await store.append(partition, batchOf(position(`driver-${nextDriver++}`)), 1);
  return (await replicated) === true;
}

async function until(isReplicated: boolean): Promise<void> {
  await waitFor(
    `replicated is ${isReplicated}`,
    DEADLINE_MS,
    async () => (await append()) === isReplicated || undefined,
  );
}

/** The port of the replica of the partition's master. */
async function replicaPort(): Promise<number> {
  const role = (await fixture.command(PARTITION, 'ROLE')) as [unknown, number, unknown[][]];
  return Number(role[2][0]?.[1]);
}

test('an answer says replicated when every replica has it', async () => {
  await until(true);
  // Not each of them: on a busy machine a replica may need longer than a report waits for it.
  for (let i = 0; i < 20; i++) await until(true);
});

test('while no replica is in step, positions are taken, and told as what they are', async () => {
  const port = await replicaPort();
  fixture.cluster.kill(port, 'SIGSTOP');
  try {
    for (let i = 0; i < 3; i++) assert.equal(await append(), false);
  } finally {
    fixture.cluster.kill(port, 'SIGCONT');
  }
  await until(true);
  fixture.cluster.kill(port, 'SIGKILL');
  await until(false);
  await fixture.cluster.restartNode(port);
  await until(true);
});

test('a frozen replica under load: nobody is refused, nobody waits in line, no region is suspect', async () => {
  await until(true);
  const port = await replicaPort();
  const address = store.nodeOf(PARTITION) as string;
  const here = Array.from({ length: 64 }, (_, i) => i).filter(
    (partition) => store.nodeOf(partition) === address,
  );
  const lost: number[] = [];
  store.onUnreachable((partition) => lost.push(partition));
  const frozen = { cache: 0, replicated: 0, longestMs: 0, mostWaits: 0 };
  let isOver = false;
  const writer = async (partition: number) => {
    while (!isOver) {
      const sinceMs = performance.now();
      const isReplicated = await append(partition);
      frozen.longestMs = Math.max(frozen.longestMs, performance.now() - sinceMs);
      frozen[isReplicated ? 'replicated' : 'cache']++;
    }
  };
  const watcher = async () => {
    while (!isOver) {
      const info = String(await fixture.command(PARTITION, 'INFO', 'clients'));
      frozen.mostWaits = Math.max(frozen.mostWaits, Number(/blocked_clients:(\d+)/.exec(info)?.[1]));
    }
  };
  fixture.cluster.kill(port, 'SIGSTOP');
  const load = Promise.all([watcher(), ...[...here, ...here, ...here].map(writer)]);
  try {
    // Past the moment at which its cluster holds it for dead, and nobody waits for it any more.
    await waitFor('it is held for dead', DEADLINE_MS, async () => {
      const nodes = String(await fixture.command(PARTITION, 'CLUSTER', 'NODES'));
      return (
        nodes.split('\n').some((line) => line.includes(`:${port}@`) && / slave,fail /.test(line)) || undefined
      );
    });
    await waitFor('many have been answered', DEADLINE_MS, () => frozen.cache > 1000 || undefined);
  } finally {
    isOver = true;
    await load;
    fixture.cluster.kill(port, 'SIGCONT');
  }
  assert.equal(frozen.replicated, 0);
  assert.deepEqual(lost, []);
  assert.equal(frozen.mostWaits, 1);
  assert.ok(frozen.longestMs < 1000, `${frozen.longestMs} ms`);
  await until(true);
});

test('of many writes at once each is told what became of it', async () => {
  await waitFor('all of them replicated', DEADLINE_MS, async () => {
    const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => append(i % 64)));
    return answers.every(Boolean) || undefined;
  });
});

test('a store that was not asked to wait promises nothing', async () => {
  const { replicated } = await fixture.store.append(PARTITION, batchOf(position('plain')), 1);
  assert.equal(replicated, null);
});
