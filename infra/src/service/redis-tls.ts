// TLS to Redis, selected by the scheme `rediss` of REDIS_URL. The certificate of each node is always verified: by the
// system's authorities or those of REDIS_TLS_CA_FILE, and for the node's name (node-names.ts says which).

import { createSecureContext } from 'node:tls';
import type { SettingsReader } from './settings-reader.js';

export interface RedisTls {
  /** PEM, like the next two; without it Node's built-in authorities. */
  ca?: string;
  cert?: string;
  key?: string;
  /** The name that all certificates must have, whatever the nodes are called. */
  serverName?: string;
}

const NAMES = ['REDIS_TLS_CA_FILE', 'REDIS_TLS_CERT_FILE', 'REDIS_TLS_KEY_FILE', 'REDIS_TLS_SERVER_NAME'];

/** Undefined: without TLS. */
export function redisTlsSettings(reader: SettingsReader, redisUrls: readonly string[]): RedisTls | undefined {
  const file = (name: string, about: string) => reader.optionalFile(name, { about });
  const ca = file(
    'REDIS_TLS_CA_FILE',
    'with rediss: a PEM file with the authorities that may sign the certificates of the nodes',
  );
  const cert = file('REDIS_TLS_CERT_FILE', 'with rediss: a PEM file with our own certificate');
  const key = file('REDIS_TLS_KEY_FILE', 'with rediss: a PEM file with its key');
  const serverName = reader.optionalString('REDIS_TLS_SERVER_NAME', {
    about: 'with rediss: the name that every node has in its certificate',
    pattern: /^[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/,
    hint: 'a host name, not an address',
  });
  const secure = redisUrls.filter((url) => url.startsWith('rediss:')).length;
  if (secure > 0 && secure < redisUrls.length)
    reader.problem('REDIS_URL has addresses with and without TLS: give all as rediss: or all as redis:');
  if (secure === 0) {
    const given = [ca, cert, key, serverName].flatMap((value, i) => (value === undefined ? [] : [NAMES[i]]));
    if (given.length > 0 && redisUrls.length > 0)
      reader.problem(`${given.join(', ')} given, but REDIS_URL is without TLS: give rediss://HOST:PORT`);
    return undefined;
  }
  if ((cert === undefined) !== (key === undefined))
    reader.problem('REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE belong together: give both or neither');
  const content = (name: string, given: typeof ca) =>
    given?.content == null ? {} : { [name]: given.content };
  const pems = { ...content('ca', ca), ...content('cert', cert), ...content('key', key) };
  checkPems(reader, pems);
  return { ...pems, ...(serverName === undefined ? {} : { serverName }) };
}

function checkPems(reader: SettingsReader, pems: Omit<RedisTls, 'serverName'>): void {
  // OpenSSL treats a file of authorities without a certificate as an empty list.
  if (pems.ca !== undefined && !pems.ca.includes('-----BEGIN CERTIFICATE-----'))
    reader.problem('REDIS_TLS_CA_FILE holds no certificate: give a PEM file');
  try {
    createSecureContext(pems);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    reader.problem(`the files of REDIS_TLS_CA_FILE, REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE: ${why}`);
  }
}
