// `replicated`: what an answer may promise, with replicas in step, frozen and gone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { waitFor } from '../dev/server-process.js';
import { LiveStore } from './live-store.js';
import { position, QUIET, type StoreFixture, startStore } from './testing/store-fixture.js';

const DEADLINE_MS = 20_000;
const PARTITION = 0;

let fixture: StoreFixture;
let store: LiveStore;
let nextDriver = 0;

before(async () => {
  fixture = await startStore({ replicas: 1 });
  const redis = {
    redisUrls: fixture.cluster.urls,
    commandTimeoutMs: 300,
    connectTimeoutMs: 500,
    socketTimeoutMs: 500,
  };
  store = await LiveStore.connect({ redis, map: fixture.map, log: QUIET, durability: 'replicated' });
});
after(async () => {
  store.close();
  await fixture.stop();
});

const record = () => store.record(PARTITION, [position(`driver-${nextDriver++}`)]);

async function until(isReplicated: boolean): Promise<void> {
  await waitFor(`replicated is ${isReplicated}`, DEADLINE_MS, async () => {
    const answer = await record();
    assert.deepEqual(answer.outcomes, ['accepted']);
    return answer.isReplicated === isReplicated || undefined;
  });
}

/** The port of the replica of the partition's master. */
async function replicaPort(): Promise<number> {
  const role = (await fixture.command(PARTITION, 'ROLE')) as [string, number, [string, string, string][]];
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
    for (let i = 0; i < 3; i++) {
      const answer = await record();
      assert.deepEqual([answer.outcomes, answer.isReplicated], [['accepted'], false]);
    }
  } finally {
    fixture.cluster.kill(port, 'SIGCONT');
  }
  await until(true);
  fixture.cluster.kill(port, 'SIGKILL');
  await until(false);
  await fixture.cluster.restartNode(port);
  await until(true);
});

test('a store that was not asked to wait promises nothing', async () => {
  const { isReplicated } = await fixture.store.record(PARTITION, [position('plain')]);
  assert.equal(isReplicated, false);
});
