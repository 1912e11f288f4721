import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  opsSettings,
  partitionMapSettings,
  redisSettings,
  SettingsError,
  SettingsReader,
  shellSettings,
  tokenSettings,
} from './settings.js';

const SECRET = 'x'.repeat(32);
const dir = mkdtempSync(join(tmpdir(), 'whereabouts-settings-'));
after(() => rmSync(dir, { recursive: true }));

function fileWith(name: string, content: string): string {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
}

function read<T extends object>(env: NodeJS.ProcessEnv, group: (reader: SettingsReader) => T): T {
  const reader = new SettingsReader(env);
  return reader.finish(group(reader));
}

function problems(env: NodeJS.ProcessEnv, group: (reader: SettingsReader) => object): readonly string[] {
  try {
    read(env, group);
    return [];
  } catch (error) {
    assert.ok(error instanceof SettingsError);
    return error.problems;
  }
}

const tokens = (reader: SettingsReader) => tokenSettings(reader, 'whereabouts-ingest');

test('Redis: several nodes, with the measured time-outs', () => {
  const urls = 'redis://127.0.0.1:7100, redis://[::1]:7101,redis://redis-2.local:7102';
  assert.deepEqual(read({ REDIS_URL: urls, REDIS_USERNAME: 'ingest', REDIS_PASSWORD: 'p' }, redisSettings), {
    redisUrls: ['redis://127.0.0.1:7100', 'redis://[::1]:7101', 'redis://redis-2.local:7102'],
    username: 'ingest',
    password: 'p',
    commandTimeoutMs: 300,
    connectTimeoutMs: 500,
    socketTimeoutMs: 500,
  });
  assert.ok(!('username' in read({ REDIS_URL: 'redis://a:1' }, redisSettings)));
});

test('Redis: what would not work is refused', () => {
  assert.match(problems({}, redisSettings)[0] ?? '', /^REDIS_URL is not set: give redis:/);
  const withPassword = problems({ REDIS_URL: 'redis://u:hush@a:7100' }, redisSettings);
  assert.match(withPassword[0] ?? '', /^REDIS_URL is "redis:\/\/\*\*\*@a:7100": give .*REDIS_PASSWORD/);
  const env = { REDIS_URL: 'redis://a:1' };
  assert.equal(problems({ REDIS_URL: 'redis://a:1/3' }, redisSettings).length, 1);
  assert.match(problems({ ...env, REDIS_USERNAME: 'u' }, redisSettings)[0] ?? '', /without a password/);
  assert.match(problems({ ...env, REDIS_SOCKET_TIMEOUT_MS: '299' }, redisSettings)[0] ?? '', /not below/);
  assert.match(problems({ ...env, REDIS_COMMAND_TIMEOUT_MS: '601' }, redisSettings)[0] ?? '', /20 to 600/);
});

test('Redis over TLS: asked for by the scheme of all addresses', () => {
  const env = { REDIS_URL: 'rediss://a.test:1,rediss://b.test:2' };
  assert.deepEqual(read(env, redisSettings).tls, {});
  assert.equal(read({ REDIS_URL: 'redis://a:1' }, redisSettings).tls, undefined);
  assert.deepEqual(read({ ...env, REDIS_TLS_SERVER_NAME: 'redis.test' }, redisSettings).tls, {
    serverName: 'redis.test',
  });
  const said = (more: NodeJS.ProcessEnv) => problems({ ...env, ...more }, redisSettings).join('\n');
  assert.match(said({ REDIS_URL: 'redis://a:1,rediss://b:2' }), /with and without TLS/);
  assert.match(said({ REDIS_TLS_CA_FILE: join(dir, 'nowhere') }), /REDIS_TLS_CA_FILE/);
  assert.match(
    said({ REDIS_TLS_CA_FILE: fileWith('no.pem', 'no') }),
    /REDIS_TLS_CA_FILE holds no certificate/,
  );
  assert.match(said({ REDIS_TLS_CERT_FILE: fileWith('cert.pem', 'no') }), /belong together/);
  assert.match(said({ REDIS_TLS_SERVER_NAME: 'not a name' }), /give a host name/);
  assert.match(
    said({ REDIS_URL: 'redis://a:1', REDIS_TLS_SERVER_NAME: 'redis.test' }),
    /REDIS_TLS_SERVER_NAME given, but REDIS_URL is without TLS/,
  );
});

test('tokens: exactly one key source', () => {
  assert.deepEqual(read({ JWT_SECRET: SECRET }, tokens), {
    secret: SECRET,
    issuer: 'whereabouts',
    audience: 'whereabouts-ingest',
  });
  assert.deepEqual(problems({}, tokens), [
    'none of JWT_JWKS_URL, JWT_PUBLIC_KEY_FILE, JWT_SECRET (or JWT_SECRET_FILE) is set: give exactly one',
  ]);
  assert.match(
    problems({ JWT_SECRET: SECRET, JWT_JWKS_URL: 'https://a/' }, tokens)[0] ?? '',
    /^more than one of/,
  );
});

test('tokens: a secret has at least 32 bytes, and stays out of the problems', () => {
  const [problem, ...others] = problems({ JWT_SECRET: 'hush' }, tokens);
  assert.deepEqual(others, []);
  assert.match(problem ?? '', /^JWT_SECRET has 4 bytes: give at least 32/);
  assert.doesNotMatch(problem ?? '', /hush/);
  assert.equal(read({ JWT_SECRET_FILE: fileWith('secret', `${SECRET}\n`) }, tokens).secret, SECRET);
  // One cause, one problem.
  assert.equal(problems({ JWT_SECRET_FILE: join(dir, 'missing') }, tokens).length, 1);
  assert.equal(problems({ JWT_SECRET_FILE: fileWith('empty', '\n') }, tokens).length, 1);
});

test('tokens: the key set comes over https, or from this very machine', () => {
  for (const url of [
    'https://id.example/keys',
    'http://127.0.0.1:9/keys',
    'http://[::1]/k',
    'http://localhost/k',
  ]) {
    assert.equal(read({ JWT_JWKS_URL: url }, tokens).jwksUrl, url);
  }
  for (const url of [
    'http://id.example/keys',
    'id.example/keys',
    'file:///etc/keys',
    'https://me:secret@id.example/keys',
  ]) {
    assert.match(problems({ JWT_JWKS_URL: url }, tokens)[0] ?? '', /^JWT_JWKS_URL is ".*": give an https/);
  }
});

test('tokens: how long fetched keys are used is bounded, and a day where nothing is said', () => {
  const env = { JWT_JWKS_URL: 'https://id.example/keys' };
  assert.equal(read(env, tokens).keysMaxAgeMs, 86_400_000);
  assert.equal(read({ ...env, JWT_KEYS_MAX_AGE_S: '600' }, tokens).keysMaxAgeMs, 600_000);
  for (const seconds of ['0', '-1', '9', '1e9', 'never']) {
    assert.equal(problems({ ...env, JWT_KEYS_MAX_AGE_S: seconds }, tokens).length, 1);
  }
});

test('tokens: a public key must be one, of a kind that signs tokens', () => {
  const pem = (pair: { publicKey: KeyObject }) =>
    pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const ed25519 = generateKeyPairSync('ed25519');
  const good = {
    ed25519: pem(ed25519),
    p256: pem(generateKeyPairSync('ec', { namedCurve: 'P-256' })),
    rsa: pem(generateKeyPairSync('rsa', { modulusLength: 2048 })),
  };
  for (const [name, content] of Object.entries(good)) {
    const path = fileWith(name, content);
    assert.equal(read({ JWT_PUBLIC_KEY_FILE: path }, tokens).publicKeyFile, path);
  }
  const bad = {
    private: ed25519.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    short: pem(generateKeyPairSync('rsa', { modulusLength: 1024 })),
    p384: pem(generateKeyPairSync('ec', { namedCurve: 'P-384' })),
    noise: 'not a key',
    nothing: '',
  };
  for (const [name, content] of Object.entries(bad)) {
    const found = problems({ JWT_PUBLIC_KEY_FILE: fileWith(name, content) }, tokens);
    assert.equal(found.length, 1, name);
    assert.match(found[0] ?? '', /^JWT_PUBLIC_KEY_FILE is ".*": give a PEM file with a public key/);
  }
  assert.equal(problems({ JWT_PUBLIC_KEY_FILE: join(dir, 'missing') }, tokens).length, 1);
});

test('the shell: the ops listener is for this machine alone, unless told', () => {
  const shell = (reader: SettingsReader) => shellSettings(reader, { port: 8080, opsPort: 9080 });
  assert.deepEqual(read({}, shell), {
    host: '0.0.0.0',
    port: 8080,
    opsHost: '127.0.0.1',
    opsPort: 9080,
    logLevel: 'info',
    drainDeadlineMs: 10_000,
    buildCommit: 'unknown',
  });
  assert.equal(read({ HOST: '::' }, shell).opsHost, '127.0.0.1');
  assert.equal(read({ HOST: '::', OPS_HOST: '::1' }, shell).opsHost, '::1');
  assert.equal(problems({ PORT: '65536', OPS_PORT: '-1', LOG_LEVEL: 'loud' }, shell).length, 3);
  assert.ok(!('port' in read({}, (reader) => opsSettings(reader, { opsPort: 9082 }))));
});

test('the partition map is never made up', () => {
  assert.match(problems({}, partitionMapSettings)[0] ?? '', /^PARTITION_MAP_FILE is not set/);
  assert.match(problems({ PARTITION_MAP_FILE: join(dir, 'none') }, partitionMapSettings)[0] ?? '', /ENOENT/);
  const path = fileWith('map.json', '{}');
  assert.deepEqual(read({ PARTITION_MAP_FILE: path }, partitionMapSettings), { partitionMapFile: path });
});
