import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { WebSocket } from 'ws';
import { findExclusivePort, Gateway, ListenError } from './gateway.js';
import { EdgeUnderTest, tokenFor, until } from './testing/edge-under-test.js';
import { refusedUpgrade, TestDriver } from './testing/test-driver.js';

let under: EdgeUnderTest;
let token: string;

before(async () => {
  under = await EdgeUnderTest.start({ maxConnections: 3 });
  token = await tokenFor('driver-1');
});
after(() => under.stop());
beforeEach(() => {
  under.unready = null;
  under.verifierHangs = false;
});

const partsOn = (port: number) => ({
  edge: under.edge,
  connections: under.connections,
  host: '127.0.0.1',
  port,
  unready: () => null,
  handshakeLimits: { inAll: 10, ofAddress: 5 },
});

test('the chosen subprotocol comes back, and none where none was offered', async () => {
  const cases: [string[], string][] = [
    [[], ''],
    [['whereabouts.v1.json'], 'whereabouts.v1.json'],
    [['whereabouts.v1.bin'], 'whereabouts.v1.bin'],
    [['whereabouts.v1.json', `bearer.${token}`], 'whereabouts.v1.json'],
  ];
  for (const [subprotocols, expected] of cases) {
    const headers = subprotocols.length === 2 ? {} : { authorization: `Bearer ${token}` };
    const ws = new WebSocket(under.url, subprotocols, { headers });
    await new Promise((resolve, reject) => {
      ws.once('open', resolve);
      ws.once('error', reject);
    });
    assert.equal(ws.protocol, expected);
    ws.terminate();
  }
});

test('a token of 8,000 characters, in the header and as a subprotocol', async () => {
  const long = await tokenFor('driver-1', { scope: `location:write ${'x'.repeat(5_750)}` });
  assert.ok(long.length > 7_900 && long.length < 8_192, `${long.length} characters`);
  const cases: [string[], Record<string, string>][] = [
    [['whereabouts.v1.json'], { authorization: `Bearer ${long}` }],
    [['whereabouts.v1.bin', `bearer.${long}`], {}],
  ];
  for (const [subprotocols, headers] of cases) {
    const ws = new WebSocket(under.url, subprotocols, { headers });
    await new Promise((resolve, reject) => {
      ws.once('open', resolve);
      ws.once('error', reject);
    });
    assert.equal(ws.protocol, subprotocols[0]);
    ws.terminate();
  }
});

test('tokens that are missing, wrong, expired or for readers', async () => {
  const wrong = [
    undefined,
    'not.a.token',
    `${token}x`,
    await tokenFor('driver-1', { ttlS: -10 }),
    await tokenFor('driver-1', { audience: 'whereabouts-query' }),
    await tokenFor('not a driver'),
  ];
  for (const bad of wrong) {
    const { status, headers, body } = await refusedUpgrade(
      under.url,
      bad === undefined ? {} : { token: bad },
    );
    assert.equal(status, 401, String(bad));
    assert.match(String(headers['www-authenticate']), /^Bearer/);
    assert.equal(headers['content-type'], 'application/problem+json');
    assert.equal(body.status, 401);
  }
  const reader = await refusedUpgrade(under.url, {
    token: await tokenFor('driver-1', { scope: 'drivers:read' }),
  });
  assert.equal(reader.status, 403);
});

test('a query that is not ack=each or ack=sparse, and a subprotocol that is not ours', async () => {
  for (const query of ['?ack=never', `?token=${token}`, '?ack=each&x=1']) {
    assert.equal((await refusedUpgrade(under.url + query, { token })).status, 400, query);
  }
  assert.equal((await refusedUpgrade(under.url, { token, subprotocols: ['chat'] })).status, 400);
});

test('other paths, and requests without an upgrade', async () => {
  const base = under.url.replace('ws:', 'http:');
  for (const path of ['/', '/v1', '/v1/stream/', '/v1/stream/x', '/v2/stream', '/metrics', '/livez']) {
    assert.equal((await fetch(base.replace('/v1/stream', path))).status, 404, path);
  }
  assert.equal((await refusedUpgrade(under.url.replace('stream', 'streams'), { token })).status, 404);
  assert.equal((await fetch(base)).status, 426);
  assert.equal((await fetch(base, { method: 'POST', body: 'x'.repeat(100_000) })).status, 426);
});

test('not ready: 503 with Retry-After', async () => {
  under.unready = 'no master is reachable';
  const { status, headers, body } = await refusedUpgrade(under.url, { token });
  assert.equal(status, 503);
  assert.ok(Number(headers['retry-after']) > 0);
  assert.equal(body.detail, 'no master is reachable');
});

test('too many connections: 503', async () => {
  await until('the connections of other tests are gone', () => under.connections.size === 0);
  const drivers = await Promise.all(['a', 'b', 'c'].map((id) => TestDriver.connect(under.url, id)));
  assert.equal((await refusedUpgrade(under.url, { token })).status, 503);
  drivers[0]?.ws.terminate();
  await until('one has gone', () => under.connections.size === 2);
  const another = await TestDriver.connect(under.url, 'd');
  for (const driver of [...drivers, another]) driver.ws.terminate();
});

test('a verifier that never answers: 503 within two seconds and a little', async () => {
  await until('the connections of other tests are gone', () => under.connections.size === 0);
  under.verifierHangs = true;
  const startedAt = performance.now();
  const { status, body } = await refusedUpgrade(under.url, { token });
  assert.equal(status, 503);
  assert.equal(body.code, 'token_timeout');
  assert.ok(performance.now() - startedAt > 1900);
});

test('clients that leave while their token is verified harm nobody', async () => {
  under.verifierHangs = true;
  const port = under.gateway.port;
  for (let i = 0; i < 3; i++) {
    const socket = connect(port, '127.0.0.1');
    socket.write(
      `GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
        `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    );
    await until('it counts as a connection', () => under.gateway.admitting === i + 1);
    socket.destroy();
  }
  await until('the deadline has passed', () => under.gateway.admitting === 0);
  under.verifierHangs = false;
  (await TestDriver.connect(under.url, 'driver-1')).ws.terminate();
});

test('a port that is taken is refused, to those who share as to those who do not', async () => {
  const { port } = under.gateway;
  await assert.rejects(findExclusivePort('127.0.0.1', port), ListenError);
  const parts = partsOn(port);
  await assert.rejects(Gateway.listen({ ...parts, sharesPort: false }), ListenError);
});

test('several share a port, and then nobody can have it alone', async () => {
  const port = await findExclusivePort('127.0.0.1', 0);
  const parts = partsOn(port);
  const first = await Gateway.listen({ ...parts, sharesPort: true });
  const second = await Gateway.listen({ ...parts, sharesPort: true });
  await assert.rejects(findExclusivePort('127.0.0.1', port), ListenError);
  first.close();
  second.close();
  assert.equal(await findExclusivePort('127.0.0.1', port), port);
});

test('sockets that ask for nothing: an address has its share, the others are served', async () => {
  const { port } = under.gateway;
  await until('the sockets of other tests are gone', () => under.gateway.handshakes === 0);
  const idle = Array.from({ length: 30 }, () =>
    connect({ port, host: '127.0.0.1', localAddress: '127.0.0.7' }),
  );
  for (const socket of idle) socket.on('error', () => {});
  await until('20 of them stay', () => under.gateway.handshakes === 20);
  let answer = '';
  const late = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.7' });
  late.on('data', (chunk) => {
    answer += chunk.toString();
  });
  await until('one more is told why not', () => answer.includes('\r\n\r\n'));
  assert.match(answer, /^HTTP\/1.1 503 [\s\S]*retry-after: \d/i);
  // Somebody else is served as ever, also more often than there is room for the silent.
  for (let i = 0; i < 25; i++) {
    const driver = await TestDriver.connect(under.url, `driver-${i}`);
    driver.ws.terminate();
    await until('it has gone', () => under.connections.size === 0);
  }
  for (const socket of idle) socket.destroy();
  await until('the sockets are gone', () => under.gateway.handshakes === 0);
});

test('who comes back at once, again and again, meets a pause that grows, and is let in after it', async () => {
  await until('the connections of other tests are gone', () => under.connections.size === 0);
  const own = await tokenFor('hasty');
  for (let i = 0; i < 20; i++) {
    const driver = await TestDriver.connect(under.url, 'hasty', { token: own });
    driver.ws.terminate();
  }
  const pauses: number[] = [];
  while (pauses.length < 4) {
    // Let in once in three seconds, it comes back at once each time.
    const ws = new WebSocket(under.url, { headers: { authorization: `Bearer ${own}` } });
    const response = await new Promise<IncomingMessage | null>((resolve) => {
      ws.once('open', () => resolve(null));
      ws.once('unexpected-response', (_request, refusal) => resolve(refusal));
    });
    ws.on('error', () => {});
    ws.terminate();
    if (response === null) continue;
    assert.equal(response.statusCode, 429);
    pauses.push(Number(response.headers['retry-after']));
    // Asking during a pause makes it no longer.
    const { headers, body } = await refusedUpgrade(under.url, { token: own });
    assert.equal(body.code, 'too_fast');
    assert.equal(Number(headers['retry-after']), pauses.at(-1));
    under.pass((pauses.at(-1) as number) * 1000);
  }
  assert.deepEqual(pauses, [1, 2, 4, 8]);
  await TestDriver.connect(under.url, 'another').then((driver) => driver.ws.terminate());
  under.pass(10_000);
  const back = await TestDriver.connect(under.url, 'hasty', { token: own });
  back.ws.terminate();
});

test('a pause is met before the token is verified, and nobody else can cause it', async () => {
  await until('the connections of other tests are gone', () => under.connections.size === 0);
  const forged = await tokenFor('victim', { audience: 'another' });
  for (let i = 0; i < 40; i++) assert.equal((await refusedUpgrade(under.url, { token: forged })).status, 401);
  const victim = await TestDriver.connect(under.url, 'victim');
  victim.ws.terminate();
});
