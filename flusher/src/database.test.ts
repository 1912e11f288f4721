// The migrations as a person or a deployment runs them: node flusher/dist/migrate.js on a fresh server.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  type PostgresServer,
  removePostgresData,
  startPostgres,
} from '@whereabouts/infra/local/postgres-server';
import { Client } from 'pg';
import { FLUSHER, MIGRATOR, migrate, roleUrl } from './database.js';

const MIGRATE = fileURLToPath(new URL('./migrate.js', import.meta.url));
const DATABASE = 'odd "name"';

let dir: string;
let server: PostgresServer;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'whereabouts-migrate-'));
  server = await startPostgres({ dir });
});
after(async () => {
  await server.stop();
  await removePostgresData(dir);
});

function run(env: NodeJS.ProcessEnv): Promise<{ code: number; lines: string[]; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MIGRATE], { env, timeout: 60_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code);
      resolve({ code, lines: stdout.split('\n').filter((line) => line !== ''), stderr });
    });
  });
}

const adminEnv = (flusherPassword: string) => ({
  DATABASE_ADMIN_URL: server.adminUrl,
  DATABASE_URL: `postgres://ignored@127.0.0.1/${encodeURIComponent(DATABASE)}`,
  WHEREABOUTS_MIGRATOR_PASSWORD: 'm%/@',
  WHEREABOUTS_FLUSHER_PASSWORD: flusherPassword,
});
const migratorUrl = () => roleUrl(server.adminUrl, DATABASE, MIGRATOR, 'm%/@');

async function whoAmI(url: string): Promise<string> {
  const client = new Client({ connectionString: url });
  try {
    await client.connect();
    return (await client.query('SELECT current_user AS me')).rows[0].me;
  } finally {
    await client.end();
  }
}

test('several at once make each thing once', async () => {
  const runs = await Promise.all([1, 2, 3].map(() => run(adminEnv('first'))));
  assert.deepEqual(
    runs.map(({ code, stderr }) => [code, stderr]),
    [
      [0, ''],
      [0, ''],
      [0, ''],
    ],
  );
  const lines = runs.flatMap((done) => done.lines).filter((line) => line !== 'no migration to run');
  assert.deepEqual(lines.sort(), [
    `created database ${DATABASE}`,
    `created role ${FLUSHER}`,
    `created role ${MIGRATOR}`,
    'migrated 0001_driver_positions',
  ]);
});

test('again it changes nothing but the passwords', async () => {
  assert.deepEqual(await run(adminEnv('second')), { code: 0, lines: ['no migration to run'], stderr: '' });
  await assert.rejects(whoAmI(roleUrl(server.adminUrl, DATABASE, FLUSHER, 'first')), { code: '28P01' });
  assert.equal(await whoAmI(roleUrl(server.adminUrl, DATABASE, FLUSHER, 'second')), FLUSHER);
});

test('without an administrator it only migrates', async () => {
  const { code, lines } = await run({ DATABASE_URL: migratorUrl() });
  assert.deepEqual([code, lines], [0, ['no migration to run']]);
});

test('down and up again', async () => {
  const config = { connectionString: migratorUrl() };
  assert.deepEqual(await migrate(config, 'down'), ['0001_driver_positions']);
  assert.deepEqual(await migrate(config), ['0001_driver_positions']);
});

test('bad settings are told all at once, without a secret', async () => {
  const { code, lines, stderr } = await run({
    DATABASE_ADMIN_URL: 'http://u:hush@x/y',
    DATABASE_URL: 'hush',
  });
  assert.equal(code, 78);
  assert.deepEqual(lines, []);
  for (const name of [
    'DATABASE_ADMIN_URL',
    'DATABASE_URL',
    'WHEREABOUTS_MIGRATOR_PASSWORD',
    'WHEREABOUTS_FLUSHER_PASSWORD',
  ]) {
    assert.match(stderr, new RegExp(`- ${name} is`), name);
  }
  assert.doesNotMatch(stderr, /hush/);
  assert.match((await run({})).stderr, /neither DATABASE_URL nor PGHOST/);
});
