// The settings that more than one service reads, each group once, with its defaults and their relations.

import { createPublicKey, type KeyObject } from 'node:crypto';
import { LOG_LEVELS, type LogLevel } from './log.js';
import { algorithmOf } from './public-keys.js';
import { type RedisTls, redisTlsSettings } from './redis-tls.js';
import type { SettingsReader } from './settings-reader.js';
import type { TokenSettings } from './tokens.js';

export { SettingsError, SettingsReader } from './settings-reader.js';

export interface RedisSettings {
  redisUrls: string[];
  username?: string;
  password?: string;
  /** Without it in plain text. */
  tls?: RedisTls;
  commandTimeoutMs: number;
  connectTimeoutMs: number;
  socketTimeoutMs: number;
}

export interface OpsSettings {
  opsHost: string;
  opsPort: number;
  logLevel: LogLevel;
  drainDeadlineMs: number;
  buildCommit: string;
}

export interface ShellSettings extends OpsSettings {
  host: string;
  port: number;
}

// A frozen master that wakes up acknowledges what had queued up, and loses it if a replica has been promoted
// meanwhile. So a command is given up before the earliest promotion: 600 ms after a first time-out.
const MAX_COMMAND_TIMEOUT_MS = 600;
// RFC 7518, 3.2: an HS256 key has at least the size of the hash.
const MIN_SECRET_BYTES = 32;
const PORT_RANGE = { min: 0, max: 65_535 };
const LOOPBACK_HOSTS = ['localhost', '127.0.0.1', '[::1]'];

export function redisSettings(reader: SettingsReader): RedisSettings {
  const redisUrls = reader.list('REDIS_URL', {
    about:
      'some nodes of the Redis Cluster, redis://HOST:PORT or with TLS rediss://HOST:PORT, separated by commas; ' +
      'the others are found',
    // No credentials in it: addresses are logged.
    pattern: /^rediss?:\/\/([\w.-]+|\[[\da-fA-F:]+\]):\d{1,5}\/?$/,
    hint: 'redis://HOST:PORT or rediss://HOST:PORT, several separated by commas (credentials: REDIS_USERNAME, REDIS_PASSWORD)',
  });
  const username = reader.optionalString('REDIS_USERNAME', { about: 'the Redis ACL user' });
  const password = reader.secret('REDIS_PASSWORD', { about: 'the password of the Redis user' });
  if (username !== undefined && password === undefined) {
    reader.problem('REDIS_USERNAME is set without a password: give REDIS_PASSWORD or REDIS_PASSWORD_FILE');
  }
  const tls = redisTlsSettings(reader, redisUrls);
  const commandTimeoutMs = reader.integer('REDIS_COMMAND_TIMEOUT_MS', {
    default: 300,
    min: 20,
    max: MAX_COMMAND_TIMEOUT_MS,
    about: 'a Redis call without an answer is given up after this',
  });
  const connectTimeoutMs = reader.integer('REDIS_CONNECT_TIMEOUT_MS', {
    default: 500,
    min: 20,
    max: 60_000,
    about: 'a connection to a Redis node that is not made is given up after this',
  });
  const socketTimeoutMs = reader.integer('REDIS_SOCKET_TIMEOUT_MS', {
    default: 500,
    min: 20,
    max: 60_000,
    about: 'a Redis connection that waits for an answer and hears nothing is closed after this',
  });
  if (socketTimeoutMs < commandTimeoutMs) {
    reader.problem(
      `REDIS_SOCKET_TIMEOUT_MS is ${socketTimeoutMs} and REDIS_COMMAND_TIMEOUT_MS ${commandTimeoutMs}: ` +
        'give a socket time-out that is not below the command time-out',
    );
  }
  return {
    redisUrls,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
    commandTimeoutMs,
    connectTimeoutMs,
    socketTimeoutMs,
  };
}

export function tokenSettings(reader: SettingsReader, defaultAudience: string): TokenSettings {
  const jwksUrl = reader.optionalString('JWT_JWKS_URL', {
    about: 'where the token issuer publishes its keys',
  });
  const publicKey = reader.optionalFile('JWT_PUBLIC_KEY_FILE', {
    about: "a PEM file with the token issuer's public key (RSA, P-256 or Ed25519)",
  });
  const secret = reader.secret('JWT_SECRET', {
    about: `the HS256 key of the tokens, at least ${MIN_SECRET_BYTES} bytes`,
  });
  const keysMaxAgeS = reader.integer('JWT_KEYS_MAX_AGE_S', {
    default: 86_400,
    min: 10,
    max: 30 * 86_400,
    about: "with JWT_JWKS_URL: how long the issuer's keys are used while it cannot be reached",
  });
  const sources = {
    ...(jwksUrl === undefined ? {} : { jwksUrl }),
    ...(publicKey === undefined ? {} : { publicKeyFile: publicKey.path }),
    ...(secret === undefined ? {} : { secret }),
  };
  const given = Object.keys(sources).length;
  if (given !== 1) {
    const names = 'JWT_JWKS_URL, JWT_PUBLIC_KEY_FILE, JWT_SECRET (or JWT_SECRET_FILE)';
    reader.problem(`${given === 0 ? 'none' : 'more than one'} of ${names} is set: give exactly one`);
  }
  if (jwksUrl !== undefined && !isKeySetUrl(jwksUrl)) {
    reader.refuse(
      'JWT_JWKS_URL',
      jwksUrl,
      'an https address without credentials (http only on this very machine)',
    );
  }
  if (publicKey && publicKey.content !== null) checkPublicKey(reader, publicKey.path, publicKey.content);
  // An empty one comes from a file that has its problem already.
  if (secret && Buffer.byteLength(secret) < MIN_SECRET_BYTES) {
    reader.problem(
      `JWT_SECRET has ${Buffer.byteLength(secret)} bytes: give at least ${MIN_SECRET_BYTES}, from a random source`,
    );
  }
  return {
    ...sources,
    ...(jwksUrl === undefined ? {} : { keysMaxAgeMs: keysMaxAgeS * 1000 }),
    issuer: reader.string('JWT_ISSUER', { default: 'whereabouts', about: 'the `iss` that tokens must have' }),
    audience: reader.string('JWT_AUDIENCE', {
      default: defaultAudience,
      about: 'the `aud` that tokens must have',
    }),
  };
}

/** For a service without a port of its own but the ops listener's. */
export function opsSettings(reader: SettingsReader, defaults: { opsPort: number }): OpsSettings {
  return {
    opsHost: reader.string('OPS_HOST', {
      default: '127.0.0.1',
      about: 'the address of the ops listener: this machine alone, unless told',
    }),
    opsPort: reader.integer('OPS_PORT', {
      default: defaults.opsPort,
      ...PORT_RANGE,
      about: 'the port of /livez, /readyz and /metrics; 0 for any free one',
    }),
    logLevel: reader.choice('LOG_LEVEL', {
      values: LOG_LEVELS,
      default: 'info',
      about: `the least that is logged: ${LOG_LEVELS.join(', ')}`,
    }),
    drainDeadlineMs: reader.integer('DRAIN_DEADLINE_MS', {
      default: 10_000,
      min: 100,
      max: 600_000,
      about: 'how long a stopping service may take to finish its work',
    }),
    buildCommit: reader.string('BUILD_COMMIT', {
      default: 'unknown',
      about: 'the commit that this build was made of, for the build-info metric',
    }),
  };
}

export function shellSettings(
  reader: SettingsReader,
  defaults: { port: number; opsPort: number },
): ShellSettings {
  const host = reader.string('HOST', { default: '0.0.0.0', about: 'the address to listen on' });
  const port = reader.integer('PORT', {
    default: defaults.port,
    ...PORT_RANGE,
    about: 'the port to serve on; 0 for any free one',
  });
  return { ...opsSettings(reader, defaults), host, port };
}

export function partitionMapSettings(reader: SettingsReader): { partitionMapFile: string } {
  return { partitionMapFile: reader.file('PARTITION_MAP_FILE', { about: 'the partition map (JSON)' }) };
}

/** With plain http somebody else could answer for the issuer and sign for any driver, so it is for loopback only. */
function isKeySetUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  // `fetch` takes no credentials in an address, and addresses are logged.
  if (url.username !== '' || url.password !== '') return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK_HOSTS.includes(url.hostname));
}

function checkPublicKey(reader: SettingsReader, path: string, content: string): void {
  const allowed = 'a PEM file with a public key: RSA of at least 2048 bits, P-256 or Ed25519';
  let key: KeyObject;
  try {
    key = createPublicKey(content);
  } catch {
    reader.refuse('JWT_PUBLIC_KEY_FILE', path, allowed);
    return;
  }
  // Node takes the public half of a private key, which has no business on this machine.
  if (content.includes('PRIVATE KEY') || algorithmOf(key) === null) {
    reader.refuse('JWT_PUBLIC_KEY_FILE', path, allowed);
  }
}
