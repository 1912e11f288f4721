// Sessions over several processes, on a real cluster.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { type LogFixture, startLogStore } from '@whereabouts/infra/live-store/testing/log-fixture';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { sessionPartitionOf } from '@whereabouts/infra/session-partition';
import { TestProcess } from './testing/claiming.js';

const DEADLINE_MS = 20_000;
const PARTITIONS = 64;

let fixture: LogFixture;
const processes: TestProcess[] = [];
let drivers = 0;

before(async () => {
  fixture = await startLogStore();
});
afterEach(() => {
  for (const { claims } of processes.splice(0)) claims.close();
});
after(() => fixture.stop());

/** With a store of its own, as a process has; each knows the clock of every node. */
async function startProcess(): Promise<TestProcess> {
  const store = await fixture.connect();
  for (let partition = 0; partition < PARTITIONS; partition++) await store.touch(partition);
  const started = new TestProcess({ store });
  processes.push(started);
  return started;
}

const nextDriver = () => `driver-${++drivers}`;
const partitionOf = (driverId: string) => sessionPartitionOf(driverId, PARTITIONS);
const sessionsKey = (driverId: string) => `sessions:{${fixture.map.tagOf(partitionOf(driverId))}}`;
const standing = async (driverId: string) =>
  (await fixture.store.sessions(partitionOf(driverId), [driverId]))[0] ?? null;
const until = (what: string, holds: () => boolean | Promise<boolean>) =>
  waitFor(what, DEADLINE_MS, async () => ((await holds()) ? true : undefined));
const settled = (...all: TestProcess[]) =>
  until('all claims are answered', () => all.every(({ claims }) => claims.unanswered === 0));

test('a connection begins at once, and its session stands in the store', async () => {
  const one = await startProcess();
  const driverId = nextDriver();
  const connection = one.open(driverId);
  assert.ok(Math.abs(connection.session - Date.now()) < 5_000);
  await settled(one);
  assert.deepEqual(connection.sessions.length, 1, 'not renumbered');
  assert.deepEqual(await standing(driverId), {
    session: connection.session,
    connectionId: connection.connectionId,
  });
});

test('within one process the older connection hears it before open returns', async () => {
  const one = await startProcess();
  const driverId = nextDriver();
  const older = one.open(driverId);
  const newer = one.open(driverId);
  assert.deepEqual([older.supersededTimes, newer.isSuperseded], [1, false]);
  assert.ok(newer.session > older.session);
  await settled(one);
  assert.equal((await standing(driverId))?.connectionId, newer.connectionId);
  assert.deepEqual([older.supersededTimes, newer.isSuperseded], [1, false]);
});

test('a driver known here never begins below his last session', async () => {
  const one = await startProcess();
  const ahead = Date.now() + 3_600_000;
  assert.equal(one.open(nextDriver(), { session: ahead }).session, ahead + 1);
});

test('another process is told, in turn and back', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const driverId = nextDriver();
  let last = one.open(driverId);
  await settled(one);
  for (const process of [two, one, two]) {
    const next = process.open(driverId);
    await settled(process);
    await until('the older one hears it', () => last.isSuperseded);
    assert.ok(!next.isSuperseded && next.session > last.session);
    assert.deepEqual(await standing(driverId), { session: next.session, connectionId: next.connectionId });
    last = next;
  }
});

test('on both at once: one stays, and it is the one with the greatest session', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const pairs = Array.from({ length: 50 }, () => {
    const driverId = nextDriver();
    return [one.open(driverId), two.open(driverId)] as const;
  });
  await settled(one, two);
  await until('one of each hears it', () => pairs.every(([a, b]) => a.isSuperseded || b.isSuperseded));
  for (const [a, b] of pairs) {
    assert.ok(a.isSuperseded !== b.isSuperseded);
    const [stays, goes] = a.isSuperseded ? [b, a] : [a, b];
    const stands = await standing(a.driverId);
    assert.equal(stands?.connectionId, stays.connectionId);
    assert.ok(stays.session === stands?.session && stays.session > goes.session);
  }
});

test('thousands who come back in one moment share a call for each partition', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const drivers = Array.from({ length: 6_400 }, nextDriver);
  const older = drivers.map((id) => one.open(id));
  await settled(one);
  const newer = drivers.map((id) => two.open(id));
  await settled(two);
  await until('all hear it', () => older.every(({ isSuperseded }) => isSuperseded));
  assert.ok(newer.every(({ isSuperseded }) => !isSuperseded));
  assert.ok(two.claims.counts.calls <= 2 * PARTITIONS, `${two.claims.counts.calls} calls`);
});

test('a driver whose session is ahead: the new connection is renumbered above it', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const driverId = nextDriver();
  const older = one.open(driverId, { session: Date.now() + 60_000 });
  await settled(one);
  const newer = two.open(driverId);
  await settled(two);
  assert.equal(newer.session, older.session + 1);
  assert.equal(newer.sessions.length, 2);
  assert.ok(!newer.isSuperseded);
});

test('a connection that closed before its claim was answered is told of a greater session', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const driverId = nextDriver();
  const older = one.open(driverId, { session: Date.now() + 60_000 });
  await settled(one);
  const newer = two.open(driverId);
  newer.close();
  await settled(two);
  assert.deepEqual(newer.sessions.at(-1), older.session + 1);
  await until('the older one hears it', () => older.isSuperseded);
  assert.ok(!newer.isSuperseded);
});

test('what was not told is found by a look, and only a greater session ends a connection', async () => {
  const one = await startProcess();
  const [overtaken, alone, emptied, raised] = [nextDriver(), nextDriver(), nextDriver(), nextDriver()].map(
    (id) => one.open(id),
  ) as [
    ReturnType<typeof one.open>,
    ReturnType<typeof one.open>,
    ReturnType<typeof one.open>,
    ReturnType<typeof one.open>,
  ];
  await settled(one);
  const write = async (driverId: string, session: number, connectionId: string) => {
    const value = Buffer.alloc(18);
    for (const [at, number] of [
      [0, session],
      [6, session - 5_000],
      [12, session - 5_000],
    ] as const)
      value.writeUIntLE(number, at, 6);
    const bytes = Buffer.concat([value, Buffer.from(connectionId)]);
    await fixture.command(partitionOf(driverId), 'HSET', sessionsKey(driverId), driverId, bytes);
  };
  await write(overtaken.driverId, overtaken.session + 1, 'another-1');
  await write(alone.driverId, alone.session - 1, 'another-2');
  await fixture.command(
    partitionOf(emptied.driverId),
    'HDEL',
    sessionsKey(emptied.driverId),
    emptied.driverId,
  );
  await write(raised.driverId, raised.session + 7, raised.connectionId);
  const raisedFrom = raised.session;
  one.claims.look(0); // sets the phase
  one.claims.look(60_000);
  await until('the overtaken one hears it', () => overtaken.isSuperseded);
  await until('the raised one hears it', () => raised.session === raisedFrom + 7);
  for (const connection of [alone, emptied])
    await until('it is claimed again', async () => {
      const stands = await standing(connection.driverId);
      return stands?.connectionId === connection.connectionId && stands.session >= connection.session;
    });
  assert.ok(!alone.isSuperseded && !emptied.isSuperseded && !raised.isSuperseded);
});

test('live entries are claimed again in time, so that the sweep of a day takes none', async () => {
  const one = await startProcess();
  const connections = Array.from({ length: 20 }, () => one.open(nextDriver()));
  await settled(one);
  const { claims } = one.claims.counts;
  one.claims.look(0);
  one.claims.look(6 * 3_600_000);
  await settled(one);
  assert.equal(one.claims.counts.claims, claims + 20);
  assert.ok(connections.every(({ sessions, isSuperseded }) => sessions.length === 1 && !isSuperseded));
});

test('a driver who leaves his new connection without a report is handed back to whom it was taken from', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const [silent, spoke] = [nextDriver(), nextDriver()];
  const older = [one.open(silent), one.open(spoke)];
  await settled(one);
  const newer = [two.open(silent, { hasReported: false }), two.open(spoke)];
  await settled(two);
  await until('both hear it', () => older.every(({ isSuperseded }) => isSuperseded));
  // Two more connections there, of which none reports.
  const last = two.open(silent, { hasReported: false });
  await settled(two);
  for (const connection of [...newer, last]) connection.close();
  await until('it is handed back', () => one.handedBack.length > 0);
  assert.deepEqual(one.handedBack, [silent]);
});

test('a channel that was lost is heard again, and what was missed is looked for', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const connections = Array.from({ length: 10 }, () => one.open(nextDriver()));
  await settled(one);
  const partition = partitionOf(one.claims.processId);
  const { looks } = one.claims.counts;
  await fixture.command(partition, 'CLIENT', 'KILL', 'TYPE', 'pubsub');
  for (const { driverId } of connections) two.open(driverId);
  await until('all hear it', () => connections.every(({ isSuperseded }) => isSuperseded));
  assert.ok(one.claims.counts.looks >= looks);
});

test('messages that are none of ours are passed over', async () => {
  const [one, two] = [await startProcess(), await startProcess()];
  const connection = one.open(nextDriver());
  await settled(one);
  const { driverId, connectionId } = connection;
  for (const text of [
    '',
    '{',
    '{}',
    '[1]',
    '[["left"]]',
    '[["held","d"]]',
    `[["held","${driverId}","x","y",9e15]]`,
  ])
    await fixture.store.publish(one.claims.processId, text);
  await fixture.store.publish(
    one.claims.processId,
    JSON.stringify([['held', driverId, connectionId, 'other-1', connection.session]]),
  );
  assert.ok(!connection.isSuperseded, 'not greater');
  two.open(driverId);
  await until('it hears the true one', () => connection.isSuperseded);
});

test('a call that fails is tried again, as often as needed', async () => {
  const one = await startProcess();
  const driverId = nextDriver();
  const meta = `meta:{${fixture.map.tagOf(partitionOf(driverId))}}`;
  const term = String(await fixture.command(partitionOf(driverId), 'HGET', meta, 'term'));
  await fixture.command(
    partitionOf(driverId),
    'HSET',
    meta,
    'term',
    term.replace(fixture.map.hash, 'another'),
  );
  const connection = one.open(driverId);
  await until('it failed three times', () => one.claims.counts.failedCalls >= 3);
  assert.equal(one.claims.unanswered, 1);
  await fixture.command(partitionOf(driverId), 'HSET', meta, 'term', term);
  await settled(one);
  assert.equal((await standing(driverId))?.connectionId, connection.connectionId);
  assert.ok(!connection.isSuperseded);
});
