// How to reach Postgres: DATABASE_URL, or the PG* variables that every Postgres tool knows.

import { accessSync, constants } from 'node:fs';
import type { SettingsReader } from '@whereabouts/infra/service/settings';
import type { ClientConfig } from 'pg';

/** As pg takes these modes. */
const TLS = {
  disable: false,
  prefer: true,
  require: true,
  'verify-ca': true,
  'verify-full': true,
  'no-verify': { rejectUnauthorized: false },
} as const;

/** With DATABASE_URL the PG* variables are not read: a stray one may be meant for another program. */
export function postgresSettings(reader: SettingsReader): ClientConfig {
  const url = reader.secret('DATABASE_URL', { about: 'postgres://USER:PASSWORD@HOST:PORT/DATABASE' });
  if (url !== undefined) {
    checkPostgresUrl(reader, 'DATABASE_URL', url);
    return { connectionString: url };
  }
  const host = reader.optionalString('PGHOST', {
    about: 'the host of Postgres, where DATABASE_URL is not set',
  });
  const port = reader.integer('PGPORT', {
    default: 5432,
    min: 1,
    max: 65_535,
    about: 'with PGHOST: its port',
  });
  const database = reader.string('PGDATABASE', {
    default: 'whereabouts',
    about: 'with PGHOST: the database',
  });
  const user = reader.optionalString('PGUSER', { about: 'with PGHOST: the role' });
  const password = reader.secret('PGPASSWORD', { about: 'with PGHOST: its password' });
  const sslMode = reader.choice('PGSSLMODE', {
    values: Object.keys(TLS) as (keyof typeof TLS)[],
    default: 'disable',
    about: 'with PGHOST: TLS or not; all but `disable` and `no-verify` verify the certificate',
  });
  const ssl = tlsSettings(reader, sslMode);
  if (host === undefined) reader.problem('neither DATABASE_URL nor PGHOST is set: give one of them');
  return {
    ...(host === undefined ? {} : { host }),
    port,
    database,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ssl,
  };
}

type Ssl = boolean | Exclude<ClientConfig['ssl'], undefined>;

function tlsSettings(reader: SettingsReader, mode: keyof typeof TLS): Ssl {
  const file = (name: string, about: string) => reader.optionalFile(name, { about: `with PGHOST: ${about}` });
  const ca = file('PGSSLROOTCERT', "a PEM file with the authorities that may sign the server's certificate");
  const cert = file('PGSSLCERT', 'a PEM file with our own certificate');
  const key = file('PGSSLKEY', 'a PEM file with its key');
  if ((cert === undefined) !== (key === undefined))
    reader.problem('PGSSLCERT and PGSSLKEY belong together: give both or neither');
  const given = { ca: ca?.content, cert: cert?.content, key: key?.content };
  const files = Object.fromEntries(Object.entries(given).filter(([, content]) => content != null));
  if (mode === 'disable') {
    const names = [ca && 'PGSSLROOTCERT', cert && 'PGSSLCERT', key && 'PGSSLKEY'].filter(Boolean).join(', ');
    if (names !== '') reader.problem(`${names} is given, but PGSSLMODE is disable: give verify-full`);
    return false;
  }
  const verifies = TLS[mode];
  if (Object.keys(files).length === 0) return verifies === true ? true : { ...verifies };
  return { ...files, ...(verifies === true ? {} : verifies) };
}

/** To be called once the settings are read: what is left out of an address, pg would look up there. */
export function dropPgEnvironment(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(env)) if (/^PG[A-Z_]+$/.test(name)) delete env[name];
}

/** Never shows the address: it holds a password. An empty one comes from a file that has its problem already. */
export function checkPostgresUrl(reader: SettingsReader, name: string, url: string): void {
  if (url === '') return;
  const isUrl = URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol);
  if (!isUrl || databaseOf(url) === '') {
    reader.problem(`${name} is not an address of Postgres: give postgres://USER:PASSWORD@HOST:PORT/DATABASE`);
    return;
  }
  const parameters = new URL(url).searchParams;
  const mode = parameters.get('sslmode');
  if (mode !== null && !(mode in TLS)) {
    reader.problem(`sslmode of ${name} is "${mode}": give one of ${Object.keys(TLS).join(', ')}`);
  }
  for (const parameter of ['sslrootcert', 'sslcert', 'sslkey']) {
    const path = parameters.get(parameter);
    if (path !== null && !isReadable(path)) reader.problem(`${parameter} of ${name} cannot be read: ${path}`);
  }
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

export function databaseOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1));
}
