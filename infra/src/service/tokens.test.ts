import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { SignJWT } from 'jose';
import { createTokenVerifier, signDevelopmentToken, TokenError } from './tokens.js';

const SECRET = 'a-secret-of-more-than-thirty-two-bytes';
const EXPECTED = { issuer: 'whereabouts', audience: 'whereabouts-ingest' };
const GOOD = { secret: SECRET, ...EXPECTED, subject: 'driver-1', scope: 'location:write', ttlS: 60 };
const dir = mkdtempSync(join(tmpdir(), 'whereabouts-tokens-'));
after(() => rmSync(dir, { recursive: true }));

const refused = (code: string) => (error: unknown) => error instanceof TokenError && error.code === code;

/** A token as an issuer with an own key makes it. */
function issued(alg: string, key: KeyObject, claims: object = {}, kid = 'k1'): Promise<string> {
  const exp = Math.floor(Date.now() / 1000) + 60;
  const payload = { iss: EXPECTED.issuer, aud: EXPECTED.audience, sub: 'd', scope: 'location:write', exp };
  return new SignJWT({ ...payload, ...claims }).setProtectedHeader({ alg, kid }).sign(key);
}

test('a development token is verified', async () => {
  const verify = await createTokenVerifier({ secret: SECRET, ...EXPECTED });
  const before = Math.floor(Date.now() / 1000) * 1000;
  const token = await verify(
    await signDevelopmentToken({ ...GOOD, scope: 'a location:write' }),
    'location:write',
  );
  assert.equal(token.subject, 'driver-1');
  assert.deepEqual(token.scopes, ['a', 'location:write']);
  assert.ok(token.expiresAtMs >= before + 60_000 && token.expiresAtMs <= Date.now() + 60_000);
});

test('what does not fit is refused, with a code', async () => {
  const verify = await createTokenVerifier({ secret: SECRET, ...EXPECTED });
  const check = async (change: Partial<typeof GOOD>, code: string) =>
    assert.rejects(
      verify(await signDevelopmentToken({ ...GOOD, ...change }), 'location:write'),
      refused(code),
    );
  await assert.rejects(verify('', 'location:write'), refused('token_missing'));
  await assert.rejects(verify('no.token', 'location:write'), refused('token_invalid'));
  await assert.rejects(verify('x'.repeat(10_000), 'location:write'), refused('token_invalid'));
  await check({ secret: `${SECRET}!` }, 'token_invalid');
  await check({ issuer: 'another' }, 'token_invalid');
  await check({ audience: 'whereabouts-query' }, 'token_invalid');
  await check({ ttlS: -1 }, 'token_expired');
  await check({ scope: 'drivers:read' }, 'token_scope');
  await check({ scope: 'location:writes' }, 'token_scope');
  for (const subject of ['', 'a b', 'a/b', 'é', 'x'.repeat(65), 'driver\n']) {
    await check({ subject }, 'token_invalid');
  }
});

test('a token needs an expiry, and says no algorithm of its own', async () => {
  const verify = await createTokenVerifier({ secret: SECRET, ...EXPECTED });
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const forged = (header: object, claims: object) => {
    const claimed = { iss: EXPECTED.issuer, aud: EXPECTED.audience, sub: 'd', scope: 'location:write' };
    const text = `${encode(header)}.${encode({ ...claimed, ...claims })}`;
    return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
  };
  const exp = Math.floor(Date.now() / 1000) + 60;
  assert.equal((await verify(forged({ alg: 'HS256' }, { exp }), 'location:write')).subject, 'd');
  const bad = [forged({ alg: 'HS256' }, {}), forged({ alg: 'HS256' }, { exp: 'never' })];
  const unsigned = forged({ alg: 'none' }, { exp });
  bad.push(
    unsigned,
    unsigned.replace(/[^.]*$/, ''),
    forged({ alg: 'HS256' }, { exp, scope: ['location:write'] }),
  );
  for (const [i, token] of bad.entries()) {
    await assert.rejects(
      verify(token, 'location:write'),
      refused(i === bad.length - 1 ? 'token_scope' : 'token_invalid'),
    );
  }
});

test('a public key of each kind verifies its own algorithm only', async () => {
  const pairs = {
    RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: generateKeyPairSync('ed25519'),
  };
  for (const [alg, pair] of Object.entries(pairs)) {
    const publicKeyFile = join(dir, `${alg}.pem`);
    const pem = pair.publicKey.export({ type: 'spki', format: 'pem' });
    writeFileSync(publicKeyFile, pem);
    const verify = await createTokenVerifier({ publicKeyFile, ...EXPECTED });
    assert.equal((await verify(await issued(alg, pair.privateKey), 'location:write')).subject, 'd');
    // The old trick: the public key's text taken for an HS256 secret.
    const confused = await signDevelopmentToken({ ...GOOD, secret: pem.toString() });
    await assert.rejects(verify(confused, 'location:write'), refused('token_invalid'));
  }
});

test('exactly one key source', async () => {
  await assert.rejects(createTokenVerifier(EXPECTED), TypeError);
  await assert.rejects(
    createTokenVerifier({ ...EXPECTED, secret: SECRET, jwksUrl: 'https://a/' }),
    TypeError,
  );
});

test('a key set is fetched once, and an outage of the issuer is not the fault of a token', async (t) => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const published = { keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'ES256' }] };
  let fetches = 0;
  let isUp = false;
  const issuer = createServer((_request, response) => {
    fetches++;
    response.writeHead(isUp ? 200 : 503).end(JSON.stringify(published));
  });
  await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve));
  t.after(() => issuer.close());
  const jwksUrl = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/keys`;
  const verify = await createTokenVerifier({ jwksUrl, ...EXPECTED });
  const token = await issued('ES256', pair.privateKey);

  for (let i = 0; i < 20; i++) {
    await assert.rejects(verify(token, 'location:write'), (error) => refused('keys_unavailable')(error));
  }
  // 20 tokens in a moment; the second fetch comes only after the pause.
  assert.ok(fetches < 20, `${fetches} fetches`);

  isUp = true;
  const deadline = Date.now() + 10_000;
  let verified: string | null = null;
  while (verified === null && Date.now() < deadline) {
    verified = await verify(token, 'location:write').then(
      (answer) => answer.subject,
      () => new Promise((resolve) => setTimeout(resolve, 50, null)),
    );
  }
  assert.equal(verified, 'd');

  const soFar = fetches;
  const stranger = await issued(
    'ES256',
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
    {},
    'k2',
  );
  for (let i = 0; i < 5; i++) {
    await assert.rejects(verify(stranger, 'location:write'), refused('token_invalid'));
    await verify(token, 'location:write');
  }
  assert.equal(fetches, soFar, 'unknown keys make no fetch within the cooldown');
});

test('an issuer that cannot be reached is an outage too', async () => {
  const pair = generateKeyPairSync('ed25519');
  // Port 9 (discard): nothing listens there, and fetch itself refuses it.
  const verify = await createTokenVerifier({ jwksUrl: 'http://127.0.0.1:9/keys', ...EXPECTED });
  const token = await issued('EdDSA', pair.privateKey);
  await assert.rejects(verify(token, 'location:write'), (error) => {
    return error instanceof TokenError && error.code === 'keys_unavailable' && error.retryable;
  });
});
