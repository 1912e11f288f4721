// The whole of ingest before a real cluster: what drivers send is in the live store when it is acknowledged.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { tokenFor, until } from './testing/edge-under-test.js';
import { type Ground, IngestProcess, startGround } from './testing/ingest-process.js';
import { newestOf } from './testing/log-reader.js';
import { refusedUpgrade, TestDriver } from './testing/test-driver.js';

let ground: Ground;
let running: IngestProcess[] = [];

before(async () => {
  ground = await startGround();
});
after(() => ground.stop());
afterEach(() => {
  for (const ingest of running) ingest.kill();
  running = [];
});

async function start(settings: NodeJS.ProcessEnv = {}): Promise<IngestProcess> {
  const ingest = await IngestProcess.start(ground, settings);
  running.push(ingest);
  return ingest;
}

async function stored(driverId: string, lat: number, lon: number) {
  const newest = await newestOf(ground.store, ground.map.partitionOf(lat, lon));
  return newest.get(driverId) ?? null;
}

async function counter(ingest: IngestProcess, name: string): Promise<number> {
  const text = await (await ingest.ops('/metrics')).text();
  const line = text.split('\n').find((l) => l.startsWith(`whereabouts_ingest_${name} `));
  return Number(line?.split(' ')[1] ?? Number.NaN);
}

for (const binary of [false, true]) {
  test(`acknowledged means stored, also across borders, ${binary ? 'binary' : 'JSON'}`, async () => {
    const ingest = await start();
    const id = `roamer-${binary}`;
    const driver = await TestDriver.connect(ingest.url, id, { binary });
    const { session, server_time_ms } = await driver.next('hello');
    const places = [
      [52.5, 13.4],
      [-33.9, 151.2],
      [40.7, -74],
      [0, 0],
    ] as const;
    for (const [i, [lat, lon]] of places.entries()) {
      driver.report(i + 1, server_time_ms + i, { lat, lon, status: 'busy', services: 9 });
      await until('it is acknowledged', () => driver.of('ack').at(-1)?.seq === i + 1);
      const position = await stored(id, lat, lon);
      assert.deepEqual(
        [position?.session, position?.seq, position?.status, position?.services],
        [session, i + 1, 'busy', 9],
      );
    }
    driver.send({ type: 'bye' });
    await driver.closedWith(1000);
    assert.equal((await stored(id, 0, 0))?.status, 'offline');
  });
}

test('a dropped driver is offline in the store after OFFLINE_AFTER_MS', async () => {
  const ingest = await start({ OFFLINE_AFTER_MS: '500' });
  const driver = await TestDriver.connect(ingest.url, 'dropped');
  driver.report(1, (await driver.next('hello')).server_time_ms);
  await driver.next('ack');
  driver.ws.terminate();
  const end = performance.now() + 30_000;
  while ((await stored('dropped', 52.5, 13.4))?.status !== 'offline') {
    assert.ok(performance.now() < end, 'not offline in time');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

test('two processes of their own: the newer connection wins, in turn and at once', async () => {
  const [here, there] = [await start(), await start()];
  let [older, otherUrl] = [await TestDriver.connect(here.url, 'twice'), there.url];
  let timeMs = (await older.next('hello')).server_time_ms;
  for (let turn = 0; turn < 4; turn++) {
    older.report(1, ++timeMs);
    await until('it is acknowledged', () => older.of('ack').length > 0);
    const newer = await TestDriver.connect(otherUrl, 'twice');
    await older.closedWith(4409);
    newer.report(1, ++timeMs, { lat: 10 + turn });
    await until('it is acknowledged', () => newer.of('ack').length > 0);
    [older, otherUrl] = [newer, otherUrl === there.url ? here.url : there.url];
  }
  assert.equal(older.closeCode, null);
  older.send({ type: 'bye' });
  await older.closedWith(1000);
  for (let round = 0; round < 4; round++) {
    const both = await Promise.all([here.url, there.url].map((url) => TestDriver.connect(url, 'at-once')));
    await until(
      'one of them has lost',
      () => both.filter(({ closeCode }) => closeCode === 4409).length === 1,
    );
    const left = both.find(({ closeCode }) => closeCode === null) as TestDriver;
    left.report(1, (await left.next('hello')).server_time_ms + round);
    await until('the other is acknowledged', () => left.of('ack').length > 0);
    left.send({ type: 'bye' });
    await left.closedWith(1000);
  }
});

test('SIGTERM: what was sent is written and answered, all are told 1012, exit code 0', async () => {
  const ingest = await start();
  const drivers = await Promise.all(
    Array.from({ length: 30 }, (_, i) =>
      TestDriver.connect(ingest.url, `drained-${i}`, { query: '?ack=sparse' }),
    ),
  );
  for (const driver of drivers) {
    const { server_time_ms } = await driver.next('hello');
    driver.report(1, server_time_ms);
    await driver.next('ack');
    driver.report(2, server_time_ms + 1, { status: 'busy' });
  }
  await Promise.all(drivers.map((driver) => driver.settled()));
  ingest.child.kill('SIGTERM');
  for (const driver of drivers) await driver.closedWith(1012);
  assert.equal(await ingest.ends(), 0);
  for (const [i, driver] of drivers.entries()) {
    assert.equal(driver.of('ack').at(-1)?.seq, 2);
    const position = await stored(`drained-${i}`, 52.5, 13.4);
    assert.deepEqual([position?.seq, position?.status], [2, 'busy']);
  }
});

test('several processes behind one port: one ops listener, the dead are replaced, all drain together', async () => {
  const ingest = await start({ INGEST_PROCESSES: '2' });
  const pids = await ingest.pids();
  assert.equal(new Set(pids).size, 2);

  const drivers = await Promise.all(
    Array.from({ length: 24 }, (_, i) => TestDriver.connect(ingest.url, `shared-${i}`)),
  );
  for (const driver of drivers) driver.report(1, (await driver.next('hello')).server_time_ms);
  for (const driver of drivers) await driver.next('ack');
  assert.equal(await counter(ingest, 'connections'), 24);
  assert.equal(await counter(ingest, 'upgrades_total'), 24);
  assert.equal(await counter(ingest, 'ack_latency_seconds_count'), 24);
  assert.match(await (await ingest.ops('/metrics')).text(), /ack_latency_seconds_bucket\{le="\+Inf"\} 24/);

  const numbers = ['1', '2'];
  const ofProcess = async (name: string) => {
    const text = await (await ingest.ops('/metrics')).text();
    const line = (number: string) =>
      new RegExp(`^whereabouts_ingest_process_${name}\\{process="${number}"\\} (\\S+)$`, 'm');
    return numbers.map((number) => Number(line(number).exec(text)?.[1]));
  };
  const connections = await ofProcess('connections');
  assert.equal((connections[0] as number) + (connections[1] as number), 24, 'each told on its own');
  for (const limit of await ofProcess('connections_limit')) assert.ok(limit >= 24);
  for (const files of await ofProcess('open_files')) assert.ok(files > 10);
  for (const ticks of await ofProcess('tick_duration_seconds_count')) assert.ok(ticks > 0);
  assert.deepEqual(await ofProcess('pace_factor'), [1, 1]);
  assert.deepEqual([await counter(ingest, 'processes'), await counter(ingest, 'processes_missing')], [2, 0]);

  process.kill(pids[1] as number, 'SIGSTOP');
  try {
    assert.equal(await counter(ingest, 'processes_missing'), 1, 'a process that hangs hides no other');
  } finally {
    process.kill(pids[1] as number, 'SIGCONT');
  }

  process.kill(pids[0] as number, 'SIGKILL');
  await until('its drivers are gone', () => drivers.some((driver) => driver.closeCode === 1006));
  const end = performance.now() + 30_000;
  for (;;) {
    const now = (await ingest.readyz()) === 200 ? await ingest.pids() : [];
    if (now.length === 2 && !now.includes(pids[0] as number)) break;
    assert.ok(performance.now() < end, 'not replaced in time');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  ingest.child.kill('SIGTERM');
  assert.equal(await ingest.ends(), 0);
  for (const driver of drivers) assert.ok([1006, 1012].includes(driver.closeCode ?? 0));
  for (const pid of await Promise.resolve(pids)) assert.throws(() => process.kill(pid, 0));
});

test('a second ingest on the same port does not start, alone or with siblings', async () => {
  const first = await start({ INGEST_PROCESSES: '2' });
  for (const INGEST_PROCESSES of ['1', '2']) {
    const second = IngestProcess.onPort(ground, first.port, { INGEST_PROCESSES });
    assert.equal(await second.ends(), 1);
    assert.match(second.output, /give a free one/);
  }
});

test('bad settings are told at once, with exit code 78', async () => {
  const bad = IngestProcess.onPort(ground, 70_000, {
    DURABILITY: 'eternal',
    TICK_MIN_MS: '900',
    REDIS_URL: '',
  });
  assert.equal(await bad.ends(), 78);
  for (const name of ['PORT', 'DURABILITY', 'TICK_MIN_MS', 'REDIS_URL'])
    assert.match(bad.output, new RegExp(name));
});

test('no Redis master: 503 for new drivers and for readiness, and back', async () => {
  const ingest = await start();
  for (const { port } of ground.cluster.nodes) ground.cluster.kill(port, 'SIGSTOP');
  try {
    await ingest.becomes(503);
    const { status } = await refusedUpgrade(ingest.url, { token: await tokenFor('nobody') });
    assert.equal(status, 503);
  } finally {
    for (const { port } of ground.cluster.nodes) ground.cluster.kill(port, 'SIGCONT');
  }
  await ingest.becomes(200);
  const driver = await TestDriver.connect(ingest.url, 'patient');
  driver.report(1, (await driver.next('hello')).server_time_ms);
  await until('it is acknowledged', () => driver.of('ack').length === 1, 15_000);
});
