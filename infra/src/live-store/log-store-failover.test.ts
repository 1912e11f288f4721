// What a term says after failovers: who lost what, and that lost ids are never taken for those that use them again.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { withAdmin } from '../../local/redis-node.js';
import { waitFor } from '../../local/server-process.js';
import { formatAddress, parseAddress } from '../node-address.js';
import { FIRST_ID, isAfter } from '../record.js';
import { lostAbove, type ToldState } from './log-state.js';
import { batchOf, type LogFixture, startLogStore } from './testing/log-fixture.js';
import { position } from './testing/store-fixture.js';

const DEADLINE_MS = 30_000;
const PARTITION = 5;

let fixture: LogFixture;

before(async () => {
  fixture = await startLogStore({ replicas: 1, nodeTimeoutMs: 60_000 });
});
after(() => fixture.stop());

const on = <T>(address: string, ...args: [string, ...string[]]): Promise<T> =>
  withAdmin(address, fixture.cluster.password, (node) => node.call(...args)) as Promise<T>;
const kill = (address: string, signal: 'SIGSTOP' | 'SIGCONT') =>
  fixture.cluster.kill(parseAddress(address).port, signal);
const info = async (address: string, section: string) => String(await on(address, 'INFO', section));

async function append(recordedAtMs: number): Promise<ToldState> {
  const { store } = fixture;
  return waitFor(`${recordedAtMs} is taken`, DEADLINE_MS, async () => {
    const batch = batchOf(position('d', { recordedAtMs }));
    return store.append(PARTITION, batch, 1).then(
      ({ state }) => state,
      () => undefined,
    );
  });
}

async function replicaOf(master: string): Promise<string> {
  const [, , replicas] = await on<[string, number, [string, string, string][]]>(master, 'ROLE');
  const [host, port] = replicas[0] as [string, string, string];
  return formatAddress({ host, port: Number(port) });
}

const isLinked = async (replica: string, master: string) => {
  const text = await info(replica, 'replication');
  return text.includes('master_link_status:up') && text.includes(`master_port:${parseAddress(master).port}`);
};

test('A writes while its replica is cut off, B is promoted and nobody writes, A resynchronises and is promoted again', async () => {
  const { store } = fixture;
  const a = store.nodeOf(PARTITION) as string;
  const b = await replicaOf(a);
  await append(1);
  await append(2);
  const kept = await append(3);
  await waitFor('B has them', DEADLINE_MS, async () => {
    const [one, two] = await Promise.all([info(a, 'replication'), info(b, 'replication')]);
    const offset = /master_repl_offset:(\d+)/.exec(one)?.[1];
    return two.includes(`slave_repl_offset:${offset}`) || undefined;
  });
  const runId = /run_id:(\w+)/.exec(await info(a, 'server'))?.[1];
  kill(b, 'SIGSTOP');
  // What would wait for B in its socket goes too.
  await on(a, 'CLIENT', 'KILL', 'TYPE', 'replica');
  await append(4);
  const lost = await append(5);
  assert.equal(lost.term, kept.term);
  kill(a, 'SIGSTOP');
  kill(b, 'SIGCONT');
  await on(b, 'CLUSTER', 'FAILOVER', 'TAKEOVER');
  await waitFor(
    'B is master',
    DEADLINE_MS,
    async () => (await info(b, 'replication')).includes('role:master') || undefined,
  );
  kill(a, 'SIGCONT');
  await waitFor('A follows B', DEADLINE_MS, async () => (await isLinked(a, b)) || undefined);
  await on(a, 'CLUSTER', 'FAILOVER', 'TAKEOVER');
  await waitFor(
    'A is master',
    DEADLINE_MS,
    async () => (await info(a, 'replication')).includes('role:master') || undefined,
  );
  assert.equal(/run_id:(\w+)/.exec(await info(a, 'server'))?.[1], runId, 'it is the same process');
  const now = await append(6);
  assert.equal(store.nodeOf(PARTITION), a);
  assert.equal(now.incarnation, kept.incarnation);
  assert.ok(now.term > kept.term, 'a new term, although run id and revisions look alike');
  assert.deepEqual([now.previous, now.base], [kept.term, kept.revision]);
  assert.equal(now.revision, lost.revision - 1, 'the lost ids are used again');
  assert.equal(lostAbove(lost, now), kept.revision);
  assert.ok(isAfter(now, lost), 'and yet come after them');
  const after = await store.entries(PARTITION, lost, 10);
  assert.deepEqual(
    after.entries.map(({ id }) => id),
    [{ term: now.term, revision: now.revision }],
  );
  // A flush that began before must not move the watermark past what is gone.
  await assert.rejects(
    store.flushed(PARTITION, { term: lost.term, revision: lost.revision, asOfMs: 1, flusherId: 'f' }),
    { code: 'term_changed' },
  );
  assert.deepEqual((await store.touch(PARTITION)).flushed, FIRST_ID);
});

test('a node that is emptied: a new incarnation', async () => {
  const before = await append(10);
  const address = fixture.store.nodeOf(PARTITION) as string;
  await on(address, 'FLUSHALL');
  const now = await append(11);
  assert.notEqual(now.incarnation, before.incarnation);
  assert.equal(lostAbove(before, now), -1);
});
