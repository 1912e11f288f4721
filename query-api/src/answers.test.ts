// Answers over HTTP, from a real cluster.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import codec from '@googlemaps/polyline-codec';
import { cellOf, cellToString } from '@whereabouts/infra/geohash';
import { buildPartitionMap, type PartitionMap } from '@whereabouts/infra/partition-map';
import { distanceM, type Position } from '@whereabouts/infra/position';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import pointInPolygon from 'point-in-polygon-hao';
import {
  eventually,
  type Running,
  reported,
  startRunning,
  tokenOf,
  whenComplete,
} from './fixtures/running-service.js';

const NEARBY = '/v1/drivers/nearby';
const BATCH = '/v1/drivers/nearby:batch';
const SEED = 20_260_101;

const random = seededRandom(SEED).next;
const PLACES = { warsaw: [52.23, 21.01], zero: [0, 0], fiji: [-16.5, 180], north: [85.0, 20] } as const;
type Place = keyof typeof PLACES;

function scattered(place: Place, spread: number): { lat: number; lon: number } {
  const [lat, lon] = PLACES[place];
  const east = lon + (random() - 0.5) * 2 * spread;
  return {
    lat: Math.min(85.05, lat + (random() - 0.5) * 2 * spread),
    lon: east >= 180 ? east - 360 : east,
  };
}

/** Spread over four places, a third of them busy, with services of all kinds. */
function scatteredFleet(): Position[] {
  return Array.from({ length: 2_000 }, (_, i) =>
    reported(`d${i}`, {
      ...scattered((Object.keys(PLACES) as Place[])[i % 4] as Place, i % 3 === 0 ? 0.02 : 0.3),
      status: i % 3 === 2 ? 'busy' : 'available',
      services: Math.floor(random() * 8),
      ...(i % 2 === 0 ? { headingDeg: 359.99, speedMps: 8.5, accuracyM: 4.2 } : {}),
    }),
  );
}

let map: PartitionMap;
let fleet: Position[];
let running: Running;

before(async () => {
  fleet = scatteredFleet();
  map = buildPartitionMap(
    fleet.map(({ latE7, lonE7 }) => ({ lat: latE7 / 1e7, lon: lonE7 / 1e7 })),
    64,
  );
  // A freshness so long that no driver of this fleet becomes stale while the tests run.
  running = await startRunning(map, { FRESHNESS_MS: '600000' });
  await running.record(...fleet);
  await whenComplete(running);
});
after(() => running.stop());

interface Asked {
  lat: number;
  lon: number;
  radius_m: number;
  limit: number;
  status: 'available' | 'busy';
  services: number;
  exclude: string[];
}

function bruteForce(q: Asked): string[] {
  return fleet
    .filter((p) => p.status === q.status && (p.services & q.services) === q.services)
    .filter((p) => !q.exclude.includes(p.driverId))
    .map((p) => ({ id: p.driverId, m: distanceM(q.lat, q.lon, p.latE7 / 1e7, p.lonE7 / 1e7) }))
    .filter(({ m }) => m <= q.radius_m)
    .sort((a, b) => a.m - b.m || (a.id < b.id ? -1 : 1))
    .slice(0, q.limit)
    .map(({ id }) => id);
}

const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;

function randomQuestion(): Asked {
  return {
    ...scattered(pick(Object.keys(PLACES) as Place[]), pick([0.001, 0.1, 0.5])),
    radius_m: pick([50, 1_000, 5_000, 50_000]),
    limit: pick([1, 5, 10, 100]),
    status: pick(['available', 'busy']),
    services: pick([0, 0, 1, 6]),
    exclude: Array.from({ length: pick([0, 0, 5]) }, () => pick(fleet).driverId),
  };
}

test(`answers: 2,000 random questions are answered as by a sort of everyone (seed ${SEED})`, async () => {
  for (let round = 0; round < 40; round++) {
    const points = Array.from({ length: 50 }, randomQuestion);
    const body = await eventually(async () => {
      const reply = await running.post(BATCH, { points });
      assert.deepEqual([reply.status, reply.body.complete], [200, true]);
      return reply.body;
    });
    for (const [i, point] of points.entries()) {
      const ids = body.answers[i].drivers.map((driver: { driver_id: string }) => driver.driver_id);
      assert.deepEqual(ids, bruteForce(point), JSON.stringify(point));
    }
  }
});

test('answers: nearby echoes the question and says everything of each driver', async () => {
  const q = { lat: 52.23, lon: 21.01, radius_m: 50_000, limit: 3, status: 'busy', services: 1 };
  const { body } = await running.ask(
    `${NEARBY}?lat=52.23&lng=21.01&radius_m=50000&limit=3&status=busy&services=1&exclude=x,y`,
  );
  assert.deepEqual(body.query, { ...q, max_age_ms: 600_000, exclude: ['x', 'y'] });
  assert.deepEqual([body.complete, body.missing, body.drivers.length], [true, [], 3]);
  for (const driver of body.drivers) {
    const position = fleet.find(({ driverId }) => driverId === driver.driver_id) as Position;
    assert.equal(driver.lat, position.latE7 / 1e7);
    assert.equal(driver.lon, position.lonE7 / 1e7);
    assert.ok(Math.abs(driver.distance_m - distanceM(52.23, 21.01, driver.lat, driver.lon)) < 0.01);
    assert.equal(driver.recorded_at, new Date(position.recordedAtMs).toISOString());
    assert.equal(driver.heading_deg, position.headingCdeg === 65_535 ? null : 359.99);
    assert.equal(driver.speed_mps, position.speedCmps === 65_535 ? null : 8.5);
    assert.equal(driver.accuracy_m, position.accuracyDm === 65_535 ? null : 4.2);
    assert.deepEqual([driver.status, driver.persisted, driver.provisional], ['busy', false, true]);
    assert.equal(driver.source, 'live');
  }
});

test('answers: max_age_ms is held against the time of the cache', async () => {
  const at = { lat: -33.45, lon: -70.66 };
  const nowMs = running.store.nowMs();
  await running.record(
    reported('old', { ...at, recordedAtMs: nowMs - 60_000 }),
    reported('young', { ...at, recordedAtMs: nowMs }),
  );
  const point = `${NEARBY}?lat=-33.45&lon=-70.66`;
  const ids = async (query: string) =>
    (await running.ask(point + query)).body.drivers.map((d: { driver_id: string }) => d.driver_id);
  assert.deepEqual(await ids('&max_age_ms=50000'), ['young']);
  assert.deepEqual(await ids(''), ['old', 'young']);
});

test('answers: GeoJSON on request', async () => {
  const headers = { accept: 'application/geo+json' };
  const json = await running.ask(`${NEARBY}?lat=0&lon=0`);
  const geo = await running.ask(`${NEARBY}?lat=0&lon=0`, { headers });
  assert.equal(geo.body.type, 'FeatureCollection');
  assert.equal(geo.body.complete, true);
  const [driver] = json.body.drivers;
  const [feature] = geo.body.features;
  assert.equal(feature.id, driver.driver_id);
  assert.deepEqual(feature.geometry, { type: 'Point', coordinates: [driver.lon, driver.lat] });
  const one = await running.ask('/v1/drivers/d1', { headers });
  assert.deepEqual([one.body.type, one.body.id, one.body.complete], ['Feature', 'd1', true]);
  const many = await running.ask('/v1/drivers?ids=d1,nobody', { headers });
  assert.deepEqual([many.body.features.length, many.body.absent], [1, ['nobody']]);
  const refused = await running.ask('/v1/drivers/nearby?lat=0', { headers });
  assert.equal(refused.headers.get('content-type'), 'application/problem+json');
});

test('answers: a driver in two partitions is where the newer record says, once', async () => {
  const old = reported('crosser', { ...scattered('warsaw', 0.001), services: 0x4000 });
  const lat = old.latE7 / 1e7;
  let lon = old.lonE7 / 1e7;
  while (map.partitionOf(lat, lon) === map.partitionOf(lat, old.lonE7 / 1e7)) lon += 0.001;
  const moved = reported('crosser', { lat, lon, recordedAtMs: old.recordedAtMs + 1, services: 0x4000 });
  await running.record(old);
  await running.record(moved);
  const { body } = await running.ask(`${NEARBY}?lat=${lat}&lon=${lon}&radius_m=50000&services=16384`);
  assert.equal(body.drivers.length, 1);
  assert.equal(body.drivers[0].lon, moved.lonE7 / 1e7);
  const byId = await running.ask('/v1/drivers/crosser');
  assert.equal(byId.body.lon, moved.lonE7 / 1e7);
});

test('answers: by id also who is offline or stale; who is nowhere is not found', async () => {
  const at = { lat: 10, lon: 10 };
  await running.record(
    reported('gone', { ...at, status: 'offline' }),
    reported('asleep', { ...at, recordedAtMs: running.store.nowMs() - 900_000 }),
  );
  const gone = await running.ask('/v1/drivers/gone');
  assert.deepEqual([gone.status, gone.body.status, gone.body.complete], [200, 'offline', true]);
  assert.deepEqual([gone.body.distance_m, gone.body.bearing_deg], [null, null]);
  const asleep = await running.ask('/v1/drivers/asleep');
  assert.ok(asleep.body.age_ms >= 900_000);
  const nobody = await running.ask('/v1/drivers/nobody');
  assert.deepEqual([nobody.status, nobody.body.code], [404, 'driver_not_found']);
  const many = await running.ask('/v1/drivers?ids=asleep,nobody,gone,asleep');
  assert.deepEqual(
    many.body.drivers.map((driver: { driver_id: string }) => driver.driver_id),
    ['asleep', 'gone'],
  );
  assert.deepEqual([many.body.absent, many.body.query.ids], [['nobody'], ['asleep', 'nobody', 'gone']]);
});

test('answers: `persisted` once the watermark has passed the record', async () => {
  const at = { lat: -10, lon: -60 };
  await running.record(reported('parcel', at));
  const look = async () => (await running.ask('/v1/drivers/parcel')).body.persisted;
  assert.equal(await look(), false);
  const partition = map.partitionOf(at.lat, at.lon);
  const { term, revision, nowMs } = await running.store.begin(partition, 'test', 5_000);
  await running.store.flushed(partition, { term, revision, asOfMs: nowMs, flusherId: 'test' });
  await eventually(async () => assert.equal(await look(), true));
});

test('answers: the partitions, their owners and what they hold', async () => {
  const { body } = await running.ask('/v1/partitions');
  assert.deepEqual(body.map, { hash: map.hash, partitions: 64 });
  assert.equal(body.partitions.length, 64);
  const nodes = new Set(running.cluster.nodes.map(({ host, port }) => `${host}:${port}`));
  let drivers = 0;
  for (const [i, partition] of body.partitions.entries()) {
    const { from, to } = map.range(i);
    assert.deepEqual([partition.partition, partition.from, partition.to], [i, from, to]);
    assert.deepEqual([partition.slot, partition.tag], [map.slotOf(i), map.tagOf(i)]);
    assert.ok(nodes.has(partition.node));
    assert.ok(partition.loss_window_ms >= 0);
    drivers += partition.drivers;
  }
  assert.ok(drivers >= fleet.length);
  const geo = await running.ask('/v1/partitions', { headers: { accept: 'application/geo+json' } });
  assert.equal(geo.body.features.length, 64);
  assert.equal(geo.body.features[5].geometry.type, 'MultiPolygon');
  assert.equal(geo.body.features[5].properties.tag, map.tagOf(5));
});

test('answers: live gives those on duty within the box, also across the antimeridian', async () => {
  const within = (west: number, south: number, east: number, north: number) =>
    fleet
      .map(({ driverId, latE7, lonE7 }) => ({ driverId, lat: latE7 / 1e7, lon: lonE7 / 1e7 }))
      .filter(({ lat }) => lat >= south && lat <= north)
      .filter(({ lon }) => (west <= east ? lon >= west && lon <= east : lon >= west || lon <= east))
      .map(({ driverId }) => driverId)
      .sort();
  for (const box of [
    [-0.1, -0.1, 0.1, 0.1],
    [179.9, -17, -179.9, -16],
    [179.9, -17, 180, -16],
  ] as [number, number, number, number][]) {
    const { body } = await running.ask(`/v1/drivers/live?bbox=${box.join(',')}&limit=5000`);
    const ids = body.drivers.map((driver: { driver_id: string }) => driver.driver_id);
    assert.deepEqual(ids, within(...box));
    assert.equal(body.truncated, false);
  }
  const turned = await running.ask('/v1/drivers/live?bbox=-0.1,0.1,0.1,-0.1&limit=5000');
  assert.equal(turned.body.drivers.length, within(-0.1, -0.1, 0.1, 0.1).length);
  const few = await running.ask('/v1/drivers/live?bbox=-180,-90,180,90&limit=7');
  assert.deepEqual([few.body.drivers.length, few.body.truncated], [7, true]);
  const again = await running.ask('/v1/drivers/live?bbox=-180,-90,180,90&limit=7');
  assert.deepEqual(
    again.body.drivers.map((d: { driver_id: string }) => d.driver_id),
    few.body.drivers.map((d: { driver_id: string }) => d.driver_id),
  );
});

test('answers: supply adds up to those on duty within the box, cell by cell', async () => {
  const box = [20.9, 52.1, 21.1, 52.3];
  const { body } = await running.ask(`/v1/supply?bbox=${box.join(',')}&precision=6`);
  assert.deepEqual([body.query, body.precision], [{ bbox: box, precision: 6 }, 6]);
  assert.deepEqual([body.complete, body.missing, body.provisional], [true, [], true]);
  const live = await running.ask(`/v1/drivers/live?bbox=${box.join(',')}&limit=5000`);
  const expected = new Map<string, { available: number; busy: number }>();
  for (const { lat, lon, status } of live.body.drivers) {
    const geohash = cellToString(cellOf(lat, lon));
    const cell = expected.get(geohash) ?? { available: 0, busy: 0 };
    cell[status as 'available' | 'busy']++;
    expected.set(geohash, cell);
  }
  assert.ok(expected.size > 20);
  const rows = [...expected].sort(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(
    body.cells,
    rows.map(([geohash, { available, busy }]) => ({ geohash, drivers: available + busy, available, busy })),
  );
  const world = await running.ask('/v1/supply?precision=7');
  assert.ok(
    world.body.cells.every(({ geohash }: { geohash: string }) => geohash.length === world.body.precision),
  );
  const drivers = world.body.cells.reduce((sum: number, cell: { drivers: number }) => sum + cell.drivers, 0);
  const all = await running.ask('/v1/drivers/live?bbox=-180,-90,180,90&limit=5000');
  assert.equal(drivers, all.body.drivers.length);
  const metrics = await running.metrics.registry.metrics();
  assert.match(metrics, /request_duration_seconds_count\{[^}]*route="\/v1\/supply"[^}]*\} [1-9]/);
  assert.match(metrics, /index_looks_count\{[^}]*route="\/v1\/supply"[^}]*\} [1-9]/);
});

test('answers: live and supply within a polygon with a hole, as another library decides', async () => {
  const outer = [
    [20.8, 52.1],
    [21.2, 52.05],
    [21.3, 52.4],
    [20.95, 52.35],
    [20.8, 52.1],
  ] as [number, number][];
  const hole = [
    [21, 52.2],
    [21.02, 52.2],
    [21.02, 52.25],
    [21, 52.2],
  ] as [number, number][];
  const geoJson = JSON.stringify({ type: 'Polygon', coordinates: [outer, hole] });
  const everyone = (await running.ask('/v1/drivers/live?bbox=-180,-90,180,90&limit=5000')).body.drivers;
  const isInBox = ({ lat, lon }: { lat: number; lon: number }) =>
    lon >= 20.9 && lon <= 21.05 && lat >= 52.1 && lat <= 52.3;
  const encoded = codec.encode(outer.slice(0, -1).map(([lon, lat]) => [lat, lon]));
  for (const [text, rings] of [
    [geoJson, [outer, hole]],
    [encoded, [outer]],
  ] as const) {
    const within = everyone.filter((driver: { lat: number; lon: number }) =>
      pointInPolygon([driver.lon, driver.lat], [...rings]),
    );
    const polygon = encodeURIComponent(text);
    const live = await running.ask(`/v1/drivers/live?polygon=${polygon}&limit=5000`);
    assert.deepEqual(live.body.query, { polygon: text, limit: 5_000 });
    assert.deepEqual(
      live.body.drivers.map((driver: { driver_id: string }) => driver.driver_id),
      within.map((driver: { driver_id: string }) => driver.driver_id),
    );
    assert.deepEqual([live.body.complete, live.body.truncated, within.length > 50], [true, false, true]);
    const both = await running.ask(
      `/v1/drivers/live?bbox=20.9,52.1,21.05,52.3&polygon=${polygon}&limit=5000`,
    );
    assert.deepEqual(
      both.body.drivers.map((driver: { driver_id: string }) => driver.driver_id),
      within.filter(isInBox).map((driver: { driver_id: string }) => driver.driver_id),
    );
    assert.ok(both.body.drivers.length > 0 && both.body.drivers.length < within.length);
    const supply = await running.ask(`/v1/supply?polygon=${polygon}&precision=5`);
    const busy = supply.body.cells.reduce((sum: number, cell: { busy: number }) => sum + cell.busy, 0);
    const drivers = supply.body.cells.reduce(
      (sum: number, cell: { drivers: number }) => sum + cell.drivers,
      0,
    );
    assert.deepEqual(
      [drivers, busy],
      [within.length, within.filter((one: { status: string }) => one.status === 'busy').length],
    );
  }
});

test('answers: one caller has a share of the questions at once, and all together have a limit', async () => {
  const dear = { radius_m: 50_000, limit: 100 };
  const points = Array.from({ length: 100 }, () => ({ ...scattered('warsaw', 0.1), ...dear }));
  const ask = async (subject: string) => {
    const authorization = `Bearer ${await tokenOf('drivers:read', { subject })}`;
    return await running.post(BATCH, { points }, { authorization });
  };
  const ofOne = await Promise.all(Array.from({ length: 12 }, () => ask('one')));
  const refused = ofOne.filter(({ body }) => body.code === 'too_many_at_once');
  assert.ok(refused.length > 0 && refused.length < ofOne.length);
  for (const { status, headers } of refused) {
    assert.deepEqual([status, headers.get('retry-after')], [429, '1']);
  }
  const ofMany = await Promise.all(Array.from({ length: 24 }, (_, i) => ask(`many-${i}`)));
  const overloaded = ofMany.filter(({ body }) => body.code === 'overloaded');
  assert.ok(overloaded.length > 0 && overloaded.length < ofMany.length);
  for (const { status, headers } of overloaded) {
    assert.deepEqual([status, headers.get('retry-after')], [503, '1']);
  }
  assert.equal((await running.ask(`${NEARBY}?lat=0&lon=0`)).status, 200);
  const metrics = await running.metrics.registry.metrics();
  assert.match(metrics, /refused_questions_total\{reason="subject_in_flight"\} [1-9]/);
  assert.match(metrics, /refused_questions_total\{reason="in_flight"\} [1-9]/);
  assert.match(metrics, /questions_in_flight 0\n/);
});
