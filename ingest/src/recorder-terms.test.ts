// The recorder over changes of a partition's term, with replicas that take over: late answers, lost tails.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { type LogFixture, startLogStore } from '@whereabouts/infra/live-store/testing/log-fixture';
import { QUIET } from '@whereabouts/infra/live-store/testing/store-fixture';
import { withAdmin } from '@whereabouts/infra/local/redis-node';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { Recorder } from './recorder.js';
import { newestOf } from './testing/log-reader.js';
import { LONDON, Told } from './testing/told.js';

const DEADLINE_MS = 20_000;
const SETTINGS = {
  lossBudgetMs: 10_000,
  holdNackAfterMs: 1000,
  tickMinMs: 10,
  tickMaxMs: 100,
  logMaxBytes: 1 << 23,
};

let fixture: LogFixture;
const running: Recorder[] = [];

before(async () => {
  fixture = await startLogStore({ replicas: 1 });
});
after(async () => {
  for (const recorder of running) await recorder.drain(0);
  await fixture.stop();
});

function start(store: LogStore): Recorder {
  const metrics = createMetrics('ingest', { commit: 'test' });
  const o = { store, settings: SETTINGS, log: QUIET, metrics, processId: `p${running.length}` };
  const recorder = new Recorder(o);
  recorder.start();
  running.push(recorder);
  return recorder;
}

const until = (what: string, holds: () => boolean | Promise<boolean>) =>
  waitFor(what, DEADLINE_MS, async () => (await holds()) || undefined);
const partition = () => fixture.map.partitionOf(LONDON.lat, LONDON.lon);
const stored = async ({ driverId }: Told) => (await newestOf(fixture.store, partition())).get(driverId);

async function onNode(address: string, ...[name, ...args]: [string, ...string[]]): Promise<unknown> {
  return withAdmin(address, fixture.cluster.password, (node) => node.call(name, ...args));
}

/** What the master of the partition takes from now on no replica has, until one of them is promoted. */
async function cutReplication(): Promise<{ promote(): Promise<void> }> {
  const master = fixture.store.nodeOf(partition()) as string;
  const replica = await waitFor('a replica is in step', DEADLINE_MS, async () => {
    const [, offset, [found]] = (await onNode(master, 'ROLE')) as [
      string,
      number,
      [string, string, string][],
    ];
    return found && Number(found[2]) >= offset - 1_000 ? `${found[0]}:${found[1]}` : undefined;
  });
  await onNode(replica, 'CONFIG', 'SET', 'masterauth', 'wrong');
  await onNode(master, 'CLIENT', 'KILL', 'TYPE', 'replica');
  await until('replication is cut', async () =>
    String(await onNode(replica, 'INFO', 'replication')).includes('master_link_status:down'),
  );
  return {
    async promote() {
      await onNode(replica, 'CLUSTER', 'FAILOVER', 'TAKEOVER');
      await until('the replica is promoted', () => fixture.store.nodeOf(partition()) === replica);
      await onNode(replica, 'CONFIG', 'SET', 'masterauth', '');
      await until('it takes writes', () => fixture.store.reachable(partition()));
    },
  };
}

async function waiting(): Promise<string[]> {
  const o = { cursor: null, place: null, pageSize: 100 };
  return (await fixture.store.waitingCheckpoints(partition(), o)).waiting.map(({ field }) => field);
}

test('replication cut between an append and a checkpoint: only the checkpoint is lost, and it is kept again', async () => {
  const recorder = start(await fixture.connect());
  const driver = new Told(recorder);
  driver.report(1);
  await until('accepted', () => driver.last === 'accepted 1');
  const cut = await cutReplication();
  driver.checkpoint(2, 'trip-1');
  await until('kept', () => driver.last === 'kept 2');
  await cut.promote();
  const field = `${driver.driverId}:trip-1`;
  await until('it waits again', async () => (await waiting()).includes(field));
  assert.equal((await stored(driver))?.seq, 1);
  assert.ok(!driver.lines.includes('persisted 2'));
  await fixture.store.checkpointsDone(partition(), [field]);
  await until('persisted', () => driver.last === 'persisted 2');
});

test('a lost tail of the log: written again, and nobody is told anything new', async () => {
  const recorder = start(await fixture.connect());
  const drivers = Array.from({ length: 50 }, () => new Told(recorder));
  for (const driver of drivers) driver.report(1);
  await until('accepted', () => drivers.every(({ lines }) => lines.length === 1));
  const cut = await cutReplication();
  const [silent, busy] = [drivers.slice(0, 25), drivers.slice(25)];
  for (const driver of silent) driver.report(2);
  await until('accepted', () => silent.every(({ last }) => last === 'accepted 2'));
  await cut.promote();
  for (const driver of busy) driver.report(3);
  await until('all stand there', async () => {
    const newest = await newestOf(fixture.store, partition());
    return drivers.every(({ driverId }, i) => newest.get(driverId)?.seq === (i < 25 ? 2 : 3));
  });
  await until('accepted', () => busy.every(({ last }) => last === 'accepted 3'));
});

test('an answer of a term that has ended, after the scan for losses, acknowledges nothing', async () => {
  const store = await fixture.connect();
  const append = store.append.bind(store);
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let answers = 0;
  store.append = async (...args) => {
    const answer = await append(...args);
    if (++answers === 1) await gate;
    return answer;
  };
  const recorder = start(store);
  const driver = new Told(recorder);
  const accepted = driver.accepted.bind(driver);
  let toldAfter = 0;
  driver.accepted = (...args) => {
    toldAfter = answers;
    accepted(...args);
  };
  driver.report(1);
  await until('answered, but not heard', () => answers === 1);
  // Everything of the node is lost, and another call of ours is the first to hear of it.
  await fixture.command(partition(), 'FLUSHALL');
  driver.checkpoint(2, 'trip-1');
  await until('kept', () => driver.last === 'kept 2');
  assert.equal(await stored(driver), undefined);
  open();
  await until('written', () => driver.last === 'accepted 1');
  assert.equal((await stored(driver))?.seq, 1);
  assert.deepEqual([toldAfter, driver.lines.length], [2, 2]);
});

test('replicated: an acknowledgement says what the replicas have', async () => {
  const recorder = start(await fixture.connect({ durability: 'replicated' }));
  const driver = new Told(recorder);
  let seq = 0;
  await until('replicated', async () => {
    driver.report(++seq);
    await until('told', () => driver.lines.length === seq);
    return driver.last === `replicated ${seq}`;
  });
  const cut = await cutReplication();
  driver.report(++seq);
  driver.checkpoint(++seq, 'trip-1');
  await until('told', () => driver.lines.length === seq);
  assert.deepEqual(driver.lines.slice(-2).sort(), [`accepted ${seq - 1}`, `kept ${seq}`]);
  await cut.promote();
  await until('both stand there again', async () => {
    const field = `${driver.driverId}:trip-1`;
    return (await waiting()).includes(field) && (await stored(driver))?.seq === seq - 1;
  });
});
