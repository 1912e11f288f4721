// The whole cache is lost. Connected drivers come back by themselves; the others are found by id once they are restored
// from the archive, and are offered to nobody until they report.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { withAdmin } from '@whereabouts/infra/local/redis-node';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { root } from '../home.js';
import { untilArchived } from '../outside/archive-rows.js';
import { Dispatcher } from '../outside/dispatcher.js';
import { OwnStack } from '../stack/own-stack.js';
import { redisAdminPassword } from '../stack/redis-admin.js';
import { FleetSockets } from '../testing/fleet-sockets.js';
import { around, mapOf } from '../testing/places.js';

const SEED = 11;
const GONE = 120;
const HERE = 40;
const DEADLINE_MS = 30_000;
const HANOI = { lat: 21.03, lon: 105.85 };
const WITHIN = { ...HANOI, radius_m: 50_000, limit: 100 };

let stack: OwnStack;
let dispatcher: Dispatcher;
let gone: FleetSockets;
let here: FleetSockets;
const random = seededRandom(SEED);
const goneIds = Array.from({ length: GONE }, (_, i) => `gone-${i}`);
const hereIds = Array.from({ length: HERE }, (_, i) => `here-${i}`);

before(async () => {
  // Fresh for as long as the test may take: their age is not what keeps the restored drivers out of the answers.
  stack = await OwnStack.start(mapOf([HANOI], 0.2, random), {
    FLUSH_INTERVAL_MS: '500',
    FRESHNESS_MS: '600000',
    SWEEP_AFTER_MS: '600000',
    HOLD_NACK_AFTER_MS: '60000', // nobody is refused because the machine is busy
  });
  dispatcher = await Dispatcher.of(stack.now);
});
after(async () => {
  await gone?.close();
  await here?.close();
  await stack?.stop();
});

async function reported(ids: readonly string[]): Promise<FleetSockets> {
  const fleet = new FleetSockets(stack.now);
  await fleet.connect(ids);
  for (const id of ids) {
    fleet.driver(id).send({ recorded_at_ms: Date.now(), ...around(HANOI, 0.1, random) });
  }
  await fleet.untilSettled();
  return fleet;
}

/**
 * Their memory is dropped too: ingest's, of drivers that left a moment ago, and query-api's, of all that it has
 * followed.
 */
async function anew(service: 'ingest' | 'query'): Promise<void> {
  const pidsOf = () => (service === 'ingest' ? stack.now.ingest.pids : [stack.now.query.pid]);
  const before = pidsOf();
  for (const pid of before) process.kill(pid, 'SIGKILL');
  await waitFor(`${service} runs again`, DEADLINE_MS, async () => {
    if (pidsOf().some((pid) => before.includes(pid) || pid === 0)) return undefined;
    return (await fetch(`${stack.now[service].ops}/readyz`)).ok || undefined;
  });
}

async function loseTheCache(): Promise<void> {
  const password = redisAdminPassword(stack.home);
  for (const { host, port } of stack.now.redis) {
    await withAdmin(`${host}:${port}`, password, async (node) => {
      const [role] = (await node.role()) as unknown[];
      if (String(role) === 'master') await node.flushall();
    });
  }
}

async function restore(): Promise<Record<string, unknown>> {
  const script = join(root, 'scripts', 'dist', 'restore.js');
  const env = { ...process.env, WHEREABOUTS_HOME: stack.home };
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--json'], { env });
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
}

/** Asked until the answer is complete: 503 while a part of the map is not known, as the driver may be there. */
async function settled(driverId: string) {
  return waitFor(`${driverId}: an answer`, DEADLINE_MS, async () => {
    const reply = await dispatcher.byId(driverId);
    return reply.status === 503 ? undefined : reply;
  });
}

/** Query-api learns of a change a moment later. */
async function settledAs(driverId: string, source: 'live' | 'archive') {
  return waitFor(`${driverId} is ${source}`, DEADLINE_MS, async () => {
    const reply = await settled(driverId);
    return reply.status === 200 && reply.body.source === source ? reply : undefined;
  });
}

test('drivers report and leave, others stay; the archive has all of them', async () => {
  gone = await reported(goneIds);
  await untilArchived(stack.now.postgres.url, gone.truth, stack.map, DEADLINE_MS);
  await gone.close();
  await anew('ingest');
  here = await reported(hereIds);
  for (const [id, known] of gone.truth.newest) here.truth.newest.set(id, known);
  await untilArchived(stack.now.postgres.url, here.truth, stack.map, DEADLINE_MS);
  await settledAs('gone-0', 'live');
});

test('the cache is lost: who is connected is back without a word, the others are known to nobody new', async () => {
  await loseTheCache();
  for (const id of [...hereIds, ...goneIds]) await settledAs(id, 'live');
  await anew('query');
  for (const id of hereIds) await settledAs(id, 'live');
  for (const id of goneIds) assert.equal((await settled(id)).status, 404, id);
});

test('restored, the others are found by id as of the archive, and are in no other answer', async () => {
  const counts = await restore();
  assert.deepEqual([counts.rows, counts.restored, counts.standing], [GONE + HERE, GONE, HERE]);
  for (const id of goneIds) {
    const { status, body } = await settledAs(id, 'archive');
    const known = gone.truth.newest.get(id);
    assert.deepEqual([status, body.source], [200, 'archive'], id);
    assert.deepEqual([body.lat, body.lon, body.status], [known?.lat, known?.lon, known?.status], id);
    assert.equal(Date.parse(body.recorded_at), known?.recordedAtMs, id);
  }
  for (const id of hereIds) assert.equal((await settled(id)).body.source, 'live', id);
  const box = `bbox=${HANOI.lon - 1},${HANOI.lat - 1},${HANOI.lon + 1},${HANOI.lat + 1}`;
  const nearby = `lat=${HANOI.lat}&lon=${HANOI.lon}&radius_m=${WITHIN.radius_m}&limit=${WITHIN.limit}`;
  for (const path of [`nearby?${nearby}`, `live?${box}`]) {
    const { body } = await dispatcher.get<{ drivers: { driver_id: string }[] }>(`/v1/drivers/${path}`);
    assert.deepEqual(body.drivers.map(({ driver_id }) => driver_id).sort(), hereIds.toSorted(), path);
  }
  // They are in the log once more, so a flush comes first.
  await waitFor('they count as persisted', DEADLINE_MS, async () => {
    const replies = await Promise.all(goneIds.map((id) => dispatcher.byId(id)));
    return replies.every(({ body }) => body.persisted) || undefined;
  });
  assert.deepEqual((await restore()).restored, 0);
});

test('one of them reports, and is live and offered again; the others stay as they were', async () => {
  const driver = await here.connectOne('gone-7');
  driver.send({ recorded_at_ms: Date.now(), ...HANOI });
  await here.untilSettled();
  assert.deepEqual(here.refusals(), {});
  await settledAs('gone-7', 'live');
  const { drivers } = await dispatcher.wholeAnswer({ ...WITHIN, limit: 1 });
  assert.equal(drivers[0]?.driver_id, 'gone-7');
  await untilArchived(stack.now.postgres.url, here.truth, stack.map, DEADLINE_MS);
  assert.equal((await settled('gone-8')).body.source, 'archive');
});
