// node flusher/dist/migrate.js: runs the migrations and prints one line for each step.
//
// With DATABASE_ADMIN_URL it also creates the roles and the database (that of DATABASE_URL, else `whereabouts`). Without
// it, it only runs the migrations, as the role of DATABASE_URL.

import { launch } from '@whereabouts/infra/service/launch';
import { SettingsReader } from '@whereabouts/infra/service/settings';
import { FLUSHER, MIGRATOR, migrate, prepareDatabase, roleUrl } from './database.js';
import { checkPostgresUrl, databaseOf, dropPgEnvironment, postgresSettings } from './postgres-settings.js';

function passwordOf(reader: SettingsReader, name: string, role: string): string {
  const password = reader.secret(name, { about: `with DATABASE_ADMIN_URL: the password to give to ${role}` });
  if (password === undefined) reader.problem(`${name} is not set: give the password that ${role} is to have`);
  return password ?? '';
}

function readSettings(env: NodeJS.ProcessEnv) {
  const reader = new SettingsReader(env);
  const adminUrl = reader.secret('DATABASE_ADMIN_URL', {
    about: 'Postgres as a role that may create roles and databases',
  });
  if (adminUrl === undefined) return reader.finish({ admin: null, postgres: postgresSettings(reader) });
  checkPostgresUrl(reader, 'DATABASE_ADMIN_URL', adminUrl);
  const url = reader.secret('DATABASE_URL', { about: 'the database to create is the one in its path' });
  if (url !== undefined) checkPostgresUrl(reader, 'DATABASE_URL', url);
  const passwords = {
    migrator: passwordOf(reader, 'WHEREABOUTS_MIGRATOR_PASSWORD', MIGRATOR),
    flusher: passwordOf(reader, 'WHEREABOUTS_FLUSHER_PASSWORD', FLUSHER),
  };
  reader.finish({});
  const database = url === undefined ? 'whereabouts' : databaseOf(url);
  const postgres = { connectionString: roleUrl(adminUrl, database, MIGRATOR, passwords.migrator) };
  return reader.finish({ admin: { adminUrl, database, passwords }, postgres });
}

await launch('migrate', async () => {
  const { admin, postgres } = readSettings(process.env);
  dropPgEnvironment(process.env);
  const done =
    admin === null ? [] : await prepareDatabase(admin.adminUrl, admin.database, { ...admin.passwords });
  const ran = await migrate({ ...postgres });
  done.push(...ran.map((name) => `migrated ${name}`));
  if (ran.length === 0) done.push('no migration to run');
  for (const line of done) process.stdout.write(`${line}\n`);
});
