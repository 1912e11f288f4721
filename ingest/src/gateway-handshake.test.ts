// The answers to a handshake, as PROTOCOL.md lists them for people who write a client.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { EdgeUnderTest, tokenFor } from './testing/edge-under-test.js';
import { refusedUpgrade, TestDriver } from './testing/test-driver.js';

const page = readFileSync(new URL('../../PROTOCOL.md', import.meta.url), 'utf8');
/** Each status of the page, with the codes of its rows. */
const rows = [...page.matchAll(/^\| (\d{3}) +\| ([^|]*?) *\|/gm)].map(([, status, codes]) => ({
  status: Number(status),
  codes: [...(codes ?? '').matchAll(/`(\w+)`/g)].map(([, code]) => code),
}));

let under: EdgeUnderTest;
let token: string;
before(async () => {
  under = await EdgeUnderTest.start();
  token = await tokenFor('driver-1');
});
after(() => under.stop());

test('every status and code that is answered has its row', async () => {
  const { url } = under;
  const cases: [expected: string, url: string, options: Parameters<typeof refusedUpgrade>[1]][] = [
    ['400 bad_request', `${url}?ack=never`, { token }],
    ['400 bad_request', url, { token, subprotocols: ['chat'] }],
    ['401 token_missing', url, {}],
    ['401 token_invalid', url, { token: 'x'.repeat(3000) }],
    ['401 token_expired', url, { token: await tokenFor('driver-1', { ttlS: -10 }) }],
    ['403 token_scope', url, { token: await tokenFor('driver-1', { scope: 'drivers:read' }) }],
    ['404 not_found', url.replace('stream', 'streams'), { token }],
  ];
  for (const [expected, address, options] of cases) {
    const { status, headers, body } = await refusedUpgrade(address, options);
    assert.equal(`${status} ${body.code}`, expected);
    assert.equal(headers['content-type'], 'application/problem+json');
    assertRow(status, body.code);
  }
  under.unready = 'no master is reachable';
  const { status, headers, body } = await refusedUpgrade(url, { token });
  under.unready = null;
  assert.deepEqual([status, body.code, headers['retry-after']], [503, 'not_ready', '2']);
  assertRow(status, body.code);
  for (const code of ['draining', 'full', 'keys_unavailable', 'key_unknown', 'token_timeout', 'handshakes']) {
    assertRow(503, code);
  }
  for (let i = 0; i < 20; i++) (await TestDriver.connect(url, 'driver-1', { token })).ws.terminate();
  const hasty = await refusedUpgrade(url, { token });
  assert.deepEqual([hasty.status, hasty.body.code, hasty.headers['retry-after']], [429, 'too_fast', '1']);
  assertRow(hasty.status, hasty.body.code);
  const plain = await fetch(url.replace('ws:', 'http:'));
  assert.deepEqual([plain.status, ((await plain.json()) as { code: string }).code], [426, 'no_upgrade']);
  assertRow(426, 'no_upgrade');
});

test('headers of more than 16 KiB are refused by the WebSocket server itself', async () => {
  assert.ok(rows.some(({ status, codes }) => status === 431 && codes.length === 0));
  const status = await new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${'x'.repeat(16 * 1024)}`,
      upgrade: 'websocket',
      connection: 'Upgrade',
    };
    request(under.url.replace('ws:', 'http:'), { headers }, (response) => resolve(response.statusCode))
      .on('error', reject)
      .end();
  });
  assert.equal(status, 431);
});

function assertRow(status: number, code: unknown): void {
  const found = rows.some((row) => row.status === status && row.codes.includes(String(code)));
  assert.ok(found, `PROTOCOL.md has no row for ${status} ${code}`);
}
