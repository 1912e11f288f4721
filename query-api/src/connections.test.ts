// Behaviour on the wire: connections that stay usable, requests in pieces, old versions, large headers, and the replies
// to malformed requests.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import { head, RawConnection } from './fixtures/raw-http.js';
import { eventually, type Running, startRunning, tokenOf, whenComplete } from './fixtures/running-service.js';

const NEARBY = '/v1/drivers/nearby?lat=52.2&lon=21';
const BATCH = '/v1/drivers/nearby:batch';
/** As `fetch` sends it with If-None-Match. */
const NO_CACHE = { 'Cache-Control': 'no-cache', Pragma: 'no-cache' };

let running: Running;

before(async () => {
  running = await startRunning(evenPartitionMap(16), {
    CORS_ORIGINS: 'https://map.example,http://b.example:8080',
  });
  await whenComplete(running);
});
after(() => running.stop());

async function connection(t: { after(work: () => void): void }): Promise<RawConnection> {
  const raw = await RawConnection.to(running.service.port);
  t.after(() => raw.close());
  return raw;
}

test('connections: after HEAD and after 304 the next answer on the same connection is the next one', async (t) => {
  const raw = await connection(t);
  for (const path of [
    '/v1/partitions',
    NEARBY,
    '/openapi.json',
    '/',
    '/main.js',
    '/docs',
    '/docs/static/index.css',
  ]) {
    await raw.send(head(running, `GET ${path} HTTP/1.1`));
    const whole = await raw.answer();
    assert.equal(whole.status, 200, path);
    await raw.send(head(running, `HEAD ${path} HTTP/1.1`));
    const headed = await raw.answer(true);
    assert.equal(headed.status, 200, path);
    // Ages sometimes have more digits.
    const lengths = [headed, whole].map(({ headers }) => Number(headers['content-length']));
    const spread = path.startsWith('/v1/') ? 64 : 0;
    assert.ok(Math.abs((lengths[0] as number) - (lengths[1] as number)) <= spread, `${path}: ${lengths}`);
    const { etag } = whole.headers;
    if (etag === undefined) continue;
    for (const method of ['GET', 'HEAD']) {
      await raw.send(head(running, `${method} ${path} HTTP/1.1`, { 'If-None-Match': etag, ...NO_CACHE }));
      const unchanged = await raw.answer(true);
      assert.deepEqual([unchanged.status, unchanged.headers['content-length']], [304, undefined], path);
    }
  }
  await raw.send(head(running, `HEAD /nothing HTTP/1.1`));
  assert.equal((await raw.answer(true)).status, 404);
  await raw.send(head(running, `DELETE /v1/partitions HTTP/1.1`), head(running, `GET ${NEARBY} HTTP/1.1`));
  assert.equal((await raw.answer()).status, 405);
  assert.equal((await raw.answer()).status, 200);
  assert.deepEqual([raw.rest, raw.isOpen], ['', true]);
});

test('connections: a request may arrive in any pieces', async (t) => {
  const raw = await connection(t);
  const request = head(running, `GET ${NEARBY} HTTP/1.1`);
  for (const at of [2, 20, 30, request.length - 2]) {
    await raw.send(request.slice(0, at), request.slice(at));
    assert.equal((await raw.answer()).status, 200, `cut at ${at}`);
  }
  await raw.send(...(request.match(/[\s\S]{1,40}/g) as string[]));
  assert.equal((await raw.answer()).status, 200);
});

test('connections: HTTP/1.0, as proxies speak it that are not told otherwise', async (t) => {
  const raw = await connection(t);
  await raw.send(head(running, `GET ${NEARBY} HTTP/1.0`, { Connection: 'close' }));
  assert.equal((await raw.answer()).status, 200);
  await raw.closed();
  const bare = await connection(t);
  await bare.send(`GET ${NEARBY} HTTP/1.0\r\nAuthorization: Bearer ${running.token}\r\n\r\n`);
  assert.equal((await bare.answer()).status, 200);
  const body = JSON.stringify({ points: [{ lat: 1, lon: 1 }] });
  const batch = await connection(t);
  const headers = { 'Content-Type': 'application/json', 'Content-Length': String(body.length) };
  await batch.send(head(running, `POST ${BATCH} HTTP/1.0`, headers) + body);
  assert.equal((await batch.answer()).status, 200);
});

test('connections: a hundred ids and a token of 8,000 characters fit together', async () => {
  const uuids = Array.from(
    { length: 100 },
    (_, i) => `${String(i).padStart(8, '0')}-aaaa-bbbb-cccc-dddddddddddd`,
  );
  const longest = Array.from({ length: 100 }, (_, i) => String(i).padStart(64, 'x'));
  const padding = 'x'.repeat(5_870);
  const token = await tokenOf(`drivers:read ${padding}`);
  assert.ok(token.length > 7_900 && token.length < 8_192, `${token.length} characters`);
  const headers = { authorization: `Bearer ${token}` };
  for (const ids of [uuids, longest]) {
    const asCommas = await running.ask(`/v1/drivers?ids=${ids.join(',')}`, { headers });
    const repeated = await running.ask(`/v1/drivers?${ids.map((id) => `ids=${id}`).join('&')}`, { headers });
    const mixed = await running.ask(`/v1/drivers?ids=${ids[0]}&ids=${ids.slice(1).join('%2C')}`, { headers });
    for (const { status, body } of [asCommas, repeated, mixed]) {
      assert.equal(status, 200);
      assert.deepEqual(body.absent, ids);
    }
  }
  const excluded = await running.ask(`${NEARBY}&exclude=a&exclude=b,c&exclude=`, { headers });
  assert.deepEqual(excluded.body.query.exclude, ['a', 'b', 'c']);
  const tooMany = await running.ask(
    `/v1/drivers?${[...uuids, 'one-more'].map((id) => `ids=${id}`).join('&')}`,
  );
  assert.deepEqual([tooMany.status, tooMany.body.errors[0].code], [400, 'bad_length']);
  const box = await running.ask('/v1/drivers/live?bbox=0&bbox=0&bbox=1&bbox=1');
  assert.equal(box.status, 200);
});

test('connections: what is no request is refused as a problem, with an id, and counted', async (t) => {
  const cases: [request: string, status: number, code: string][] = [
    ['hello\r\n\r\n', 400, 'bad_request'],
    [`GET ${NEARBY} HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n`, 400, 'bad_request'],
    [head(running, `GET ${NEARBY} HTTP/1.9`), 505, 'version_not_supported'],
    [head(running, `GET ${NEARBY} HTTP/1.1`, { Cookie: 'x'.repeat(33_000) }), 431, 'headers_too_large'],
    [head(running, `GET /v1/drivers/${'x'.repeat(40_000)} HTTP/1.1`), 431, 'headers_too_large'],
    [head(running, 'CONNECT a:1 HTTP/1.1'), 405, 'method_not_allowed'],
    [head(running, 'PROPFIND /v1/partitions HTTP/1.1'), 405, 'method_not_allowed'],
    [head(running, 'OPTIONS * HTTP/1.1'), 404, 'not_found'],
    [head(running, 'GET http://a/nothing HTTP/1.1'), 404, 'not_found'],
    [head(running, `POST ${BATCH} HTTP/1.1`), 415, 'unsupported_media_type'],
  ];
  for (const [request, status, code] of cases) {
    const raw = await connection(t);
    await raw.send(request);
    const { headers, body, ...answer } = await raw.answer();
    const problem = JSON.parse(body);
    assert.deepEqual(
      [answer.status, problem.status, problem.code],
      [status, status, code],
      request.slice(0, 40),
    );
    assert.equal(headers['content-type'], 'application/problem+json');
    assert.match(problem.request_id, /^[0-9a-f-]{36}$/);
    assert.equal(headers['x-request-id'], problem.request_id);
  }
  const metrics = await running.metrics.registry.metrics();
  assert.match(metrics, /bad_requests_total\{status="431"\} 2/);
  assert.match(metrics, /seconds_count\{route="\/v1\/partitions",status="4xx"\} 2/);
});

test('connections: a refusal of a large body reaches whoever is still sending it, and no byte of it is asked for', async (t) => {
  const large = { 'Content-Type': 'application/json', 'Content-Length': '8000000' };
  const raw = await connection(t);
  await raw.send(head(running, `POST ${BATCH} HTTP/1.1`, large) + ' '.repeat(8_000_000));
  const answer = await raw.answer();
  assert.deepEqual([answer.status, answer.headers.connection], [413, 'close']);
  for (const [headers, status] of [
    [large, 413],
    [{ ...large, 'Content-Length': '10', Authorization: 'Bearer x' }, 401],
    [{ ...large, 'Content-Length': '10', 'Content-Type': 'text/csv' }, 415],
  ] as const) {
    const patient = await connection(t);
    await patient.send(head(running, `POST ${BATCH} HTTP/1.1`, { ...headers, Expect: '100-continue' }));
    assert.equal((await patient.answer()).status, status);
  }
});

test('connections: a refused body of ordinary size leaves the connection of use', async (t) => {
  const raw = await connection(t);
  const headers = { 'Content-Type': 'application/json', 'Content-Length': '2000', Authorization: 'Bearer x' };
  await raw.send(head(running, `POST ${BATCH} HTTP/1.1`, headers), ' '.repeat(2_000));
  assert.equal((await raw.answer()).status, 401);
  const broken = { 'Content-Type': 'application/json', 'Content-Length': '3' };
  await raw.send(`${head(running, `POST ${BATCH} HTTP/1.1`, broken)}{"p`);
  assert.equal((await raw.answer()).status, 400);
  await raw.send(head(running, `GET ${NEARBY} HTTP/1.1`));
  assert.equal((await raw.answer()).status, 200);
});

test('connections: only pages of the named origins may ask', async () => {
  const ask = (origin: string, init: RequestInit = {}) =>
    fetch(`${running.url}${NEARBY}`, { ...init, headers: { origin, ...(init.headers as object) } });
  const preflight = await ask('https://map.example', {
    method: 'OPTIONS',
    headers: { 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization' },
  });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers.get('access-control-allow-origin'), 'https://map.example');
  assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /Authorization/);
  const refused = await ask('http://b.example:8080');
  assert.equal(refused.status, 401);
  assert.equal(refused.headers.get('access-control-allow-origin'), 'http://b.example:8080');
  const other = await ask('https://evil.example');
  assert.equal(other.headers.get('access-control-allow-origin'), null);
});

test('connections: answers of some size are compressed for those who can read it', async () => {
  const encoding = { 'accept-encoding': 'gzip' };
  const small = await running.ask(NEARBY, { headers: encoding });
  assert.equal(small.headers.get('content-encoding'), null);
  const points = Array.from({ length: 100 }, () => ({ lat: 1, lon: 1, exclude: ['x'.repeat(64)] }));
  const large = await running.post(BATCH, { points }, encoding);
  assert.deepEqual([large.headers.get('content-encoding'), large.body.answers.length], ['gzip', 100]);
  assert.match(large.headers.get('vary') ?? '', /accept-encoding/i);
  const plain = await running.post(BATCH, { points }, { 'accept-encoding': 'identity' });
  assert.deepEqual([plain.headers.get('content-encoding'), plain.body.answers.length], [null, 100]);
});

test('connections: the files of the page and of the documentation, and nothing besides', async () => {
  for (const [path, type] of [
    ['/', 'text/html'],
    ['/main.js', 'application/javascript'],
    ['/map.css', 'text/css'],
    ['/icon.svg', 'image/svg+xml'],
    ['/docs', 'text/html'],
    ['/docs/static/swagger-ui-bundle.js', 'application/javascript'],
  ] as const) {
    const response = await fetch(running.url + path);
    assert.equal(response.status, 200, path);
    assert.match(response.headers.get('content-type') ?? '', new RegExp(`^${type.replace('+', '\\+')}`));
    const policy = response.headers.get('content-security-policy') ?? '';
    assert.match(policy, /default-src 'self'/);
    // Nothing from another origin, nothing inline, and no protocol that we do not speak.
    assert.doesNotMatch(policy, /https?:|unsafe|upgrade-insecure-requests/);
    if (type !== 'text/html') continue;
    assert.equal(response.headers.get('strict-transport-security'), null);
    const html = await response.text();
    assert.doesNotMatch(html, /(src|href)="https?:|<style|<script>| style=| on[a-z]+=/);
    for (const [, file] of html.matchAll(/(?:src|href)="([^"]+)"/g)) {
      const part = await fetch(new URL(file as string, `${running.url}${path}`));
      assert.equal(part.status, 200, file);
      await part.arrayBuffer();
    }
  }
  for (const path of [
    '/../package.json',
    '/%2e%2e/package.json',
    '/docs/static/../../package.json',
    '/.git',
  ]) {
    const raw = await RawConnection.to(running.service.port);
    await raw.send(head(running, `GET ${path} HTTP/1.1`));
    assert.match(String((await raw.answer()).status), /^40[34]$/, path);
    raw.close();
  }
});

test('connections: a caller who leaves while the refusal is held back harms nobody', async () => {
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      const raw = await RawConnection.to(running.service.port);
      await raw.send(`GET ${NEARBY} HTTP/1.1\r\nHost: a\r\n\r\n`);
      raw.close();
    }),
  );
  await eventually(async () => {
    assert.match(await running.metrics.registry.metrics(), /query_api_sockets [0-9]\n/);
  });
  assert.equal((await running.ask(NEARBY)).status, 200);
});
