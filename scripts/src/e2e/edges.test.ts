// The edges of the world and of the questions: the antimeridian, 85 degrees, (0, 0), crowds of busy and stale drivers
// in front of the free ones, services, exclusions, and the limits of what may be asked and reported.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { untilArchived } from '../outside/archive-rows.js';
import { Dispatcher, type Question } from '../outside/dispatcher.js';
import type { Unnumbered } from '../outside/driver-socket.js';
import { OwnStack } from '../stack/own-stack.js';
import { assertNearest, nearest } from '../testing/brute-force.js';
import { FleetSockets } from '../testing/fleet-sockets.js';
import { around, mapOf, type Place } from '../testing/places.js';

const SEED = 1_801;
const FRESHNESS_MS = 600_000;
/** Older positions are stale in these questions. */
const MAX_AGE_MS = 240_000;
const STALE_MS = 400_000;
const CROWD = 300;
const BERLIN = { lat: 52.52, lon: 13.405 };
const EDGES: Record<string, Place> = {
  antimeridian: { lat: -16.8, lon: 180 },
  north: { lat: 85.0, lon: 40 },
  south: { lat: -85.0, lon: -179.9 },
  zero: { lat: 0, lon: 0 },
};

let stack: OwnStack;
let fleet: FleetSockets;
let dispatcher: Dispatcher;
const random = seededRandom(SEED);
const fields = (): Partial<Unnumbered> => ({
  status: random.chance(0.3) ? 'busy' : 'available',
  services: Math.floor(random.between(0, 8)),
});

before(async () => {
  const map = mapOf([...Object.values(EDGES), BERLIN], 0.3, random);
  stack = await OwnStack.start(map, {
    FRESHNESS_MS: String(FRESHNESS_MS),
    SWEEP_AFTER_MS: String(FRESHNESS_MS),
    HOLD_NACK_AFTER_MS: '60000', // nobody is refused because the machine is busy
    FLUSH_INTERVAL_MS: '1000',
  });
  fleet = new FleetSockets(stack.now);
  dispatcher = await Dispatcher.of(stack.now);
});
after(async () => {
  await fleet?.close();
  await stack?.stop();
});

async function report(reports: ReadonlyMap<string, Unnumbered>): Promise<void> {
  await fleet.connect([...reports.keys()].filter((driverId) => !fleet.byId.has(driverId)));
  for (const [driverId, fields] of reports) fleet.driver(driverId).send(fields);
  await fleet.untilVisible(dispatcher);
  assert.deepEqual(fleet.refusals(), {});
}

async function ask(question: Partial<Question> & Place): Promise<void> {
  const whole: Question = {
    radius_m: 50_000,
    limit: 100,
    status: 'available',
    services: 0,
    exclude: [],
    ...question,
  };
  assertNearest(await dispatcher.wholeAnswer(whole), fleet.truth.newest, whole);
}

for (const [name, edge] of Object.entries(EDGES)) {
  test(`${name}: as by looking at everybody (seed ${SEED})`, async () => {
    const recorded_at_ms = Date.now();
    const reports = new Map<string, Unnumbered>();
    for (let i = 0; i < 150; i++) {
      // Beyond the edge too, and some exactly on it.
      const place = i < 3 ? edge : around(edge, i % 2 === 0 ? 0.02 : 0.4, random);
      reports.set(`${name}-${i}`, { recorded_at_ms, ...place, ...fields() });
    }
    await report(reports);
    const lons = [...reports.values()].map(({ lon }) => lon);
    if (name === 'antimeridian') assert.ok(lons.some((lon) => lon > 179) && lons.some((lon) => lon < -179));
    for (let i = 0; i < 60; i++) {
      const point = i === 0 ? edge : around(edge, i % 2 === 0 ? 0.05 : 0.5, random);
      await ask({
        ...point,
        radius_m: Math.round(10 * 5_000 ** random.next()),
        limit: i % 3 === 0 ? 5 : 100,
        status: i % 4 === 0 ? 'busy' : 'available',
        services: i % 5 === 0 ? 3 : 0,
      });
    }
  });
}

test('180 and -180 are one meridian, and lng is lon', async () => {
  const { lat } = EDGES.antimeridian as Place;
  const ids = async (question: object) =>
    (await dispatcher.wholeAnswer({ lat, radius_m: 50_000, ...question })).drivers.map(
      ({ driver_id }) => driver_id,
    );
  const east = await ids({ lon: 180 });
  assert.ok(east.length > 0);
  assert.deepEqual(await ids({ lon: -180 }), east);
  assert.deepEqual(await ids({ lng: -180 }), east);
});

test('300 busy and 300 stale drivers nearer than the free ones hide nobody', async () => {
  const nowMs = Date.now();
  const reports = new Map<string, Unnumbered>();
  for (let i = 0; i < CROWD; i++) {
    const status = 'busy' as const;
    reports.set(`busy-${i}`, { recorded_at_ms: nowMs, status, ...around(BERLIN, 0.002, random) });
    reports.set(`stale-${i}`, { recorded_at_ms: nowMs - STALE_MS, ...around(BERLIN, 0.002, random) });
  }
  for (let i = 0; i < 20; i++) {
    const place = { lat: BERLIN.lat + 0.01 + 0.001 * i, lon: BERLIN.lon };
    reports.set(`free-${i}`, { recorded_at_ms: nowMs, services: i, ...place });
  }
  await report(reports);
  const fresh = { ...BERLIN, radius_m: 10_000, max_age_ms: MAX_AGE_MS };
  const free = async (question: Partial<Question>) => {
    const answer = await dispatcher.wholeAnswer({ ...fresh, ...question });
    return answer.drivers.map(({ driver_id }) => driver_id);
  };
  const firstFree = (count: number) => Array.from({ length: count }, (_, i) => `free-${i}`);
  assert.deepEqual(await free({ limit: 5 }), firstFree(5));
  assert.deepEqual(await free({ limit: 100 }), firstFree(20));
  assert.deepEqual(await free({ limit: 1, exclude: firstFree(7) }), ['free-7']);
  assert.deepEqual(await free({ limit: 3, services: 12 }), ['free-12', 'free-13', 'free-14']);
  // The nearest hundred of many busy drivers, and of all drivers that are not too old by default.
  await ask({ ...BERLIN, status: 'busy' });
  await ask(BERLIN);
  await ask({ ...BERLIN, limit: 100, exclude: firstFree(20) });
});

test('up to 100 drivers can be excluded, and an exclusion makes room for the next', async () => {
  const question = {
    ...BERLIN,
    radius_m: 10_000,
    limit: 100,
    status: 'busy' as const,
    services: 0,
    exclude: [],
  };
  const nearestHundred = nearest(fleet.truth.newest.values(), question).map(({ known }) => known.driverId);
  await ask({ ...question, exclude: nearestHundred });
  const { status } = await dispatcher.nearbyReply({ ...question, exclude: [...nearestHundred, 'one-more'] });
  assert.equal(status, 400);
});

test('what may be asked ends where it says', async () => {
  const base = { lat: 0, lon: 0 };
  const bounds: [object, number][] = [
    [{ radius_m: 50_000, limit: 100 }, 200],
    [{ radius_m: 1, limit: 1 }, 200],
    [{ radius_m: 50_000.1 }, 400],
    [{ radius_m: 0.5 }, 400],
    [{ limit: 101 }, 400],
    [{ limit: 0 }, 400],
    [{ limit: 1.5 }, 400],
    [{ lat: 85.05112878 }, 200],
    [{ lat: 85.0512 }, 400],
    [{ lon: -180.0001 }, 400],
    [{ services: 65_535 }, 200],
    [{ services: 65_536 }, 400],
    [{ status: 'offline' }, 400],
    [{ max_age_ms: FRESHNESS_MS + 1 }, 400],
    [{ radius: 100 }, 400],
  ];
  for (const [more, expected] of bounds) {
    const { status, body } = await dispatcher.nearbyReply({ ...base, ...more });
    assert.equal(status, expected, `${JSON.stringify(more)}: ${JSON.stringify(body)}`);
  }
});

test('what may be reported ends where it says', async () => {
  const driver = await fleet.connectOne('edge-reporter');
  const end = async (place: Place): Promise<string> => {
    const seq = driver.send({ recorded_at_ms: Date.now(), ...place });
    await fleet.untilSettled();
    return driver.nackOf(seq)?.code ?? 'acknowledged';
  };
  assert.equal(await end({ lat: 85.05112878, lon: 180 }), 'acknowledged');
  assert.equal(await end({ lat: 85.0512, lon: 0 }), 'bad_position');
  assert.equal(await end({ lat: -85.0512, lon: 0 }), 'bad_position');
  assert.equal(await end({ lat: 0, lon: 180.0001 }), 'bad_position');
  assert.equal(await end({ lat: -85.05112878, lon: -180 }), 'acknowledged');
  await fleet.untilVisible(dispatcher);
  const { body } = await dispatcher.byId('edge-reporter');
  assert.deepEqual([body.lat, body.lon], [-85.0511287, -180]);
});

test('all of it stands in Postgres as it was acknowledged', async () => {
  const held = fleet.truth.newest.get('edge-reporter');
  // The limit has one digit more than a position keeps.
  if (held) held.lat = -85.0511287;
  await untilArchived(stack.now.postgres.url, fleet.truth, stack.map, 10_000);
});
