import assert from 'node:assert/strict';
import type { Socket as NetSocket } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { accept, EdgeUnderTest, holdBack, tokenFor, until } from './testing/edge-under-test.js';
import { refusedUpgrade, TestDriver, type TestDriverOptions } from './testing/test-driver.js';

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
});

async function connect(options: TestDriverOptions = {}): Promise<TestDriver> {
  const driver = await TestDriver.connect(under.url, `driver-${nextDriver++}`, options);
  drivers.push(driver);
  return driver;
}

/** The TCP socket below, for what `ws` would not send. */
function rawOf(driver: TestDriver): NetSocket {
  return (driver.ws as unknown as { _socket: NetSocket })._socket;
}

test('messages that cannot be read: a nack each, with the seq where it can be, and 4400 after five', async () => {
  const driver = await connect();
  driver.sendText('{');
  driver.sendText('[]');
  driver.sendText('{"type":"position","lat":1}');
  driver.sendText('{"type":"unknown","seq":4}');
  await driver.nack('bad_message', 4);
  assert.equal(driver.of('nack').length, 4);
  assert.equal(driver.of('nack')[0]?.seq, null);
  driver.sendText('{"type":"position","seq":5,"recorded_at_ms":"1","lat":1,"lon":2}');
  await driver.nack('bad_message', 5);
  await driver.closedWith(4400);
});

test('bad messages that come slowly do not close', async () => {
  const driver = await connect();
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 4; j++) driver.sendText('x');
    await until('they are nacked', () => driver.of('nack').length === (i + 1) * 4);
    under.pass(10_001);
  }
  assert.equal(driver.closeCode, null);
});

test('text where frames were chosen, and frames where text was', async () => {
  const binary = await connect({ binary: true });
  binary.sendText('{"type":"bye"}');
  await binary.nack('bad_message', null);
  const json = await connect();
  json.ws.send(Buffer.from([0x13]));
  await json.nack('bad_message', null);
});

test('truncated frames, unknown versions and types', async () => {
  const driver = await connect({ binary: true });
  for (const bytes of [[], [0x11], [0x21, 1, 2], [0x1f]]) driver.ws.send(Buffer.from(bytes));
  await until('all are nacked', () => driver.of('nack').length === 4);
  assert.ok(driver.of('nack').every(({ code }) => code === 'bad_message'));
});

test('a message above 4 KiB closes with 1009, also when uWebSockets.js would have taken it', async () => {
  for (const text of [`{"type":"bye","x":"${'x'.repeat(5000)}"}`, 'x'.repeat(30_000)]) {
    const driver = await connect();
    driver.sendText(text);
    await driver.closedWith(1009);
  }
  const binary = await connect({ binary: true });
  binary.ws.send(Buffer.alloc(4097));
  await binary.closedWith(1009);
});

test('a hundred positions with every field are not too large', async () => {
  const driver = await connect();
  const now = Math.floor(under.nowMs());
  const positions = Array.from({ length: 100 }, (_, i) => ({
    seq: 1_000_000 + i,
    recorded_at_ms: now + i,
    lat: -12.3456789,
    lon: -123.4567891,
    heading_deg: 123.45,
    speed_mps: 12.34,
    accuracy_m: 12.34,
    status: 'available' as const,
    services: 65_535,
  }));
  driver.send({ type: 'positions', positions });
  await until('the newest is acknowledged', () => driver.of('ack').at(-1)?.seq === 1_000_099);
  driver.send({ type: 'positions', positions: [...positions, ...positions.slice(0, 1)] });
  await driver.nack('bad_message', null);
});

test('too_fast after a burst of ten, with the seq; the connection stays', async () => {
  const driver = await connect();
  const now = under.nowMs();
  for (let seq = 1; seq <= 15; seq++) driver.report(seq, now + seq);
  await driver.nack('too_fast', 15);
  assert.equal(
    driver.of('nack').find(({ seq }) => seq !== null && seq <= 10),
    undefined,
  );
  under.pass(2000);
  driver.report(16, now + 16);
  await until('a calm client goes on', () => driver.of('ack').at(-1)?.seq === 16);
});

test('4429 after ten seconds of it, not before', async () => {
  const driver = await connect();
  let seq = 0;
  for (let i = 0; i < 12; i++) driver.report(++seq, under.nowMs());
  await driver.nack('too_fast', 12);
  for (let i = 0; i < 19; i++) {
    under.pass(500);
    for (let j = 0; j < 6; j++) driver.report(++seq, under.nowMs() + j);
    await driver.nack('too_fast', seq);
  }
  assert.equal(driver.closeCode, null);
  under.pass(600);
  for (let j = 0; j < 6; j++) driver.report(++seq, under.nowMs() + j);
  await driver.closedWith(4429);
});

test('a flood of pings counts: a nack first, 4429 after ten seconds', async () => {
  const driver = await connect();
  for (let i = 0; i < 50; i++) driver.ws.ping();
  await driver.nack('too_fast', null);
  driver.report(1, under.nowMs());
  await driver.next('ack');
  for (let i = 0; i < 13; i++) {
    under.pass(700);
    for (let j = 0; j < 20; j++) driver.ws.ping();
    await driver.settled();
  }
  assert.equal(driver.of('nack').length, 1);
  under.pass(700);
  for (let j = 0; j < 20; j++) driver.ws.ping();
  await driver.settled();
  under.pass(700);
  for (let j = 0; j < 20; j++) driver.ws.ping();
  await driver.closedWith(4429);
});

test('a flood is cut off at once, whatever it is made of', async () => {
  const floods: Record<string, (driver: TestDriver) => void> = {
    reports: (driver) => {
      for (let seq = 1; seq <= 5000; seq++) driver.report(seq, under.nowMs() + seq);
    },
    pings: (driver) => {
      for (let i = 0; i < 5000; i++) driver.ws.ping();
    },
    tokens: (driver) => {
      for (let i = 0; i < 5000; i++) driver.sendText('{"type":"token","token":"x"}');
    },
  };
  for (const [name, flood] of Object.entries(floods)) {
    const driver = await connect();
    flood(driver);
    await until(`${name} are cut off`, () => driver.closeCode !== null);
    assert.ok([1006, 4400].includes(driver.closeCode ?? 0), `${name}: ${driver.closeCode}`);
    const { status } = await refusedUpgrade(under.url, { token: await tokenFor(`driver-${nextDriver - 1}`) });
    assert.equal(status, 429);
    assert.ok(driver.of('nack').length <= 101, `${name}: ${driver.of('nack').length} nacks`);
  }
});

test('every refusal counts: 4400 after twenty within ten seconds, and slower ones do not', async () => {
  const driver = await connect();
  let seq = 0;
  for (let i = 0; i < 4; i++) {
    for (let j = 0; j < 4; j++) driver.report(++seq, under.nowMs(), { lat: 89 });
    await driver.nack('bad_position', seq);
    under.pass(5001);
  }
  assert.equal(driver.closeCode, null);
  for (let i = 0; i < 4; i++) {
    under.pass(1000);
    for (let j = 0; j < 5; j++) driver.report(++seq, under.nowMs(), { lat: 89 });
    await driver.settled();
  }
  await driver.closedWith(4400);
});

test("a driver's limits outlive its connections", async () => {
  const first = await connect();
  const id = `driver-${nextDriver - 1}`;
  for (let seq = 1; seq <= 10; seq++) first.report(seq, under.nowMs() + seq);
  await until('all are taken', () => first.of('ack').at(-1)?.seq === 10);
  first.ws.terminate();
  await until('it has gone', () => under.connections.size === 0);
  const second = await TestDriver.connect(under.url, id);
  drivers.push(second);
  second.report(1, under.nowMs() + 100);
  await second.nack('too_fast', 1);
  under.pass(1000);
  second.report(2, under.nowMs() + 100);
  await second.next('ack');
});

test('a large message of a driver who goes on being too fast is refused unread, until he pauses; checkpoints are read', async () => {
  const driver = await connect();
  let seq = 0;
  const batch = (more: object = {}) => ({
    type: 'positions' as const,
    positions: Array.from({ length: 40 }, (_, i) => ({
      seq: ++seq,
      recorded_at_ms: Math.floor(under.nowMs()) + seq,
      lat: 52,
      lon: 13,
      ...(i === 39 ? more : {}),
    })),
  });
  for (const refused of [30, 80, 120]) {
    driver.send(batch());
    await driver.nack('too_fast', refused);
  }
  driver.send(batch());
  await driver.nack('too_fast', null);
  driver.send(batch({ checkpoint: true, checkpoint_id: 'trip' }));
  await until('the checkpoint is taken', () => driver.of('ack').at(-1)?.seq === seq);
  under.pass(2_000);
  driver.send(batch());
  await until('he has paused', () => driver.of('ack').at(-1)?.seq === seq);
});

test('a batch costs its positions: the newest within the limit are taken, one nack speaks for the others', async () => {
  const driver = await connect();
  const id = `driver-${nextDriver - 1}`;
  const positions = Array.from({ length: 100 }, (_, i) => ({
    seq: i + 1,
    recorded_at_ms: Math.floor(under.nowMs()) + i,
    lat: 1,
    lon: 2,
  }));
  driver.send({ type: 'positions', positions });
  await until('the newest is acknowledged', () => driver.of('ack').at(-1)?.seq === 100);
  const nack = await driver.nack('too_fast', 90);
  assert.match(nack.detail, /90 of this message/);
  assert.equal(driver.of('nack').length, 1);
  assert.equal(under.recorder.of(id).length, 1);
  driver.send({ type: 'positions', positions: positions.map((one) => ({ ...one, seq: one.seq + 100 })) });
  await driver.nack('too_fast', 200);
});

test('checkpoints have a rate of their own, and are told when they may come', async () => {
  const driver = await connect();
  for (let seq = 1; seq <= 21; seq++) driver.report(seq, under.nowMs() + seq, { checkpoint: true });
  const nack = await driver.nack('too_fast', 21);
  assert.equal(nack.retry_after_ms, 6000);
  driver.report(22, under.nowMs() + 22);
  await until('others still pass', () => driver.of('ack').at(-1)?.seq === 22);
  under.pass(6000);
  driver.report(23, under.nowMs() + 23, { checkpoint: true });
  await until('after that time it is taken', () => driver.of('ack').at(-1)?.seq === 23);
});

test('what waited in the socket while the process stood still is judged as of when it came', async () => {
  const driver = await connect();
  const sentAtMs = under.nowMs();
  under.pass(20_000);
  under.stalledMs = 20_000;
  try {
    for (let seq = 1; seq <= 80; seq++) driver.report(seq, sentAtMs + seq * 200);
    await until('all are taken', () => driver.of('ack').at(-1)?.seq === 80);
    assert.deepEqual(driver.of('nack'), []);
    assert.equal(driver.closeCode, null);
  } finally {
    under.stalledMs = 0;
  }
  driver.report(81, under.nowMs() - 11_000);
  await driver.nack('stale', 81);
});

test('who was silent only because the process stood still is not closed', async () => {
  const driver = await connect({ autoPong: false });
  under.stalledMs = 31_000;
  under.pass(31_000);
  under.stalledMs = 0;
  await driver.settled();
  assert.equal(driver.closeCode, null);
});

test('who answers pings may be silent for ever', async () => {
  const driver = await connect();
  for (let i = 0; i < 10; i++) {
    under.pass(12_000);
    await until('it is pinged', () => driver.pings === i + 1);
    await driver.settled();
  }
  assert.equal(driver.closeCode, null);
});

test('who does not answer pings is closed with 4408 after 30 s', async () => {
  const driver = await connect({ autoPong: false });
  under.pass(29_000);
  await until('it is pinged', () => driver.pings === 1);
  assert.equal(driver.closeCode, null);
  under.pass(1000);
  await driver.closedWith(4408);
});

test('a message that drips in for 30 s is silence', async () => {
  const driver = await connect({ autoPong: false });
  const raw = rawOf(driver);
  raw.write(Buffer.from([0x81, 0xfe, 0x03, 0xe8, 0, 0, 0, 0])); // a masked text message of 1000 bytes
  for (let i = 0; i < 10; i++) {
    raw.write('x');
    under.pass(2900);
  }
  assert.equal(driver.closeCode, null);
  raw.write('x');
  under.pass(1100);
  await driver.closedWith(4408);
});

test('who does not read what it is sent is closed, and the others go on', async () => {
  const driver = await connect();
  const raw = rawOf(driver);
  raw.pause();
  const detail = 'x'.repeat(3000);
  under.recorder.answer = (report) => {
    for (let i = 0; i < 4000; i++) report.refused('overloaded', 1, detail);
  };
  driver.report(1, under.nowMs());
  await until('it is closed', () => under.counters.closes.get('1013') === 1);
  under.recorder.answer = accept;
  const other = await connect();
  other.report(1, under.nowMs());
  await other.next('ack');
});

test('what the recorder says after the connection has gone harms nobody', async () => {
  under.recorder.answer = holdBack;
  const driver = await connect();
  driver.report(1, under.nowMs(), { checkpoint: true });
  await driver.settled();
  const report = under.recorder.submitted.at(-1);
  assert.ok(report);
  driver.ws.terminate();
  await until('the connection is gone', () => under.connections.size === 0);
  report.accepted();
  report.refused('overloaded', 100, 'why');
  report.persisted();
  assert.equal(under.recorder.submitted.at(-1), report);
});
