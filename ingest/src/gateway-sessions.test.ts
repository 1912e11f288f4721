import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { MAX_SEQ } from '@whereabouts/client/protocol';
import { accept, EdgeUnderTest, holdBack, tokenFor, until } from './testing/edge-under-test.js';
import { TestDriver, type TestDriverOptions } from './testing/test-driver.js';

let under: EdgeUnderTest;
let drivers: TestDriver[] = [];
let nextDriver = 0;

before(async () => {
  under = await EdgeUnderTest.start();
});
after(() => under.stop());
afterEach(async () => {
  for (const driver of drivers) driver.ws.terminate();
  drivers = [];
  under.recorder.answer = accept;
  await until('all connections are gone', () => under.connections.size === 0);
  under.pass(11_000); // and nobody is absent any more
});

function newId(): string {
  return `driver-${nextDriver++}`;
}

async function connect(id: string, options: TestDriverOptions = {}): Promise<TestDriver> {
  const driver = await TestDriver.connect(under.url, id, options);
  drivers.push(driver);
  return driver;
}

test('the newest connection wins at once, with a greater session', async () => {
  const id = newId();
  const older = await connect(id);
  const newer = await connect(id);
  await older.closedWith(4409);
  assert.ok((await newer.next('hello')).session > (await older.next('hello')).session);
  newer.report(1, under.nowMs());
  await newer.next('ack');
  assert.equal(under.connections.absentDrivers, 0);
});

test('no two sessions of this process have the same number', async () => {
  const connected = await Promise.all(Array.from({ length: 20 }, () => connect(newId())));
  const numbers = await Promise.all(connected.map(async (driver) => (await driver.next('hello')).session));
  assert.equal(new Set(numbers).size, 20);
});

test('claimed under another session: the newest report is recorded again under it, and later ones are', async () => {
  const id = newId();
  const driver = await connect(id);
  const { session } = await driver.next('hello');
  driver.report(1, under.nowMs());
  driver.report(2, under.nowMs() + 1);
  await until('both are acknowledged', () => driver.of('ack').at(-1)?.seq === 2);
  under.connectionOf(id).claimed(session + 60_000);
  driver.report(3, under.nowMs() + 2);
  await until('the last is acknowledged', () => driver.of('ack').at(-1)?.seq === 3);
  assert.deepEqual(
    under.recorder.of(id).map((p) => [p.seq, p.session - session]),
    [
      [1, 0],
      [2, 0],
      [2, 60_000],
      [3, 60_000],
    ],
  );
});

test('claimed before the first report: nothing is recorded again', async () => {
  const older = newId();
  const dropped = await connect(older);
  dropped.report(1, under.nowMs());
  await dropped.next('ack');
  const driver = await connect(older);
  const { session } = await driver.next('hello');
  under.connectionOf(older).claimed(session + 5);
  driver.report(1, under.nowMs() + 1);
  await driver.next('ack');
  const sessions = under.recorder.of(older).map((p) => p.session);
  assert.deepEqual([sessions.length, sessions[1]], [2, session + 5]);
});

test('claimed after its close: what it recorded is recorded again', async () => {
  const id = newId();
  const driver = await connect(id);
  const { session } = await driver.next('hello');
  driver.report(1, under.nowMs());
  await driver.next('ack');
  const connection = under.connectionOf(id);
  driver.ws.terminate();
  await until('it is absent', () => under.connections.absentDrivers === 1);
  connection.claimed(session + 5);
  under.pass(10_100);
  assert.deepEqual(
    under.recorder.of(id).map((p) => [p.status, p.session - session]),
    [
      ['available', 0],
      ['available', 5],
      ['offline', 5],
    ],
  );
});

test('superseded by a connection of another process: 4409, and not recorded as offline', async () => {
  const id = newId();
  const driver = await connect(id);
  driver.report(1, under.nowMs());
  await driver.next('ack');
  under.connectionOf(id).superseded();
  await driver.closedWith(4409);
  under.pass(11_000);
  assert.equal(under.recorder.of(id).length, 1);
  // That one has gone without a report.
  under.connections.handedBack(id);
  under.connections.handedBack(id);
  const [first, offline] = under.recorder.of(id);
  assert.deepEqual(
    [under.recorder.of(id).length, offline?.status, offline?.session, offline?.seq],
    [2, 'offline', first?.session, 2],
  );
});

test('handed back while it is here again: not recorded as offline', async () => {
  const id = newId();
  const driver = await connect(id);
  driver.report(1, under.nowMs());
  await driver.next('ack');
  under.connections.handedBack(id);
  assert.equal(under.recorder.of(id).length, 1);
});

for (const binary of [false, true]) {
  test(`bye records the driver as offline, then closes with 1000, ${binary ? 'binary' : 'JSON'}`, async () => {
    const id = newId();
    const driver = await connect(id, { binary, query: '?ack=sparse' });
    const now = Math.floor(under.nowMs());
    driver.report(1, now + 3000, { status: 'busy', services: 5 });
    await driver.next('ack');
    driver.report(2, now + 3001, { status: 'busy', services: 5 });
    driver.send({ type: 'bye' });
    await driver.closedWith(1000);
    assert.equal(driver.of('ack').at(-1)?.seq, 2);
    const last = under.recorder.of(id).at(-1);
    assert.deepEqual(
      [last?.status, last?.seq, last?.recordedAtMs, last?.latE7, last?.services],
      ['offline', 3, now + 3002, 525_000_000, 5],
    );
    assert.equal(under.connections.absentDrivers, 0);
  });
}

test('a bye without a report before closes with 1000', async () => {
  const driver = await connect(newId());
  driver.send({ type: 'bye' });
  await driver.closedWith(1000);
});

test('nothing may follow a bye, and a bye that is not answered closes after five seconds', async () => {
  const id = newId();
  const driver = await connect(id);
  driver.report(1, under.nowMs());
  await driver.next('ack');
  under.recorder.answer = holdBack;
  driver.send({ type: 'bye' });
  driver.report(2, under.nowMs() + 10);
  await driver.nack('bad_message', 2);
  under.pass(4900);
  assert.equal(driver.closeCode, null);
  under.pass(200);
  await driver.closedWith(1000);
  assert.equal(under.recorder.of(id).length, 2);
});

test('a bye waits for a checkpoint that is not answered', async () => {
  const id = newId();
  const driver = await connect(id);
  under.recorder.answer = (report) => {
    if (!report.position.checkpoint) report.accepted();
  };
  driver.report(1, under.nowMs(), { checkpoint: true });
  driver.send({ type: 'bye' });
  await until('both have come', () => under.recorder.of(id).length === 2);
  await driver.settled();
  assert.equal(driver.closeCode, null);
  under.recorder.reportsOf(id)[0]?.accepted();
  await driver.closedWith(1000);
  assert.equal(driver.of('ack').at(-1)?.seq, 1);
});

test('the greatest seq of all leaves room for the offline record', async () => {
  const id = newId();
  const driver = await connect(id);
  driver.report(MAX_SEQ, under.nowMs());
  await driver.next('ack');
  driver.send({ type: 'bye' });
  await driver.closedWith(1000);
  assert.equal(under.recorder.of(id).at(-1)?.seq, MAX_SEQ);
});

test('a connection that drops: offline after ten seconds, at the last place, for nobody to hear', async () => {
  const id = newId();
  const driver = await connect(id);
  const { session } = await driver.next('hello');
  driver.report(7, under.nowMs(), { lat: -33.9 });
  await driver.next('ack');
  driver.ws.terminate();
  await until('it is absent', () => under.connections.absentDrivers === 1);
  under.pass(9000);
  assert.equal(under.recorder.of(id).length, 1);
  under.pass(1100);
  const offline = under.recorder.of(id).at(-1);
  assert.deepEqual(
    [offline?.status, offline?.seq, offline?.session, offline?.latE7],
    ['offline', 8, session, -339_000_000],
  );
  assert.equal(under.recorder.submitted.at(-1)?.hasOrigin, false);
  assert.equal(under.connections.absentDrivers, 0);
});

test('who comes back in time is not recorded as offline, nor who was offline anyway', async () => {
  const back = newId();
  const dropped = await connect(back);
  dropped.report(1, under.nowMs());
  await dropped.next('ack');
  dropped.ws.terminate();
  await until('it is absent', () => under.connections.absentDrivers === 1);
  await connect(back);

  const resting = newId();
  const offDuty = await connect(resting);
  offDuty.report(1, under.nowMs(), { status: 'offline' });
  await offDuty.next('ack');
  offDuty.ws.terminate();
  await until('it is absent', () => under.connections.absentDrivers === 1);
  under.pass(11_000);
  assert.equal(under.recorder.of(back).length, 1);
  assert.equal(under.recorder.of(resting).length, 1);
});

test('an expired token: 4401; a renewed one keeps the session', async () => {
  const renewing = newId();
  const [driver, expiring] = await Promise.all([
    connect(renewing, { token: await tokenFor(renewing, { ttlS: 60 }) }),
    connect('expiring', { token: await tokenFor('expiring', { ttlS: 60 }) }),
  ]);
  const { verified } = under;
  driver.send({ type: 'token', token: await tokenFor(renewing, { ttlS: 3600 }) });
  await until('the new token is verified', () => under.verified > verified);
  for (let i = 0; i < 7; i++) {
    under.pass(10_000);
    await Promise.all([driver.settled(), expiring.closeCode === null ? expiring.settled() : null]);
  }
  await expiring.closedWith(4401);
  driver.report(1, under.nowMs());
  await driver.next('ack');
  assert.equal(under.recorder.of(renewing)[0]?.session, (await driver.next('hello')).session);
});

test("another driver's token, or one without the scope: 4403", async () => {
  for (const token of [
    await tokenFor('somebody-else'),
    await tokenFor('reader', { scope: 'drivers:read' }),
  ]) {
    const driver = await connect('reader');
    driver.send({ type: 'token', token });
    await driver.closedWith(4403);
  }
});

test('a renewal that is no token is refused, and the session goes on', async () => {
  const driver = await connect(newId());
  driver.send({ type: 'token', token: 'nonsense' });
  await driver.nack('bad_message', null);
  driver.report(1, under.nowMs());
  await driver.next('ack');
});

test('pace: told to all with their next message, and taken back', async () => {
  const driver = await connect(newId());
  under.connections.look(5000);
  under.connections.look(5000);
  driver.report(1, under.nowMs());
  assert.equal((await driver.next('pace')).report_interval_ms, 4000);
  const late = await connect(newId());
  assert.equal((await late.next('hello')).limits.report_interval_ms, 4000);
  for (let i = 0; i < 10; i++) under.connections.look(0);
  driver.report(2, under.nowMs() + 1);
  assert.equal((await driver.next('pace', 2)).report_interval_ms, 2000);
});
