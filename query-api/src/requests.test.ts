// How requests may be written, and every way in which one is refused, over a real connection.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import { MAX_BODY_BYTES } from './bodies.js';
import {
  eventually,
  type Reply,
  type Running,
  startRunning,
  tokenOf,
  whenComplete,
} from './fixtures/running-service.js';

let running: Running;
const logged: string[] = [];

before(async () => {
  running = await startRunning(evenPartitionMap(16), {}, { write: (line) => void logged.push(line) });
  await whenComplete(running);
});
after(() => running.stop());

const NEARBY = '/v1/drivers/nearby';
const BATCH = '/v1/drivers/nearby:batch';
const AT = 'lat=52.23&lon=21.01';

/** `[parameter, code]` of each error. */
function refused(reply: Reply): [string, string][] {
  assert.equal(reply.status, 400);
  assert.equal(reply.headers.get('content-type'), 'application/problem+json');
  assert.equal(reply.body.code, 'bad_parameters');
  return reply.body.errors.map((error: { parameter: string; code: string }) => [error.parameter, error.code]);
}

test('requests: each parameter of nearby is refused by name', async () => {
  const cases: [query: string, ...errors: [string, string][]][] = [
    ['', ['lat', 'missing'], ['lon', 'missing']],
    ['lat=52.23', ['lon', 'missing']],
    [`${AT}&lng=21`, ['lng', 'conflict']],
    ['lat=52.23&lng=181', ['lng', 'out_of_range']],
    ['lat=52.23&lng=east', ['lng', 'wrong_type']],
    ['lat=52.23&lng=1&lng=2', ['lng', 'repeated']],
    ['lat=&lon=1', ['lat', 'wrong_type']],
    [`${AT}&limit=`, ['limit', 'wrong_type']],
    [`${AT}&status=`, ['status', 'not_allowed']],
    ['lat=NaN&lon=1', ['lat', 'wrong_type']],
    ['lat=0x10&lon=1', ['lat', 'wrong_type']],
    ['lat=%201&lon=1e999', ['lat', 'wrong_type'], ['lon', 'wrong_type']],
    ['lat=85.06&lon=180.1', ['lat', 'out_of_range'], ['lon', 'out_of_range']],
    ['lat=-85.06&lon=-181', ['lat', 'out_of_range'], ['lon', 'out_of_range']],
    [`${AT}&radius_m=0`, ['radius_m', 'out_of_range']],
    [`${AT}&radius_m=50001`, ['radius_m', 'out_of_range']],
    [`${AT}&limit=0`, ['limit', 'out_of_range']],
    [`${AT}&limit=101`, ['limit', 'out_of_range']],
    [`${AT}&limit=1.5`, ['limit', 'wrong_type']],
    [`${AT}&status=offline`, ['status', 'not_allowed']],
    [`${AT}&services=65536`, ['services', 'out_of_range']],
    [`${AT}&services=-1`, ['services', 'out_of_range']],
    [`${AT}&max_age_ms=0`, ['max_age_ms', 'out_of_range']],
    [`${AT}&max_age_ms=10001`, ['max_age_ms', 'out_of_range']],
    [`${AT}&exclude=a,b%2Fc`, ['exclude[1]', 'bad_format']],
    [`${AT}&exclude=a,,b`, ['exclude[1]', 'bad_format']],
    [`${AT}&exclude=${Array(101).fill('d').join(',')}`, ['exclude', 'bad_length']],
    [`${AT}&limit=1&limit=1`, ['limit', 'repeated']],
    [`${AT}&__proto__=1`, ['__proto__', 'unknown']],
    [`${AT}&constructor=`, ['constructor', 'unknown']],
  ];
  for (const [query, ...errors] of cases) {
    assert.deepEqual(refused(await running.ask(`${NEARBY}?${query}`)), errors, query);
  }
});

test('requests: an unknown parameter is refused, with the one that was perhaps meant', async () => {
  const meant = {
    radius: 'radius_m',
    longitude: 'lon',
    limt: 'limit',
    maxAge: 'max_age_ms',
    Status: 'status',
  };
  for (const [written, known] of Object.entries(meant)) {
    const reply = await running.ask(`${NEARBY}?${AT}&${written}=1`);
    assert.deepEqual(refused(reply), [[written, 'unknown']]);
    assert.match(reply.body.errors[0].detail, new RegExp(`did you mean ${known}\\?`));
  }
  const reply = await running.ask(`${NEARBY}?${AT}&colour=1`);
  assert.match(reply.body.errors[0].detail, /known are lat, lon, radius_m/);
});

test('requests: lists of ids and boxes are refused by name', async () => {
  const many = Array(101).fill('d').join(',');
  assert.deepEqual(refused(await running.ask('/v1/drivers')), [['ids', 'missing']]);
  assert.deepEqual(refused(await running.ask(`/v1/drivers?ids=${many}`)), [['ids', 'bad_length']]);
  assert.deepEqual(refused(await running.ask('/v1/drivers?ids=a%20b')), [['ids[0]', 'bad_format']]);
  assert.deepEqual(refused(await running.ask('/v1/drivers/a.b')), [['id', 'bad_format']]);
  assert.deepEqual(refused(await running.ask('/v1/drivers/d1?x=1')), [['x', 'unknown']]);
  const boxes = { '1,2,3': 'bad_length', '1,2,3,x': 'wrong_type', '-181,0,0,1': 'out_of_range' };
  for (const [bbox, code] of Object.entries({
    ...boxes,
    '0,-91,1,1': 'out_of_range',
    '0,1,1,90.1': 'out_of_range',
    '1,2,3,4,5': 'bad_length',
  })) {
    const errors = refused(await running.ask(`/v1/drivers/live?bbox=${bbox}`));
    assert.equal(errors[0]?.[1], code, bbox);
  }
  assert.deepEqual(refused(await running.ask('/v1/drivers/live?bbox=0,0,1,1&limit=5001')), [
    ['limit', 'out_of_range'],
  ]);
});

test('requests: a box, a polygon or both', async () => {
  const polygon = encodeURIComponent('{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}');
  for (const path of ['/v1/drivers/live', '/v1/supply']) {
    assert.equal((await running.ask(path)).status, 200, 'everywhere');
    for (const empty of ['bbox=', 'polygon=', 'bbox=0,0,1,1&polygon=', 'bbox=,'])
      assert.equal((await running.ask(`${path}?${empty}`)).status, 400, empty);
    for (const bbox of ['0,0,1,1', '5,5,6,6']) {
      assert.equal((await running.ask(`${path}?bbox=${bbox}&polygon=${polygon}`)).status, 200);
    }
    const open = await running.ask(`${path}?polygon=${polygon.replace('%5B0%2C0%5D%5D', '%5B0%2C1%5D%5D')}`);
    assert.equal(open.status, 200, 'a ring need not be closed');
    assert.equal((await running.ask(`${path}?polygon=${polygon}`)).status, 200);
  }
  const ring = Array.from({ length: 999 }, (_, i) => [21 + (i % 9) / 1e7, 52 + i / 1e7]);
  const long = JSON.stringify({ type: 'Polygon', coordinates: [[...ring, ring[0]]] });
  assert.equal((await running.ask(`/v1/supply?polygon=${encodeURIComponent(long)}`)).status, 200);
});

test('requests: a supply of too many cells has coarser ones, and says so', async () => {
  // The last two touch 99 by 99 cells and 101 by 101.
  for (const [query, precision] of [
    ['precision=3', 2],
    ['bbox=-180,-90,180,90&precision=7', 2],
    ['bbox=0.1,0.1,4.4,4.4&precision=5', 5],
    ['bbox=0.1,0.1,4.5,4.5&precision=5', 4],
  ] as const) {
    const { status, body } = await running.ask(`/v1/supply?${query}`);
    assert.deepEqual([status, body.precision], [200, precision], query);
  }
  assert.deepEqual(refused(await running.ask('/v1/supply?bbox=0,0,1,1&precision=8')), [
    ['precision', 'out_of_range'],
  ]);
});

test('requests: a bad point of a batch is named by its index', async () => {
  const good = { lat: 52.2, lon: 21 };
  const points = [
    good,
    { lat: '1', lon: 1 },
    { lat: 1, lng: 2, radius: 3 },
    { lat: 1 },
    { ...good, limit: 0 },
  ];
  assert.deepEqual(refused(await running.post(BATCH, { points })), [
    ['points[1].lat', 'wrong_type'],
    ['points[2].radius', 'unknown'],
    ['points[3].lon', 'missing'],
    ['points[4].limit', 'out_of_range'],
  ]);
  const both = {
    points: [good, { ...good, lng: 1 }, { lat: 1 }, { lat: 1, lng: '2' }, { lat: 1, lng: 181 }],
  };
  assert.deepEqual(refused(await running.post(BATCH, both)), [
    ['points[1].lng', 'conflict'],
    ['points[2].lon', 'missing'],
    ['points[3].lng', 'wrong_type'],
    ['points[4].lng', 'out_of_range'],
  ]);
  assert.deepEqual(refused(await running.post(BATCH, {})), [['points', 'missing']]);
  assert.deepEqual(refused(await running.post(BATCH, { points: [] })), [['points', 'bad_length']]);
  assert.deepEqual(refused(await running.post(BATCH, { points: Array(101).fill(good) })), [
    ['points', 'bad_length'],
  ]);
  assert.deepEqual(refused(await running.post(BATCH, [])), [['body', 'wrong_type']]);
  assert.deepEqual(refused(await running.post(BATCH, 'null')), [['body', 'wrong_type']]);
  assert.deepEqual(refused(await running.post(`${BATCH}?limit=3`, { points: [good] })), [
    ['limit', 'unknown'],
  ]);
});

test('requests: a body has one type, is JSON, and has a bound', async () => {
  const points = { points: [{ lat: 1, lon: 1 }] };
  const other = await running.post(BATCH, points, { 'content-type': 'text/plain' });
  assert.deepEqual([other.status, other.body.code], [415, 'unsupported_media_type']);
  assert.equal(other.headers.get('accept-post'), 'application/json');
  const named = await running.post(BATCH, points, { 'content-type': 'Application/JSON; charset=utf-8' });
  assert.equal(named.status, 200);
  const broken = await running.post(BATCH, '{"points":');
  assert.deepEqual([broken.status, broken.body.code], [400, 'bad_body']);
  const empty = await running.post(BATCH, '');
  assert.deepEqual([empty.status, empty.body.code], [400, 'bad_body']);
  const large = await running.post(BATCH, ' '.repeat(MAX_BODY_BYTES + 1));
  assert.deepEqual([large.status, large.body.code], [413, 'body_too_large']);
});

test('requests: a body without a length is bounded too', async () => {
  const piece = ' '.repeat(64 * 1024);
  const head = `POST ${BATCH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${running.token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`;
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(running.service.port, '127.0.0.1', () => {
      socket.write(head);
      for (let i = 0; i < 12; i++) socket.write(`${piece.length.toString(16)}\r\n${piece}\r\n`);
    });
    socket.on('data', (data) => resolve(data.toString()));
    socket.on('error', reject);
    socket.on('end', () => socket.destroy());
  });
  assert.match(answer, /^HTTP\/1.1 413 /);
  assert.match(answer, /connection: close/i);
});

test('requests: without a fit token there is no answer', async () => {
  const cases: [authorization: string, status: number, code: string, challenge: RegExp][] = [
    ['', 401, 'token_missing', /^Bearer realm="whereabouts"$/],
    ['Basic abc', 401, 'token_invalid', /error="invalid_token"/],
    ['Bearer abc', 401, 'token_invalid', /error="invalid_token"/],
    [`Bearer ${await tokenOf('drivers:read', { ttlS: -60 })}`, 401, 'token_expired', /error="invalid_token"/],
    [
      `Bearer ${await tokenOf('drivers:read', { audience: 'whereabouts-ingest' })}`,
      ...([401, 'token_invalid', /error="invalid_token"/] as const),
    ],
    [
      `Bearer ${await tokenOf('location:write')}`,
      ...([403, 'token_scope', /error="insufficient_scope", scope="drivers:read"/] as const),
    ],
  ];
  for (const path of [`${NEARBY}?${AT}`, '/v1/partitions', '/v1/drivers/d1', '/v1/drivers?ids=a']) {
    for (const [authorization, status, code, challenge] of cases) {
      const reply = await running.ask(path, { headers: { authorization } });
      assert.deepEqual([reply.status, reply.body.code], [status, code]);
      assert.match(reply.headers.get('www-authenticate') ?? '', challenge);
    }
  }
  const inUrl = await running.ask(`${NEARBY}?${AT}&access_token=abc`);
  assert.deepEqual(refused(inUrl), [['access_token', 'unknown']]);
});

test('requests: paths and methods that are not there', async () => {
  for (const path of [
    '/nothing',
    '/v1/drivers/',
    '/v1/drivers/a/b',
    '/v1/%zz',
    '/v2/drivers',
    '/constructor',
  ]) {
    const reply = await running.ask(path);
    assert.deepEqual([reply.status, reply.body.code], [404, 'not_found'], path);
  }
  const cases: [method: string, path: string, allow: string][] = [
    ['POST', NEARBY, 'GET, HEAD'],
    ['GET', BATCH, 'POST'],
    ['GET', '/v1/drivers/nearby%3Abatch', 'POST'],
    ['DELETE', '/v1/drivers/d1', 'GET, HEAD'],
    ['PUT', '/v1/partitions', 'GET, HEAD'],
    ['POST', '/openapi.json', 'GET, HEAD'],
    ['OPTIONS', '/', 'GET, HEAD'],
  ];
  for (const [method, path, allow] of cases) {
    const reply = await fetch(running.url + path, { method });
    assert.equal(reply.status, 405, `${method} ${path}`);
    assert.equal(reply.headers.get('allow'), allow);
    assert.equal(((await reply.json()) as { code: string }).code, 'method_not_allowed');
  }
});

test('requests: HEAD says what GET would, without a body', async () => {
  const reply = await running.ask('/v1/partitions', { method: 'HEAD' });
  assert.equal(reply.status, 200);
  assert.equal(reply.body, '');
  assert.ok(Number(reply.headers.get('content-length')) > 1000);
  // The connection is still usable.
  assert.equal((await running.ask('/v1/partitions')).status, 200);
});

test('requests: the caller chooses the type, or is told which there are', async () => {
  const types: [accept: string, type: string | null][] = [
    ['*/*', 'application/json'],
    ['application/geo+json', 'application/geo+json'],
    ['application/geo+json;q=0.5, application/json', 'application/json'],
    ['application/json;q=0.1, application/*', 'application/geo+json'],
    ['text/html, */*;q=0.1', 'application/json'],
    ['text/html', null],
    ['application/json;q=0', null],
  ];
  for (const [accept, type] of types) {
    const reply = await running.ask(`${NEARBY}?${AT}`, { headers: { accept } });
    assert.equal(reply.status, type ? 200 : 406, accept);
    if (type) assert.equal(reply.headers.get('content-type'), type);
    else assert.match(reply.body.detail, /application\/json, application\/geo\+json/);
  }
});

test('requests: the request id is taken where it is fit, else made, and always returned', async () => {
  for (const path of [`${NEARBY}?${AT}`, '/nothing', '/openapi.json', '/']) {
    const reply = await running.ask(path, { headers: { 'x-request-id': 'ride-4711:a.b' } });
    assert.equal(reply.headers.get('x-request-id'), 'ride-4711:a.b');
    if (reply.status === 404) assert.equal(reply.body.request_id, 'ride-4711:a.b');
  }
  for (const unfit of ['a b', 'x'.repeat(129), '<script>']) {
    const reply = await running.ask('/nothing', { headers: { 'x-request-id': unfit } });
    assert.match(reply.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/);
    assert.equal(reply.body.request_id, reply.headers.get('x-request-id'));
  }
});

test('requests: a caller who leaves in the middle harms nobody', async () => {
  const requests = [
    `GET ${NEARBY}?${AT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${running.token}\r\n\r\n`,
    `POST ${BATCH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${running.token}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"po`,
  ];
  await Promise.all(
    Array.from({ length: 60 }, (_, i) => {
      return new Promise<void>((resolve) => {
        const socket = connect(running.service.port, '127.0.0.1', () => {
          socket.write(requests[i % 2] as string, () => socket.destroy());
        });
        socket.on('close', () => resolve());
      });
    }),
  );
  assert.equal((await running.ask(`${NEARBY}?${AT}`)).status, 200);
  assert.deepEqual(
    logged.filter((line) => line.includes('"error"')),
    [],
  );
  await eventually(async () =>
    assert.match(await running.metrics.registry.metrics(), /questions_in_flight 0\n/),
  );
});
