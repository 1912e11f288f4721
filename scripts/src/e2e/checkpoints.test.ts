// Checkpoints, from a driver's `checkpoint: true` to a row that exists when `persisted` arrives: exactly once, however
// often it is sent, and whichever process dies in between.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { pythonWith, skipWithout } from '@whereabouts/infra/local/testing/python';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { Client } from 'pg';
import { driverTokens } from '../driver-tokens.js';
import { root } from '../home.js';
import { EXACT_TIME, exactTime, sql } from '../outside/archive-rows.js';
import { Dispatcher } from '../outside/dispatcher.js';
import type { DriverSocket, Unnumbered } from '../outside/driver-socket.js';
import { OwnStack } from '../stack/own-stack.js';
import { lockTable } from '../testing/archive-control.js';
import { FleetSockets } from '../testing/fleet-sockets.js';
import { around, mapOf } from '../testing/places.js';

const SEED = 42;
const HOUR_MS = 3_600_000;
const DEADLINE_MS = 30_000;
const MAX_WAITING = 10;
const PORTO = { lat: 41.15, lon: -8.61 };
const COLUMNS = `driver_id, session, seq, checkpoint_id, services, ${EXACT_TIME}, lat, lon, heading_deg, speed_mps, accuracy_m, status`;

let stack: OwnStack;
let fleet: FleetSockets;
let dispatcher: Dispatcher;
const random = seededRandom(SEED);

before(async () => {
  // Checkpoints are written at once; positions would wait for a minute.
  stack = await OwnStack.start(mapOf([PORTO], 0.2, random), {
    FLUSH_INTERVAL_MS: '60000',
    LOSS_BUDGET_MS: '600000',
  });
  fleet = new FleetSockets(stack.now);
  dispatcher = await Dispatcher.of(stack.now);
});
after(async () => {
  await fleet?.close();
  await stack?.stop();
});

function tripEnd(checkpointId: string | null, more: Partial<Unnumbered> = {}): Unnumbered {
  return {
    recorded_at_ms: Date.now(),
    ...around(PORTO, 0.1, random),
    checkpoint: true,
    ...(checkpointId !== null && { checkpoint_id: checkpointId }),
    ...more,
  };
}

const rowsOf = (driverId: string) =>
  sql(stack.now.postgres.url, `SELECT ${COLUMNS} FROM checkpoints WHERE driver_id = $1 ORDER BY seq`, [
    driverId,
  ]);

async function persisted(driver: DriverSocket, seq: number): Promise<void> {
  await waitFor(`checkpoint ${seq} of ${driver.driverId} is persisted`, DEADLINE_MS, () => {
    return driver.persisted.includes(seq) || driver.nackOf(seq) !== undefined || undefined;
  });
  assert.equal(driver.nackOf(seq), undefined);
}

test('its row is there, whole, when `persisted` comes', async () => {
  const driver = await fleet.connectOne('porto-1');
  const sent = tripEnd('trip-1', {
    heading_deg: 271.5,
    speed_mps: 8.3,
    accuracy_m: 4.5,
    status: 'busy',
    services: 5,
    lat: 41.15790041,
  });
  const rows = new Promise((resolve) => {
    driver.onPersisted = () => resolve(rowsOf('porto-1'));
  });
  const seq = driver.send(sent);
  const [row] = (await rows) as object[];
  assert.deepEqual(row, {
    driver_id: 'porto-1',
    session: String(driver.hello.session),
    seq: String(seq),
    checkpoint_id: 'trip-1',
    services: 5,
    recorded_at: exactTime(sent.recorded_at_ms),
    lat: 41.1579004,
    lon: Math.round(sent.lon * 1e7) / 1e7,
    heading_deg: 271.5,
    speed_mps: 8.3,
    accuracy_m: 4.5,
    status: 'busy',
  });
  assert.ok(driver.ackedSeq >= seq, 'acknowledged before it was persisted');
});

test('sent again over a reconnect, and once more: one row, and `persisted` each time', async () => {
  const first = await fleet.connectOne('porto-2');
  const sent = tripEnd('trip-2');
  first.send(sent);
  await first.drop();
  for (let i = 0; i < 2; i++) {
    const again = await fleet.connectOne('porto-2');
    await persisted(again, again.send(sent));
    assert.equal((await rowsOf('porto-2')).length, 1);
    await again.drop();
  }
  const last = await fleet.connectOne('porto-2');
  await persisted(last, last.send(tripEnd('trip-3')));
  const unnamed = last.send(tripEnd(null));
  await persisted(last, unnamed);
  const ids = (await rowsOf('porto-2')).map((row) => String(row.checkpoint_id)).sort();
  assert.deepEqual(ids.slice(1), ['trip-2', 'trip-3']);
  assert.match(ids[0] as string, new RegExp(`^[0-9a-f]{16}-\\d+-${unnamed}$`));
});

test('sent again over eleven connections while Postgres is away: it waits once, and the last one hears of it', async () => {
  const release = await lockTable(stack.archiveAdminUrl, 'checkpoints');
  const sent = tripEnd('eleven-times');
  let driver: DriverSocket | undefined;
  let seq = 0;
  try {
    for (let i = 0; i < 11; i++) {
      await driver?.drop();
      driver = await fleet.connectOne('porto-5');
      driver.send({ recorded_at_ms: Date.now(), ...around(PORTO, 0.1, random) });
      seq = driver.send(sent);
      await fleet.untilSettled();
      assert.deepEqual(driver.nacks, [], `connection ${i + 1}`);
    }
    assert.equal(await end(driver as DriverSocket, 'another'), 'acknowledged');
  } finally {
    await release();
  }
  await persisted(driver as DriverSocket, seq);
  const [row, ...others] = await rowsOf('porto-5');
  assert.equal(row?.checkpoint_id, 'eleven-times');
  assert.ok(others.length <= 1);
});

test('an id that stands for another trip end is a conflict, waiting or in the archive, and never persisted', async () => {
  const driver = await fleet.connectOne('porto-6');
  const first = tripEnd('same-id');
  await persisted(driver, driver.send(first));
  const later = driver.send({ ...first, recorded_at_ms: first.recorded_at_ms + 1 });
  await waitFor('the archive knows better', DEADLINE_MS, () => driver.nackOf(later) || undefined);
  assert.equal(driver.nackOf(later)?.code, 'checkpoint_conflict');
  assert.equal(driver.nackOf(later)?.retryable, false);

  const release = await lockTable(stack.archiveAdminUrl, 'checkpoints');
  try {
    const held = tripEnd('held-id');
    driver.send(held);
    const elsewhere = driver.send({ ...held, lat: held.lat + 0.0001 });
    await waitFor('the store knows better', DEADLINE_MS, () => driver.nackOf(elsewhere) || undefined);
    assert.equal(driver.nackOf(elsewhere)?.code, 'checkpoint_conflict');
  } finally {
    await release();
  }
  await persisted(driver, later - 1);
  assert.ok(!driver.persisted.includes(later));
  // The first one counts: it may be sent again, and stays.
  await persisted(driver, driver.send(first));
  const rows = await rowsOf('porto-6');
  assert.equal(rows[0]?.recorded_at, exactTime(first.recorded_at_ms));
});

test('one of an hour ago is kept, and leaves the driver where it is; one of two days ago is too old', async () => {
  const driver = await fleet.connectOne('porto-3');
  const here = { recorded_at_ms: Date.now(), lat: 41.2, lon: -8.5 };
  driver.send(here);
  await fleet.untilVisible(dispatcher);
  await persisted(driver, driver.send(tripEnd('tunnel', { recorded_at_ms: Date.now() - HOUR_MS })));
  const { body } = await dispatcher.byId('porto-3');
  assert.deepEqual([body.lat, body.lon, Date.parse(body.recorded_at)], [41.2, -8.5, here.recorded_at_ms]);
  const nearby = await dispatcher.nearby({ lat: 41.2, lon: -8.5, radius_m: 10, limit: 100 });
  assert.deepEqual(
    nearby.drivers.map(({ driver_id }) => driver_id),
    ['porto-3'],
  );
  const old = driver.send(tripEnd('long-ago', { recorded_at_ms: Date.now() - 48 * HOUR_MS }));
  await fleet.untilSettled();
  assert.equal(driver.nackOf(old)?.code, 'too_old');
  assert.equal((await rowsOf('porto-3')).length, 1);
});

async function end(driver: DriverSocket, checkpointId: string): Promise<string> {
  const seq = driver.send(tripEnd(checkpointId));
  await fleet.untilSettled();
  return driver.nackOf(seq)?.code ?? 'acknowledged';
}

test('ten may wait, the eleventh is too many, also over a reconnect; all ten arrive in the end', async () => {
  const release = await lockTable(stack.archiveAdminUrl, 'checkpoints');
  const driver = await fleet.connectOne('porto-4');
  const held = Array.from({ length: MAX_WAITING }, (_, i) => `held-${i}`);
  try {
    for (const id of held) assert.equal(await end(driver, id), 'acknowledged');
    assert.equal(await end(driver, 'one-too-many'), 'too_many_checkpoints');
    assert.equal(driver.nacks[0]?.retryable, false);
    assert.deepEqual(driver.persisted, []);
    await driver.drop();
    assert.equal(await end(await fleet.connectOne('porto-4'), 'still-too-many'), 'too_many_checkpoints');
  } finally {
    await release();
  }
  await waitFor('the ten stand in Postgres', DEADLINE_MS, async () => {
    return (await rowsOf('porto-4')).length === MAX_WAITING || undefined;
  });
  const again = fleet.driver('porto-4');
  await waitFor('there is room again', DEADLINE_MS, async () => {
    return (await end(again, 'afterwards')) === 'acknowledged' || undefined;
  });
  await persisted(again, again.lastSeq);
  const ids = (await rowsOf('porto-4')).map((row) => row.checkpoint_id).sort();
  assert.deepEqual(ids, [...held, 'afterwards'].sort());
});

/** Its next pid; while it is down the pid is 0, which would mean our own process group. */
async function killFlusher(): Promise<void> {
  const { pid } = stack.now.flusher;
  assert.ok(pid > 0);
  process.kill(pid, 'SIGKILL');
  await waitFor('the flusher is started again', DEADLINE_MS, () => {
    const next = stack.now.flusher.pid;
    return (next > 0 && next !== pid) || undefined;
  });
}

test('the flusher is killed again and again: each checkpoint becomes one row, and `persisted` never lies', async () => {
  const ids = Array.from({ length: 30 }, (_, i) => `killed-${i}`);
  await fleet.connect(ids);
  const drivers = ids.map((id) => fleet.driver(id));
  const archive = new Client({ connectionString: stack.now.postgres.url });
  await archive.connect();
  const looks: Promise<unknown>[] = [];
  for (const driver of drivers) {
    driver.onPersisted = (seq) => {
      const query = 'SELECT seq::integer FROM checkpoints WHERE driver_id = $1 AND session = $2 AND seq = $3';
      const values = [driver.driverId, driver.hello.session, seq];
      looks.push(archive.query(query, values).then(({ rows }) => assert.deepEqual(rows, [{ seq }])));
    };
  }
  for (let round = 0; round < 6; round++) {
    const sent = drivers.map(
      (driver) => [driver, driver.send(tripEnd(`${driver.driverId}-${round}`))] as const,
    );
    if (round % 2 === 0) await killFlusher();
    for (const [driver, seq] of sent) await persisted(driver, seq);
  }
  await Promise.all(looks);
  await archive.end();
  assert.equal(looks.length, 180);
  const counted = await sql(
    stack.now.postgres.url,
    `SELECT count(*), count(DISTINCT checkpoint_id) AS ids FROM checkpoints WHERE driver_id LIKE 'killed-%'`,
  );
  assert.deepEqual(counted, [{ count: '180', ids: '180' }]);
});

const python = await pythonWith('websockets');
const withoutPython = skipWithout(python, 'websockets', "THE PYTHON CLIENT'S CHECKPOINT IS");

test('one of the Python client, with ingest killed in between: one row', {
  skip: withoutPython,
}, async () => {
  const release = await lockTable(stack.archiveAdminUrl, 'checkpoints');
  const file = join(root, 'ingest/client/python/whereabouts_client.py');
  const place = [String(PORTO.lat), String(PORTO.lon)];
  const token = await driverTokens(stack.now)('pythonist');
  const options = [stack.now.ingest.url, token, ...place, '--checkpoint', 'trip-py'];
  const child = spawn(python as string, [file, ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
  const told: string[] = [];
  createInterface(child.stdout).on('line', (line) => told.push(line));
  const hears = (what: RegExp) =>
    waitFor(
      `${what} in ${told.join()}`,
      DEADLINE_MS,
      () => told.some((line) => what.test(line)) || undefined,
    );
  try {
    await hears(/^ack /);
    for (const pid of stack.now.ingest.pids) process.kill(pid, 'SIGKILL');
    await hears(/^close /);
    await release();
    await hears(/^persisted /);
    assert.equal(told.filter((line) => line.startsWith('open ')).length, 2, told.join());
    const rows = await rowsOf('pythonist');
    assert.deepEqual(
      rows.map((row) => row.checkpoint_id),
      ['trip-py'],
    );
  } finally {
    child.kill('SIGKILL');
    await release();
  }
});
