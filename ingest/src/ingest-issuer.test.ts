// Ingest before an issuer who publishes keys: what drivers and operators hear while it is away or changes its keys.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SigningKey, TestIssuer } from '@whereabouts/infra/service/fixtures/test-issuer';
import { until } from './testing/edge-under-test.js';
import { type Ground, IngestProcess, startGround } from './testing/ingest-process.js';
import { refusedUpgrade, TestDriver } from './testing/test-driver.js';

const old = new SigningKey('ES256', 'old');
const next = new SigningKey('RS256', 'next');
let ground: Ground;
let issuer: TestIssuer;
let ingest: IngestProcess;

before(async () => {
  ground = await startGround();
  issuer = await TestIssuer.start(old);
  issuer.instead = (_request, response) => response.writeHead(502).end();
  ingest = await IngestProcess.start(ground, { JWT_SECRET: undefined, JWT_JWKS_URL: issuer.jwksUrl });
});
after(async () => {
  ingest?.kill();
  issuer?.stop();
  await ground?.stop();
});

async function metric(name: string): Promise<number> {
  const text = await (await ingest.ops('/metrics')).text();
  const line = text.split('\n').find((l) => l.startsWith(`whereabouts_ingest_${name} `));
  return Number(line?.split(' ')[1]);
}

/** Tries like a client, and fails at a refusal that is not worth another try. */
async function admitted(token: string): Promise<TestDriver> {
  const endMs = performance.now() + 20_000;
  for (;;) {
    const refusal = await refusedUpgrade(ingest.url, { token }).catch(() => null);
    if (refusal === null) return await TestDriver.connect(ingest.url, '', { token });
    assert.equal(refusal.status, 503, JSON.stringify(refusal.body));
    assert.ok(performance.now() < endMs, `still refused: ${JSON.stringify(refusal.body)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test('before the keys were ever fetched: 503, to be tried again, and an alarm', async () => {
  const { status, headers, body } = await refusedUpgrade(ingest.url, { token: await old.token() });
  assert.deepEqual([status, body.code, headers['retry-after']], [503, 'keys_unavailable', '2']);
  const report = (await (await ingest.ops('/readyz?verbose')).json()) as {
    ready: boolean;
    checks: { name: string; ok: boolean; detail: string }[];
  };
  const check = report.checks.find(({ name }) => name === 'token keys');
  assert.equal(report.ready, true, 'no load balancer can find a better one');
  assert.equal(check?.ok, false);
  assert.match(check?.detail ?? '', /^never fetched; \d+ fetches failed, the last: .*HTTP 502/);
  assert.equal(await metric('token_keys'), 0);
  assert.match(ingest.output, /"level":"error".*without the token issuer's keys nobody can be admitted/);
});

test('from the return of the issuer on drivers are admitted, and its metrics tell', async () => {
  issuer.instead = null;
  const driver = await admitted(await old.token());
  driver.ws.terminate();
  assert.equal(await metric('token_keys'), 1);
});

test('a rotated key: 503 key_unknown at most, then good, at the handshake and for a renewal', async () => {
  const driver = await admitted(await old.token({ sub: 'renewing' }));
  const stranger = await new SigningKey('EdDSA', 'nobody').token({ sub: 'renewing' });
  driver.send({ type: 'token', token: stranger });
  const nack = await driver.nack('not_ready', null);
  assert.deepEqual([nack.retryable, nack.retry_after_ms], [true, 1000]);
  const { status, body } = await refusedUpgrade(ingest.url, { token: stranger });
  assert.deepEqual([status, body.code], [503, 'key_unknown']);

  issuer.keys = [next.jwk];
  (await admitted(await next.token({ sub: 'another' }))).ws.terminate();
  driver.send({ type: 'token', token: await next.token({ sub: 'renewing' }) });
  await driver.settled();
  driver.report(1, (await driver.next('hello')).server_time_ms);
  await driver.next('ack');
  assert.equal(driver.of('nack').length, 1);
  const withdrawn = await refusedUpgrade(ingest.url, { token: await old.token() });
  assert.deepEqual([withdrawn.status, withdrawn.body.code], [503, 'key_unknown']);
  await until('it still lives', () => driver.closeCode === null);
});
