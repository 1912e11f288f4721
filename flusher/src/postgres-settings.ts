// How to reach Postgres: DATABASE_URL, or the PG* variables that every Postgres tool knows.

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
  if (host === undefined) reader.problem('neither DATABASE_URL nor PGHOST is set: give one of them');
  return {
    ...(host === undefined ? {} : { host }),
    port,
    database,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ssl: TLS[sslMode],
  };
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
  }
}

export function databaseOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1));
}
