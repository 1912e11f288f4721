import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { signDevelopmentToken } from './development-token.js';
import { ALGORITHMS, EXPECTED, nowS, SigningKey } from './fixtures/test-issuer.js';
import { createTokenVerifier, LEEWAY_S, TokenError } from './tokens.js';

const SECRET = 'a-secret-of-more-than-thirty-two-bytes';
const GOOD = { secret: SECRET, ...EXPECTED, subject: 'driver-1', scope: 'location:write', ttlS: 60 };
const dir = mkdtempSync(join(tmpdir(), 'whereabouts-tokens-'));
after(() => rmSync(dir, { recursive: true }));

const refused = (code: string) => (error: unknown) => error instanceof TokenError && error.code === code;

test('a development token is verified', async () => {
  const verify = await createTokenVerifier({ secret: SECRET, ...EXPECTED });
  const before = Math.floor(Date.now() / 1000) * 1000;
  const token = await verify(
    await signDevelopmentToken({ ...GOOD, scope: 'a location:write' }),
    'location:write',
  );
  assert.equal(token.subject, 'driver-1');
  assert.deepEqual(token.scopes, ['a', 'location:write']);
  const lifeMs = (60 + LEEWAY_S) * 1000;
  assert.ok(token.expiresAtMs >= before + lifeMs && token.expiresAtMs <= Date.now() + lifeMs);
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
  await check({ ttlS: -LEEWAY_S - 1 }, 'token_expired');
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

test('clocks may differ by a few seconds, and by no more', async () => {
  const key = new SigningKey('EdDSA');
  const publicKeyFile = join(dir, 'leeway.pem');
  writeFileSync(publicKeyFile, key.publicKey.export({ type: 'spki', format: 'pem' }));
  const verify = await createTokenVerifier({ publicKeyFile, ...EXPECTED });
  const verdict = async (claims: Record<string, unknown>) =>
    verify(await key.token(claims), 'location:write').then(
      () => 'ok',
      (error: TokenError) => error.code,
    );
  assert.equal(await verdict({ nbf: nowS() + 1, iat: nowS() + 1 }), 'ok');
  assert.equal(await verdict({ nbf: nowS() + LEEWAY_S }), 'ok');
  assert.equal(await verdict({ exp: nowS() - 1 }), 'ok');
  assert.equal(await verdict({ exp: nowS() - LEEWAY_S - 1 }), 'token_expired');
  // Only nbf and exp limit when a token is good; iat tells when it was made.
  assert.equal(await verdict({ iat: nowS() + 3600 }), 'ok');
  assert.equal(await verdict({ iat: 'today' }), 'token_invalid');
  const early = await key.token({ nbf: nowS() + 60 });
  await assert.rejects(verify(early, 'location:write'), {
    code: 'token_invalid',
    message: /not valid yet: its nbf is more than 5 s ahead/,
  });
  // Whoever is admitted within the leeway is not thrown out at once.
  for (const exp of [nowS() - 2, nowS() - 1.5, nowS() + 60]) {
    const { expiresAtMs } = await verify(await key.token({ exp }), 'location:write');
    assert.equal(expiresAtMs, (Math.ceil(exp) + LEEWAY_S) * 1000);
    assert.ok(expiresAtMs > Date.now());
  }
});

test('a public key of each kind verifies its own algorithm only', async () => {
  for (const alg of ALGORITHMS) {
    const key = new SigningKey(alg);
    const publicKeyFile = join(dir, `${alg}.pem`);
    const pem = key.publicKey.export({ type: 'spki', format: 'pem' });
    writeFileSync(publicKeyFile, pem);
    const verify = await createTokenVerifier({ publicKeyFile, ...EXPECTED });
    assert.equal((await verify(await key.token(), 'location:write')).subject, 'driver-1');
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
