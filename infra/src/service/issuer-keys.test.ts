// Tokens of an issuer who publishes keys: what becomes of them while the issuer changes its keys or is away.
import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ALGORITHMS, EXPECTED, nowS, SigningKey, TestIssuer } from './fixtures/test-issuer.js';
import { createLogger } from './log.js';
import { createMetrics } from './metrics.js';
import {
  createTokenVerifier,
  type RunningTokenVerifier,
  TokenError,
  type TokenVerifierParts,
} from './tokens.js';

const QUICK = { refreshMs: 60_000, cooldownMs: 50, maxRetryMs: 100, waitMs: 1500 };

async function serve(t: TestContext, ...keys: SigningKey[]): Promise<TestIssuer> {
  const issuer = await TestIssuer.start(...keys);
  t.after(() => issuer.stop());
  return issuer;
}

async function verifierOf(
  t: TestContext,
  { jwksUrl }: { jwksUrl: string },
  { keysMaxAgeMs, ...parts }: TokenVerifierParts & { keysMaxAgeMs?: number } = {},
): Promise<RunningTokenVerifier> {
  const age = keysMaxAgeMs === undefined ? {} : { keysMaxAgeMs };
  const verify = await createTokenVerifier({ jwksUrl, ...EXPECTED, ...age }, { pace: QUICK, ...parts });
  t.after(() => verify.close());
  return verify;
}

/** The code of the refusal, or `ok`. Only an outage may be worth another try. */
async function verdict(verify: RunningTokenVerifier, token: string): Promise<string> {
  try {
    await verify(token, 'location:write');
    return 'ok';
  } catch (error) {
    assert.ok(error instanceof TokenError, String(error));
    assert.equal(error.retryable, error.code === 'key_unknown' || error.code === 'keys_unavailable');
    return error.code;
  }
}

/** Every verdict until the one that is waited for. */
async function verdictsUntil(
  expected: string,
  verify: RunningTokenVerifier,
  token: string,
): Promise<Set<string>> {
  const seen = new Set<string>();
  const endMs = performance.now() + 20_000;
  while (performance.now() < endMs) {
    const found = await verdict(verify, token);
    if (found === expected) return seen;
    seen.add(found);
    await sleep(10);
  }
  throw new Error(`waited in vain for ${expected}, saw ${[...seen]}`);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const endMs = performance.now() + 20_000;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`waited in vain for ${what}`);
    await sleep(10);
  }
}

const away: RequestListener = (_request, response) => {
  response.writeHead(503).end();
};

test('keys of every kind, with and without key ids, one and several, verify tokens', async (t) => {
  for (const kids of [
    ['a', 'b', 'c'],
    [undefined, undefined, undefined],
  ]) {
    const keys = ALGORITHMS.flatMap((alg) => kids.map((kid) => new SigningKey(alg, kid)));
    const issuer = await serve(t, ...keys);
    const verify = await verifierOf(t, issuer);
    for (const key of keys) {
      assert.equal(await verdict(verify, await key.token()), 'ok', `${key.alg} ${key.kid}`);
      assert.equal(await verdict(verify, await key.token({}, {})), 'ok', `${key.alg}, no kid in the token`);
    }
    const stranger = new SigningKey('ES256', kids[0]);
    assert.equal(await verdict(verify, await stranger.token()), 'token_invalid');
    assert.equal(await verdict(verify, await stranger.token({}, {})), 'token_invalid');
  }
});

test('a token whose key id the set leaves out, and keys that nobody can use beside a good one', async (t) => {
  const key = new SigningKey('RS256');
  const issuer = await serve(t, key);
  const bare = issuer.keys;
  const verify = await verifierOf(t, issuer);
  assert.equal(await verdict(verify, await key.token({}, { kid: 'of-the-header-alone' })), 'ok');

  const odd = [
    null,
    7,
    {},
    { kty: 'oct', k: 'c2VjcmV0' },
    { kty: 'of tomorrow' },
    { kty: 'RSA', n: '!', e: '!' },
  ];
  const encrypting = { ...new SigningKey('RS256').jwk, use: 'enc' };
  issuer.keys = [...odd, encrypting, new SigningKey('EdDSA', 'leaked').privateJwk, ...bare];
  const again = await verifierOf(t, issuer);
  assert.equal(await verdict(again, await key.token()), 'ok');
  assert.equal(again.checks()[0]?.detail.startsWith('1 keys'), true, again.checks()[0]?.detail);
});

test('a rotated key is known within seconds, and until then its tokens are unknown and not wrong', async (t) => {
  const issuer = await serve(t, new SigningKey('ES256', 'old'));
  const verify = await verifierOf(t, issuer, { pace: {} }); // at the usual pace
  const next = new SigningKey('ES256', 'next');
  const token = await next.token();
  assert.equal(await verdict(verify, token), 'key_unknown');
  issuer.keys = [next.jwk];
  const startedAtMs = performance.now();
  assert.deepEqual([...(await verdictsUntil('ok', verify, token))], ['key_unknown']);
  assert.ok(performance.now() - startedAtMs < 10_000);
});

test('a key that was replaced under its name, or has none, is found too', async (t) => {
  for (const kid of ['same', undefined]) {
    const old = new SigningKey('EdDSA', kid);
    const issuer = await serve(t, old);
    const verify = await verifierOf(t, issuer);
    assert.equal(await verdict(verify, await old.token()), 'ok');
    const next = new SigningKey('EdDSA', kid);
    issuer.keys = [next.jwk];
    await sleep(QUICK.cooldownMs + 10);
    assert.equal(await verdict(verify, await next.token()), 'ok');
    await verdictsUntil('token_invalid', verify, await old.token());
  }
});

test('a withdrawn key is refused once the set was fetched without it', async (t) => {
  const [old, next] = [new SigningKey('ES256', 'old'), new SigningKey('ES256', 'next')];
  const issuer = await serve(t, old, next);
  const verify = await verifierOf(t, issuer, { pace: { ...QUICK, refreshMs: 50 } });
  const token = await old.token();
  assert.equal(await verdict(verify, token), 'ok');
  issuer.keys = [next.jwk];
  await verdictsUntil('key_unknown', verify, token);
  assert.equal(await verdict(verify, await next.token()), 'ok');
});

test('strangers with invented key ids make few fetches, and hold up nobody', async (t) => {
  const key = new SigningKey('ES256', 'k1');
  const issuer = await serve(t, key);
  const verify = await verifierOf(t, issuer, { pace: { ...QUICK, cooldownMs: 200 } });
  const good = await key.token();
  assert.equal(await verdict(verify, good), 'ok');
  const strange = new SigningKey('ES256');
  const startedAtMs = performance.now();
  let asked = 0;
  while (performance.now() - startedAtMs < 1500) {
    const tokens = await Promise.all(
      Array.from({ length: 20 }, () => strange.token({}, { kid: `invented-${asked++}` })),
    );
    const verdicts = await Promise.all(tokens.map((token) => verdict(verify, token)));
    assert.deepEqual(new Set(verdicts), new Set(['key_unknown']));
    assert.equal(await verdict(verify, good), 'ok');
  }
  const atMost = 2 + (performance.now() - startedAtMs) / 200;
  assert.ok(issuer.fetches <= atMost, `${issuer.fetches} fetches for ${asked} tokens, not ${atMost}`);
  assert.ok(issuer.fetches >= 3, 'it goes on looking');
});

test('what no key could mend is said at once, and asks nobody', async (t) => {
  const issuer = await serve(t, new SigningKey('ES256', 'k1'));
  const verify = await verifierOf(t, issuer);
  const withdrawn = new SigningKey('ES256', 'k0');
  assert.equal(await verdict(verify, await withdrawn.token()), 'key_unknown');
  await sleep(QUICK.cooldownMs + 10);
  const { fetches } = issuer;
  assert.equal(await verdict(verify, await withdrawn.token({ exp: nowS() - 60 })), 'token_expired');
  assert.equal(await verdict(verify, await withdrawn.token({ iss: 'another' })), 'token_invalid');
  assert.equal(await verdict(verify, await withdrawn.token({ aud: ['a', 'b'] })), 'token_invalid');
  assert.equal(await verdict(verify, await withdrawn.token({}, { kid: 7 })), 'token_invalid');
  assert.equal(await verdict(verify, 'no.token.this'), 'token_invalid');
  assert.equal(issuer.fetches, fetches);
});

test('an issuer that is away from the start fails N times, and then its tokens are good', async (t) => {
  const key = new SigningKey('RS256', 'k1');
  const issuer = await serve(t, key);
  issuer.instead = (request, response) => {
    if (issuer.fetches <= 4) away(request, response);
    else response.end(JSON.stringify({ keys: issuer.keys }));
  };
  const verify = await verifierOf(t, issuer);
  const seen = await verdictsUntil('ok', verify, await key.token());
  assert.deepEqual([...seen], ['keys_unavailable']);
  assert.equal(issuer.fetches, 5);
});

test('an issuer that is away for ever is asked with growing pauses, also where no token comes', async (t) => {
  const issuer = await serve(t, new SigningKey('RS256', 'k1'));
  issuer.instead = away;
  const pace = { ...QUICK, cooldownMs: 20, maxRetryMs: 160 };
  const verify = await verifierOf(t, issuer, { pace });
  const times: number[] = [];
  issuer.instead = (request, response) => {
    times.push(performance.now());
    away(request, response);
  };
  await until('12 fetches', () => times.length >= 12);
  const gaps = times.slice(1).map((time, i) => time - (times[i] as number));
  assert.ok(
    gaps.every((gap) => gap >= 19),
    `${gaps}`,
  );
  const lateGaps = gaps.slice(5);
  assert.ok(Math.min(...lateGaps) >= 75, `not below half of the bound: ${gaps}`);
  assert.equal(await verdict(verify, await new SigningKey('RS256', 'k1').token()), 'keys_unavailable');
});

test('known keys are used while the issuer is away, until they are too old, and from its return on', async (t) => {
  const key = new SigningKey('ES256', 'k1');
  const issuer = await serve(t, key);
  const verify = await verifierOf(t, issuer, { keysMaxAgeMs: 2000 });
  const [token, unknown] = [await key.token(), await new SigningKey('ES256', 'k2').token()];
  assert.equal(await verdict(verify, token), 'ok');
  issuer.instead = away;
  const startedAtMs = performance.now();
  let timesGood = 0;
  while ((await verdict(verify, token)) === 'ok') {
    timesGood++;
    assert.ok(performance.now() - startedAtMs < 8000, 'they are used for ever');
    assert.ok(['key_unknown', 'keys_unavailable'].includes(await verdict(verify, unknown)));
    await sleep(20);
  }
  assert.ok(timesGood >= 5, `good only ${timesGood} times`);
  assert.equal(await verdict(verify, token), 'keys_unavailable');
  issuer.instead = null;
  assert.deepEqual(
    [...(await verdictsUntil('ok', verify, token))].filter((code) => code !== 'keys_unavailable'),
    [],
  );
});

test('an issuer that does not answer holds up known keys not at all, others for a moment', async (t) => {
  const key = new SigningKey('ES256', 'k1');
  const issuer = await serve(t, key);
  const verify = await verifierOf(t, issuer, { pace: { ...QUICK, waitMs: 300, fetchTimeoutMs: 8000 } });
  assert.equal(await verdict(verify, await key.token()), 'ok');
  await sleep(QUICK.cooldownMs + 10);
  issuer.instead = () => {};
  const next = new SigningKey('ES256', 'k2');
  const token = await next.token();
  const startedAtMs = performance.now();
  assert.equal(await verdict(verify, token), 'key_unknown');
  const waitedMs = performance.now() - startedAtMs;
  assert.ok(waitedMs > 250 && waitedMs < 5000, `waited ${waitedMs} ms`);
  assert.equal(await verdict(verify, await key.token()), 'ok');
  issuer.keys = [next.jwk];
  issuer.instead = null;
  await verdictsUntil('ok', verify, token); // when that fetch has been given up
});

test('an issuer that is slower than a token can wait is heard all the same', async (t) => {
  const key = new SigningKey('ES256', 'k1');
  const issuer = await serve(t, key);
  issuer.instead = (_request, response) => {
    setTimeout(() => response.end(JSON.stringify({ keys: issuer.keys })), 600);
  };
  const verify = await verifierOf(t, issuer, { pace: { ...QUICK, waitMs: 100 } });
  assert.deepEqual([...(await verdictsUntil('ok', verify, await key.token()))], ['keys_unavailable']);
  assert.equal(issuer.fetches, 1);
});

test('garbage in the place of keys changes nothing', async (t) => {
  const key = new SigningKey('ES256', 'k1');
  const good = await serve(t, key);
  const body =
    (text: string): RequestListener =>
    (_request, response) =>
      response.end(text);
  const garbage: Record<string, RequestListener> = {
    'an HTML page': body('<!doctype html><title>Please sign in</title>'),
    nothing: body(''),
    'not an object': body('null'),
    'no keys': body('{}'),
    'keys that are no array': body('{"keys":{}}'),
    'an empty set': body('{"keys":[]}'),
    'a set of private keys': body(JSON.stringify({ keys: [key.privateJwk] })),
    'a redirect': (_request, response) => response.writeHead(302, { location: good.jwksUrl }).end(),
    'no content': (_request, response) => response.writeHead(204).end(),
    'half an answer': (_request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('{"keys":[');
      setTimeout(() => response.destroy(), 20);
    },
    'a set that is too large': body(JSON.stringify({ keys: [key.jwk], more: 'x'.repeat(300_000) })),
    'no end': (_request, response) => {
      response.write('{"keys":[');
      const spam = setInterval(() => response.write(' '.repeat(64 * 1024)), 1);
      response.on('close', () => clearInterval(spam));
    },
    'no HTTP at all': (request) => request.socket.end('SSH-2.0-OpenSSH_9.6\r\n'),
  };
  for (const [what, answer] of Object.entries(garbage)) {
    const issuer = await serve(t, key);
    issuer.instead = answer;
    const early = await verifierOf(t, issuer);
    assert.equal(await verdict(early, await key.token()), 'keys_unavailable', what);
    issuer.instead = null;
    await verdictsUntil('ok', early, await key.token());
    issuer.instead = answer;
    await sleep(QUICK.cooldownMs + 10);
    const { fetches } = issuer;
    assert.equal(await verdict(early, await new SigningKey('ES256', 'k2').token()), 'key_unknown', what);
    assert.ok(issuer.fetches > fetches, what);
    assert.equal(await verdict(early, await key.token()), 'ok', what);
    early.close();
    issuer.stop();
  }
});

test('an issuer that cannot be reached, by TLS or at all, is an outage', async (t) => {
  const token = await new SigningKey('ES256', 'k1').token();
  const issuer = await serve(t);
  const plain = issuer.jwksUrl.replace('http:', 'https:');
  // Port 9 (discard): nothing listens there, and fetch itself refuses it.
  for (const jwksUrl of [plain, 'http://127.0.0.1:9/keys', 'http://127.0.0.1:1/keys']) {
    const verify = await verifierOf(t, { jwksUrl });
    assert.equal(await verdict(verify, token), 'keys_unavailable', jwksUrl);
    const [check] = verify.checks();
    assert.match(check?.detail ?? '', /^never fetched; \d+ fetches failed, the last: \w+/);
  }
});

test('operators are told: by the log, once a minute, by metrics and by a check', async (t) => {
  const key = new SigningKey('ES256', 'k1');
  const issuer = await serve(t, key);
  const lines: { level: string; msg: string; reason?: string }[] = [];
  const log = createLogger('test', 'info', { write: (line: string) => lines.push(JSON.parse(line)) });
  const metrics = createMetrics('test', { commit: 'none' });
  const sampleOf = async (name: string) => {
    const line = (await metrics.registry.metrics())
      .split('\n')
      .find((text) => text.startsWith(`whereabouts_test_${name} `));
    return Number(line?.split(' ').at(-1));
  };
  issuer.instead = away;
  const verify = await verifierOf(t, issuer, { log, metrics, keysMaxAgeMs: 1000 });
  const token = await key.token();
  assert.equal(await verdict(verify, token), 'keys_unavailable');
  assert.equal(await sampleOf('token_keys'), 0);
  issuer.instead = null;
  await verdictsUntil('ok', verify, token);
  assert.deepEqual(verify.checks(), [{ name: 'token keys', ok: true, detail: '1 keys, fetched 0 s ago' }]);
  assert.deepEqual(
    [await sampleOf('token_keys'), await sampleOf('token_keys_age_seconds')].map(Math.floor),
    [1, 0],
  );
  issuer.instead = away;
  await verdictsUntil('keys_unavailable', verify, token);
  await until('the alarm', () => lines.length === 4);
  assert.equal(verify.checks()[0]?.ok, false);
  assert.match(
    verify.checks()[0]?.detail ?? '',
    /^1 keys, fetched [12] s ago; \d+ fetches failed, .*HTTP 503$/,
  );
  assert.equal(await sampleOf('token_keys'), 0);
  assert.ok((await sampleOf('token_keys_age_seconds')) >= 1);
  assert.ok((await sampleOf('token_key_fetches_total{outcome="failed"}')) >= 2);
  assert.deepEqual(
    lines.map(({ level, msg }) => [level, msg]),
    [
      ['error', "without the token issuer's keys nobody can be admitted"],
      ['info', "the token issuer's keys are fetched"],
      ['warn', "the token issuer's keys cannot be fetched: going on with those that are known"],
      ['error', "without the token issuer's keys nobody can be admitted"],
    ],
  );
  assert.equal(lines[0]?.reason, 'the issuer answers with HTTP 503');
});
