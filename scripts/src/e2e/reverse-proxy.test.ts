// Drivers and dispatch through nginx, with exactly the configuration that docs/reverse-proxy.md shows.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { NearbyReader } from '@whereabouts/infra/local/nearby-reader';
import { freePorts } from '@whereabouts/infra/local/ports';
import { type ServerProcess, startServer, waitFor } from '@whereabouts/infra/local/server-process';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { readerHeaders } from '../drill/regions.js';
import { root } from '../home.js';
import { Dispatcher } from '../outside/dispatcher.js';
import { OwnStack } from '../stack/own-stack.js';
import { readSecret, type Stack } from '../stack-file.js';
import { FleetSockets } from '../testing/fleet-sockets.js';
import { mapOf } from '../testing/places.js';

const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx', '/usr/local/sbin/nginx'].find(existsSync);
const skip = NGINX
  ? false
  : 'no nginx on this machine: THE CONFIGURATION IN docs/reverse-proxy.md IS NOT TESTED';
if (skip) console.warn(skip);

const LISBON = { lat: 38.7223, lon: -9.1393 };
const DEADLINE_MS = 20_000;
const SILENCE_MS = 7_000;

let stack: OwnStack;
let nginx: ServerProcess;
let dir: string;
let port: number;
/** The stack, as it looks from the other side of the proxy. */
let proxied: Stack;

before(async () => {
  if (skip) return;
  stack = await OwnStack.start(mapOf([LISBON], 0.3, seededRandom(11)), { FRESHNESS_MS: '120000' });
  [port] = (await freePorts(1)) as [number];
  dir = mkdtempSync(join(tmpdir(), 'whereabouts-nginx-'));
  const file = join(dir, 'nginx.conf');
  writeFileSync(file, configuration(stack.now));
  // Its workers have to reach this test's folder.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const options = `daemon off; pid ${join(dir, 'pid')}; ${user}`;
  const args = ['-p', dir, '-e', join(dir, 'error.log'), '-c', file, '-g', options];
  nginx = await startServer({
    ...{ command: NGINX as string, args, logFile: join(dir, 'log') },
    stopSignal: 'SIGTERM',
  });
  await waitFor('nginx answers', DEADLINE_MS, async () => {
    if (nginx.hasExited()) throw new Error(readFileSync(join(dir, 'error.log'), 'utf8'));
    return (await fetch(`http://127.0.0.1:${port}/openapi.json`)).ok || undefined;
  });
  const { ingest, query } = stack.now;
  proxied = {
    ...stack.now,
    ingest: { ...ingest, url: `ws://127.0.0.1:${port}` },
    query: { ...query, url: `http://127.0.0.1:${port}` },
  };
});
after(async () => {
  await nginx?.stop(5_000);
  await stack?.stop();
  if (dir) rmSync(dir, { recursive: true, force: true });
});

/** The page's configuration, with this test's ports and folder. */
function configuration({ ingest, query }: Stack): string {
  const page = readFileSync(join(root, 'docs', 'reverse-proxy.md'), 'utf8');
  const text = /```nginx\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  const ports: [string, string][] = [
    ['listen 8000;', `listen 127.0.0.1:${port};`],
    ['server 127.0.0.1:8080;', `server ${new URL(ingest.url).host};`],
    ['server 127.0.0.1:8081;', `server ${new URL(query.url).host};`],
    ['http {\n', `http {\n  access_log off;\n${temporaryFolders()}`],
  ];
  return ports.reduce((whole, [from, to]) => {
    assert.ok(whole.includes(from), from);
    return whole.replace(from, to);
  }, text);
}

/** Debian's are for its own user. */
function temporaryFolders(): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return kinds.map((kind) => `  ${kind}_temp_path ${join(dir, kind)};\n`).join('');
}

async function longToken(audience: 'ingest' | 'query', scope: string): Promise<string> {
  const { issuer, audience: audiences } = stack.now.auth;
  const claims = { secret: readSecret(stack.now), issuer, audience: audiences[audience], ttlS: 600 };
  const padding = 'x'.repeat(5_750);
  return await signDevelopmentToken({ ...claims, subject: 'long', scope: `${scope} ${padding}` });
}

/** The first bytes of the answer to a request sent in these pieces. */
function answered(...pieces: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', async () => {
      for (const piece of pieces) {
        socket.write(piece);
        await new Promise((next) => setTimeout(next, 50));
      }
    });
    socket.once('data', (data) => {
      resolve(String(data));
      socket.destroy();
    });
    socket.once('error', reject);
    socket.setTimeout(DEADLINE_MS, () => reject(new Error('no answer')));
  });
}

function handshake(headers: Record<string, string>, version = 'HTTP/1.1'): string {
  const all = {
    ...{ Host: 'a', Upgrade: 'websocket', Connection: 'Upgrade' },
    ...{ 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' },
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET /v1/stream ${version}\r\n${lines.join('')}\r\n`;
}

test('proxy: drivers report through it, and dispatch finds them', { skip }, async () => {
  const fleet = new FleetSockets(proxied);
  try {
    const driver = await fleet.connectOne('through-nginx');
    driver.send({ recorded_at_ms: Date.now(), ...LISBON });
    const dispatcher = await Dispatcher.of(proxied);
    await fleet.untilVisible(dispatcher);
    const { drivers } = await dispatcher.nearby({ ...LISBON, radius_m: 500, limit: 10 });
    assert.deepEqual(
      drivers.map(({ driver_id }) => driver_id),
      ['through-nginx'],
    );
    const [answer] = await dispatcher.batch([
      { ...LISBON, radius_m: 500, limit: 10, status: 'available', services: 0, exclude: [] },
    ]);
    assert.equal(answer?.drivers.length, 1);
  } finally {
    await fleet.close();
  }
});

test('proxy: a stream comes event by event, and stands through silence', { skip }, async () => {
  const fleet = new FleetSockets(proxied);
  const place = { lat: LISBON.lat + 0.1, lon: LISBON.lon };
  const query = `lat=${place.lat}&lon=${place.lon}&radius_m=2000&status=busy`;
  const url = () => `${proxied.query.url}/v1/drivers/nearby/stream?${query}`;
  const { authorization = '' } = await readerHeaders(stack.now);
  const reader = new NearbyReader({ url, authorization });
  try {
    await waitFor('the snapshot', DEADLINE_MS, () => reader.view !== null || undefined);
    // Longer than nginx waits for an answer.
    await new Promise((done) => setTimeout(done, SILENCE_MS));
    const driver = await fleet.connectOne('followed-through-nginx');
    for (const lat of [place.lat, place.lat + 0.001]) {
      driver.send({ recorded_at_ms: Date.now(), lat, lon: place.lon, status: 'busy' });
      await waitFor('the change', DEADLINE_MS, () => {
        const told = reader.drivers.get('followed-through-nginx')?.lat ?? 0;
        return Math.abs(told - lat) < 1e-6 || undefined;
      });
    }
    assert.deepEqual([reader.snapshots, reader.changes, reader.misfits], [1, 2, []]);
  } finally {
    await reader.close();
    await fleet.close();
  }
});

test('proxy: a handshake with a long token, in the header or as a subprotocol, in any pieces', {
  skip,
}, async () => {
  const token = await longToken('ingest', 'location:write');
  assert.ok(token.length > 7_900 && token.length < 8_192);
  const inHeader = handshake({ Authorization: `Bearer ${token}` });
  const asSubprotocol = handshake({ 'Sec-WebSocket-Protocol': `whereabouts.v1.json, bearer.${token}` });
  for (const request of [inHeader, asSubprotocol]) {
    assert.match(await answered(request), /^HTTP\/1\.1 101 /);
    // Within the version, which uWebSockets.js alone would read as another one.
    const at = 'GET /v1/stream HT'.length;
    assert.match(await answered(request.slice(0, at), request.slice(at)), /^HTTP\/1\.1 101 /);
  }
});

test('proxy: questions with long tokens and many ids, over HTTP/1.0 and 1.1', { skip }, async () => {
  const token = await longToken('query', 'drivers:read');
  const ids = Array.from(
    { length: 100 },
    (_, i) => `${String(i).padStart(8, '0')}-aaaa-bbbb-cccc-dddddddddddd`,
  );
  for (const query of [ids.join(','), ids.join('&ids=')]) {
    const path = `/v1/drivers?ids=${query}`;
    for (const version of ['HTTP/1.1', 'HTTP/1.0']) {
      const headers = `Host: a\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\n\r\n`;
      assert.match(await answered(`GET ${path} ${version}\r\n${headers}`), /^HTTP\/1\.1 200 /);
    }
  }
});

test('proxy: HEAD and 304 leave the connections to query-api of use; a large body is refused by it', {
  skip,
}, async () => {
  const url = `http://127.0.0.1:${port}`;
  const { headers } = await fetch(url);
  for (let i = 0; i < 20; i++) {
    assert.equal((await fetch(`${url}/main.js`, { method: 'HEAD' })).status, 200);
    const again = await fetch(url, { headers: { 'if-none-match': headers.get('etag') ?? '' } });
    assert.equal(again.status, 304);
  }
  const large = await fetch(`${url}/v1/drivers/nearby:batch`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${await longToken('query', 'drivers:read')}`,
    },
    body: ' '.repeat(600_000),
  });
  assert.equal(large.status, 413);
  assert.equal(((await large.json()) as { code: string }).code, 'body_too_large');
});
