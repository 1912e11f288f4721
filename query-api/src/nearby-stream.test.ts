// The stream of nearby drivers on a real cluster: its events add up to what a question answers.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { NearbyReader } from '@whereabouts/infra/local/nearby-reader';
import { buildPartitionMap, type PartitionMap } from '@whereabouts/infra/partition-map';
import { distanceM, type Position } from '@whereabouts/infra/position';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { createLogger } from '@whereabouts/infra/service/log';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { head, RawConnection } from './fixtures/raw-http.js';
import {
  eventually,
  type Running,
  reported,
  startRunning,
  tokenOf,
  whenComplete,
} from './fixtures/running-service.js';
import { startQueryService } from './service.js';

const SEED = 20_261_127;
const STREAM = '/v1/drivers/nearby/stream';
const [LAT, LON] = [52.23, 21.01];
const DRIVERS = 400;
const ROUNDS = 6;
const ORIGIN = 'https://dispatch.example';

const random = seededRandom(SEED).next;
const place = (spread: number) => ({
  lat: LAT + (random() - 0.5) * spread,
  lon: LON + (random() - 0.5) * spread,
});

let map: PartitionMap;
let running: Running;
const fleet = new Map<string, Position>();
const readers: NearbyReader[] = [];

before(async () => {
  for (let i = 0; i < DRIVERS; i++) fleet.set(`d${i}`, reported(`d${i}`, place(0.2)));
  const at = [...fleet.values()].map(({ latE7, lonE7 }) => ({ lat: latE7 / 1e7, lon: lonE7 / 1e7 }));
  map = buildPartitionMap(at, 24);
  running = await startRunning(map, {
    ...{ FRESHNESS_MS: '600000', CORS_ORIGINS: ORIGIN, COVERAGE_LAG_MS: '2000' },
    ...{ MAX_STREAMS: '12', MAX_STREAMS_PER_SUBJECT: '8' },
  });
  await running.record(...fleet.values());
  await whenComplete(running);
});
after(async () => {
  await Promise.all(readers.map((reader) => reader.close()));
  await running.stop();
});

const COMPONENTS: Record<string, string> = {
  snapshot: 'NearbySnapshot',
  change: 'NearbyChange',
  end: 'StreamEnd',
};
/** Events that differ from what /openapi.json documents. */
const undocumented: string[] = [];

function checkEvent(event: string, body: unknown): void {
  try {
    running.check.body({ $ref: `#/components/schemas/${COMPONENTS[event]}` }, body);
  } catch (error) {
    undocumented.push(String(error));
  }
}

function follow(query: string, token = running.token): NearbyReader {
  const reader = new NearbyReader({
    url: () => `${running.url}${STREAM}?${query}`,
    authorization: `Bearer ${token}`,
    onEvent: checkEvent,
  });
  readers.push(reader);
  return reader;
}

/** Some move, a little or far, some change their status, some are new. */
async function drive(): Promise<void> {
  const news: Position[] = [];
  for (const [driverId, { latE7, lonE7, recordedAtMs }] of fleet) {
    const dice = random();
    if (dice < 0.5) continue;
    const step = dice < 0.8 ? 0.0002 : 0.01;
    const lat = latE7 / 1e7 + (random() - 0.5) * step;
    const lon = lonE7 / 1e7 + (random() - 0.5) * step;
    const status = dice > 0.95 ? 'busy' : dice > 0.92 ? 'offline' : 'available';
    news.push(reported(driverId, { lat, lon, status, recordedAtMs: recordedAtMs + 1 }));
  }
  const newcomer = `new-${fleet.size}`;
  news.push(reported(newcomer, place(0.02)));
  for (const position of news) fleet.set(position.driverId, position);
  await running.record(...news);
}

/** 0 if it is not there. */
async function metricOf(name: string): Promise<number> {
  const text = await running.metrics.registry.metrics();
  const line = text.split('\n').find((one) => one.startsWith(`whereabouts_query_api_${name} `));
  return Number(line?.split(' ').at(-1) ?? 0);
}

interface Answered {
  driver_id: string;
  lat: number;
  lon: number;
}

test(`stream: what its events add up to is what nearby answers, second by second (seed ${SEED})`, async () => {
  const questions = [
    { query: `lat=${LAT}&lon=${LON}&limit=10&min_move_m=0`, minMoveM: 0 },
    { query: `lat=${LAT}&lon=${LON}&limit=100&radius_m=3000`, minMoveM: 25 },
    { query: `lat=${LAT + 0.01}&lon=${LON}&limit=5&status=busy&min_move_m=500`, minMoveM: 500 },
  ];
  const followed = questions.map((question) => ({ ...question, reader: follow(question.query) }));
  for (const { reader } of followed) await eventually(async () => assert.equal(reader.snapshots, 1));
  for (let round = 0; round < ROUNDS; round++) {
    await drive();
    for (const { query, minMoveM, reader } of followed) {
      const nearby = query.replace(/&min_move_m=\d+/, '');
      const { body } = await running.ask(`/v1/drivers/nearby?${nearby}`);
      await eventually(async () => {
        const expected = body.drivers.map(({ driver_id }: Answered) => driver_id);
        assert.deepEqual([...reader.drivers.keys()].sort(), [...expected].sort(), `round ${round}: ${query}`);
        for (const { driver_id, lat, lon } of body.drivers as Answered[]) {
          const told = reader.drivers.get(driver_id);
          assert.ok(told);
          const offM = distanceM(lat, lon, told.lat, told.lon);
          assert.ok(minMoveM === 0 ? offM === 0 : offM < minMoveM, `${driver_id} is ${offM} m off`);
        }
        if (minMoveM === 0) assert.deepEqual(reader.ids, expected);
      });
    }
  }
  for (const { reader } of followed) {
    assert.deepEqual([reader.snapshots, reader.misfits, reader.view?.complete], [1, [], true]);
    assert.ok(reader.changes >= ROUNDS / 2, `${reader.changes} changes`);
    await reader.close();
  }
  for (const [metric, least] of [
    ['stream_events_total{event="snapshot"}', 3],
    ['stream_events_total{event="change"}', 10],
    ['stream_bytes_total', 10_000],
    ['stream_turn_duration_seconds_count', 10],
    ['stream_late_seconds_count', 10],
    ['streams_ended_total{reason="closed"}', 3],
  ] as const) {
    await eventually(async () => assert.ok((await metricOf(metric)) >= least, metric));
  }
  // The time a stream was open is not the duration of an answer.
  assert.equal(await metricOf(`request_duration_seconds_count{route="${STREAM}",status="2xx"}`), 0);
});

test('stream: nobody is told of what is less than min_move_m, and each is told of it once', async () => {
  const at = { lat: -33.45, lon: -70.66 };
  const recordedAtMs = running.store.nowMs();
  await running.record(reported('parked', { ...at, recordedAtMs }));
  const reader = follow('lat=-33.45&lon=-70.66&min_move_m=100');
  await eventually(async () => assert.deepEqual(reader.ids, ['parked']));
  // Steps of 60 m: every second one is sent.
  for (let step = 1; step <= 4; step++) {
    const lat = at.lat + step * 0.00054;
    await running.record(reported('parked', { ...at, lat, recordedAtMs: recordedAtMs + step }));
    await new Promise((resolve) => setTimeout(resolve, 700));
    const told = reader.drivers.get('parked')?.lat ?? 0;
    assert.ok(Math.abs(told - (at.lat + (step - (step % 2)) * 0.00054)) < 1e-6, `step ${step}: ${told}`);
  }
  assert.equal(reader.changes, 2);
  await reader.close();
});

test('stream: its headers, as proxies and pages need them, and its first event', async () => {
  const connection = await RawConnection.to(running.service.port);
  const headers = {
    Origin: ORIGIN,
    'Accept-Encoding': 'gzip',
    'X-Request-Id': 'mine',
    'Last-Event-ID': 'x-7',
  };
  await connection.send(head(running, `GET ${STREAM}?lat=${LAT}&lon=${LON}&limit=100 HTTP/1.1`, headers));
  const answer = await connection.answer(true);
  assert.equal(answer.status, 200);
  for (const [name, value] of Object.entries({
    ...{ 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' },
    ...{ 'x-request-id': 'mine', 'access-control-allow-origin': ORIGIN, 'content-encoding': undefined },
  })) {
    assert.equal(answer.headers[name], value, name);
  }
  await eventually(async () => {
    assert.match(
      connection.rest,
      /retry: \d+\nevent: snapshot\nid: [0-9a-f]{8}-\d+\ndata: \{"revision":"[0-9a-f]{8}-\d+","query":/,
    );
  });
  connection.close();
});

test('stream: what is refused, before any event', async () => {
  const codeOf = async (path: string, init: RequestInit = {}) => {
    const { status, body } = await running.ask(path, init);
    return [status, body.code];
  };
  const whole = `${STREAM}?lat=1&lon=1`;
  assert.deepEqual(await codeOf(`${STREAM}?lat=1`), [400, 'bad_parameters']);
  assert.deepEqual(await codeOf(`${whole}&min_move_m=-1`), [400, 'bad_parameters']);
  assert.deepEqual(await codeOf(`${whole}&colour=1`), [400, 'bad_parameters']);
  assert.deepEqual(await codeOf(whole, { method: 'POST' }), [405, 'method_not_allowed']);
  const headers = { accept: 'application/json' };
  assert.deepEqual(await codeOf(whole, { headers }), [406, 'not_acceptable']);
  assert.deepEqual(await codeOf(whole, { headers: { authorization: 'Bearer x' } }), [401, 'token_invalid']);
  const only = await running.ask(whole, { method: 'HEAD' });
  assert.deepEqual([only.status, only.headers.get('content-type')], [200, 'text/event-stream']);
  assert.equal(only.headers.get('content-length'), null);
  assert.equal(await metricOf('streams'), 0);
});

test('stream: a process and a subject have only so many', async () => {
  const query = `lat=${LAT}&lon=${LON}`;
  const mine = Array.from({ length: 8 }, () => follow(query));
  for (const reader of mine) await eventually(async () => assert.ok(reader.view));
  const ninth = await running.ask(`${STREAM}?${query}`);
  assert.deepEqual([ninth.status, ninth.body.code], [429, 'too_many_at_once']);
  assert.equal(ninth.headers.get('retry-after'), '1');
  const another = await tokenOf('drivers:read', { subject: 'another' });
  const others = Array.from({ length: 4 }, () => follow(query, another));
  for (const reader of others) await eventually(async () => assert.ok(reader.view));
  const thirteenth = await running.ask(`${STREAM}?${query}`, {
    headers: { authorization: `Bearer ${another}` },
  });
  assert.deepEqual([thirteenth.status, thirteenth.body.code], [503, 'overloaded']);
  assert.equal(await metricOf('streams'), 12);
  assert.equal(await metricOf('refused_questions_total{reason="subject_streams"}'), 1);
  assert.equal(await metricOf('refused_questions_total{reason="streams"}'), 1);
  await Promise.all([...mine, ...others].map((reader) => reader.close()));
  const again = follow(query);
  await eventually(async () => assert.ok(again.view));
  await again.close();
});

test('stream: after its process is gone it begins anew at another one, whatever it remembers', async () => {
  const log = createLogger('query-api', 'silent');
  const metrics = createMetrics('query-api', { commit: 'test' });
  const other = await startQueryService({ settings: running.settings, map, metrics, log });
  const path = `${STREAM}?lat=${LAT}&lon=${LON}&limit=20&min_move_m=0`;
  let port = other.port;
  const url = () => `http://127.0.0.1:${port}${path}`;
  const reader = new NearbyReader({ url, authorization: `Bearer ${running.token}` });
  readers.push(reader);
  try {
    await eventually(async () => assert.equal(reader.drivers.size, 20));
    port = running.service.port;
  } finally {
    // All at once, without notice.
    other.close();
  }
  await drive();
  const { body } = await running.ask(`/v1/drivers/nearby?lat=${LAT}&lon=${LON}&limit=20`);
  const expected = body.drivers.map(({ driver_id }: Answered) => driver_id);
  await eventually(async () => assert.deepEqual([reader.snapshots, reader.ids], [2, expected]));
  assert.deepEqual([reader.endReason, reader.misfits], [null, []]);
  await reader.close();
});

test('stream: it ends with its token, and says so', async () => {
  // The leeway of five seconds has not passed yet.
  const token = await tokenOf('drivers:read', { ttlS: -3 });
  const reader = follow(`lat=${LAT}&lon=${LON}`, token);
  await eventually(async () => assert.equal(reader.snapshots, 1));
  await eventually(async () => assert.equal(reader.endReason, 'token_expired'));
  await eventually(async () => assert.equal(reader.refusal?.status, 401));
  await reader.close();
});

test('stream: what cannot be seen any more is told, and what can be seen again', async () => {
  const reader = follow(`lat=${LAT}&lon=${LON}&radius_m=50000&limit=100`);
  await eventually(async () => assert.equal(reader.view?.complete, true));
  const node = running.store.nodeOf(map.partitionOf(LAT, LON)) as string;
  const port = Number(node.split(':')[1]);
  running.cluster.kill(port, 'SIGKILL');
  await eventually(async () => {
    assert.equal(reader.view?.complete, false);
    assert.equal(reader.view?.missing[0]?.reason, 'unreachable');
    // It keeps growing, and each growth is sent.
    assert.ok((reader.view?.view_age_ms ?? 0) >= 3_000);
  });
  assert.equal(reader.drivers.size, 100);
  await running.cluster.restartNode(port);
  await eventually(async () => {
    assert.deepEqual([reader.view?.complete, reader.view?.missing], [true, []]);
  });
  assert.deepEqual([reader.snapshots, reader.misfits], [1, []]);
  await reader.close();
});

test('stream: a process that is stopped ends its streams at once, and says so', async () => {
  const reader = follow(`lat=${LAT}&lon=${LON}`);
  await eventually(async () => assert.ok(reader.view));
  const startedAtMs = performance.now();
  await running.service.drain();
  assert.ok(performance.now() - startedAtMs < 5_000);
  await eventually(async () => assert.equal(reader.endReason, 'draining'));
  await reader.close();
  assert.deepEqual(undocumented, []);
});
