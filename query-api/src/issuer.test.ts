// query-api with an issuer that publishes keys: an outage of the issuer is never blamed on the caller.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import { SigningKey, TestIssuer } from '@whereabouts/infra/service/fixtures/test-issuer';
import { eventually, startRunning } from './fixtures/running-service.js';

test('issuer: 503 while its keys cannot be had or do not know the token, then answers', async (t) => {
  const old = new SigningKey('ES256', 'old');
  const next = new SigningKey('EdDSA', 'next');
  const issuer = await TestIssuer.start(old);
  t.after(() => issuer.stop());
  issuer.instead = (_request, response) => response.end('<html>');
  const env = { JWT_SECRET: undefined, JWT_JWKS_URL: issuer.jwksUrl };
  const running = await startRunning(evenPartitionMap(16), env);
  t.after(() => running.stop());
  const claims = { aud: 'whereabouts-query', scope: 'drivers:read' };
  const ask = async (token: string) =>
    running.ask('/v1/partitions', { headers: { authorization: `Bearer ${token}` } });

  const away = await ask(await old.token(claims));
  assert.deepEqual([away.status, away.body.code], [503, 'keys_unavailable']);
  assert.equal(away.headers.get('retry-after'), '1');
  const { ready, checks } = await running.service.readiness();
  const check = checks.find(({ name }) => name === 'token keys');
  assert.deepEqual([ready, check?.ok], [true, false]);
  assert.match(check?.detail ?? '', /not JSON/);

  issuer.instead = null;
  const token = await old.token(claims);
  await eventually(async () => assert.equal((await ask(token)).status, 200));
  const unknown = await ask(await next.token(claims));
  assert.deepEqual([unknown.status, unknown.body.code], [503, 'key_unknown']);
  assert.equal(unknown.headers.get('retry-after'), '1');

  issuer.keys = [old.jwk, next.jwk];
  const rotated = await next.token(claims);
  await eventually(async () => assert.equal((await ask(rotated)).status, 200));
  assert.equal((await ask(token)).status, 200);
  assert.match(await running.metrics.registry.metrics(), /whereabouts_query_api_token_keys 2/);
});
