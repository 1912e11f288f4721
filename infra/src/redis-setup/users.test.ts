// Each user of a real cluster may do what its service does with the live store, and not what others do.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readerConnection } from '../../local/reader-connection.js';
import { waitFor } from '../../local/server-process.js';
import type { LogStore } from '../live-store/log-store.js';
import { batchOf, type LogFixture, startLogStore } from '../live-store/testing/log-fixture.js';
import { position, rejects } from '../live-store/testing/store-fixture.js';
import { FIRST_ID } from '../record.js';
import { redisUserName, redisUsers } from './users.js';

const password = 'p'.repeat(32);
const names = ['ingest', 'flusher', 'query', 'promoter', 'reader'] as const;
type Name = (typeof names)[number];
const redis = Object.fromEntries(names.map((name) => [name, password])) as Record<Name, string>;
const PARTITION = 7;
const CLAIM = { kind: 'first' as const, driverId: 'anna', connectionId: 'one', connectedAtMs: 0, session: 0 };
const TRIP = position('anna', { checkpoint: true, checkpointId: 'trip' });
const PAGE = { cursor: '0', pageSize: 100 };

let fixture: LogFixture;

before(async () => {
  fixture = await startLogStore({ users: redisUsers(redis), replicas: 1 });
});
after(() => fixture.stop());

async function storeOf(name: Name): Promise<LogStore> {
  const username = redisUserName(name);
  const timeouts = { commandTimeoutMs: 500, connectTimeoutMs: 500, socketTimeoutMs: 500 };
  return fixture.connect({
    redis: { redisUrls: fixture.cluster.urls, username, password, ...timeouts },
    readOnly: name === 'query' || name === 'reader',
    durability: name === 'ingest' ? 'replicated' : 'cache',
    loadsFunctions: name === 'flusher',
  });
}

const append = (store: LogStore) => store.append(PARTITION, batchOf(position('anna')), 1);

async function readAll(store: LogStore): Promise<void> {
  await store.entries(PARTITION, FIRST_ID, 10);
  await store.snapshot(PARTITION, { cursor: null, place: null, pageSize: 10 });
  await store.refused(PARTITION);
  await store.counts(PARTITION);
  await store.waitingCheckpoints(PARTITION, { cursor: null, place: null, pageSize: 10 });
}

const isRefused = async (work: Promise<unknown>) => assert.notEqual(await rejects(work), 'nothing');

test('ingest appends, waits for replicas, keeps checkpoints, claims, and compacts', async () => {
  const store = await storeOf('ingest');
  // While the waiting connection is connecting, nothing counts as replicated.
  await waitFor(
    'it is replicated',
    10_000,
    async () => (await (await append(store)).replicated) || undefined,
  );
  await store.touch(PARTITION);
  await store.compact(PARTITION, 0, { holder: 'ingest', ms: 1_000 });
  await store.checkpoint(PARTITION, [TRIP]);
  await store.checkpointStandings(PARTITION, ['anna:trip']);
  await store.checkpointsDone(PARTITION, ['anna:none']);
  await store.claim(PARTITION, [CLAIM]);
  await store.sessions(PARTITION, ['anna']);
  await isRefused(store.begin(PARTITION, 'ingest', 1_000));
});

test('ingest: a term whose id is behind the log is begun anew', async () => {
  const ahead = Date.now() + 3_600_000;
  const tag = fixture.map.tagOf(PARTITION + 1);
  await fixture.command(PARTITION + 1, 'XADD', `log:{${tag}}`, `${ahead}-7`, 't', ahead, 'b', '');
  const store = await storeOf('ingest');
  const { state } = await store.append(PARTITION + 1, batchOf(position('anna')), 1);
  assert.ok(state.term > ahead);
});

test('flusher does all that a pass does, loads functions, restores and rewinds', async () => {
  const store = await storeOf('flusher');
  await store.loadFunctions();
  await readAll(store);
  const { term, revision, nowMs } = await store.begin(PARTITION, 'flusher', 5_000);
  await store.flushed(PARTITION, { term, revision, asOfMs: nowMs, flusherId: 'flusher' });
  await store.begin(PARTITION, 'flusher', 5_000);
  await store.release(PARTITION, 'flusher');
  const noted = [{ driverId: 'anna', id: { term, revision } }];
  await store.refuse(PARTITION, noted, true);
  await store.refuse(PARTITION, noted, false);
  await store.checkpointsConflict(PARTITION, ['anna:trip']);
  await store.checkpointsDone(PARTITION, ['anna:trip']);
  await store.compact(PARTITION, 0, { holder: 'flusher', ms: 1_000 });
  await store.sweep(PARTITION, { ...PAGE, removeBeforeMs: Date.now() });
  await store.sweepSessions(PARTITION, { ...PAGE, claimedBeforeMs: 0 });
  await store.rewind(PARTITION, 1);
  await append(store);
});

for (const name of ['query', 'reader'] as const) {
  test(`${name} reads all that answers are made of, and writes nothing`, async () => {
    const store = await storeOf(name);
    await readAll(store);
    await isRefused(append(store));
    await isRefused(store.touch(PARTITION));
    await isRefused(store.rewind(PARTITION, 1));
  });
}

test('reader looks at replicas too', async () => {
  const address = fixture.store.nodeOf(PARTITION) as string;
  const node = readerConnection(address, { username: redisUserName('reader'), password }, 1_000);
  await node.connect();
  try {
    await node.readonly();
    assert.match(await node.info('server'), /run_id/);
    assert.match(String(await node.cluster('NODES')), /master/);
    const meta = `meta:{${fixture.map.tagOf(PARTITION)}}`;
    await assert.rejects(node.hset(meta, 'term', 'x'), /NOPERM/);
    await assert.rejects(node.get('anything'), /NOPERM/);
  } finally {
    node.disconnect();
  }
});

test('ingest tells ingest, on the channels of claims alone', async () => {
  const address = fixture.store.nodeOf(PARTITION) as string;
  const identity = { username: redisUserName('ingest'), password };
  const [heard, told] = [
    readerConnection(address, identity, 1_000),
    readerConnection(address, identity, 1_000),
  ];
  const channel = `supersession:{${fixture.map.tagOf(PARTITION)}}:a-process`;
  try {
    await Promise.all([heard.connect(), told.connect()]);
    const message = new Promise((resolve) => heard.on('smessage', (_, text) => resolve(text)));
    await heard.ssubscribe(channel);
    await told.spublish(channel, 'superseded');
    assert.equal(await message, 'superseded');
    await assert.rejects(told.spublish(`other:{${fixture.map.tagOf(PARTITION)}}`, 'x'), /NOPERM/);
  } finally {
    heard.disconnect();
    told.disconnect();
  }
});

test('the promoter sees no key', async () => {
  const address = fixture.store.nodeOf(PARTITION) as string;
  const node = readerConnection(address, { username: redisUserName('promoter'), password }, 1_000);
  await node.connect();
  try {
    await node.ping();
    await assert.rejects(node.hmget(`meta:{${fixture.map.tagOf(PARTITION)}}`, 'term'), /NOPERM/);
  } finally {
    node.disconnect();
  }
});
