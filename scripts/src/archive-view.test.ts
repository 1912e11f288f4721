import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  type PostgresServer,
  removePostgresData,
  startPostgres,
} from '@whereabouts/infra/local/postgres-server';
import pg from 'pg';
import { lookIntoArchive } from './archive-view.js';
import { root } from './home.js';

let dir: string;
let server: PostgresServer;
let admin: pg.Client;
let flusherUrl: string;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'whereabouts-view-'));
  server = await startPostgres({ dir });
  execFileSync(process.execPath, [join(root, 'flusher', 'dist', 'migrate.js')], {
    env: {
      DATABASE_ADMIN_URL: server.adminUrl,
      WHEREABOUTS_MIGRATOR_PASSWORD: 'migrator',
      WHEREABOUTS_FLUSHER_PASSWORD: 'flusher',
    },
  });
  admin = new pg.Client({ connectionString: server.adminUrl.replace(/postgres$/, 'whereabouts') });
  await admin.connect();
  flusherUrl = `postgres://whereabouts_flusher:flusher@127.0.0.1:${server.port}/whereabouts`;
});
after(async () => {
  await admin?.end();
  await server?.stop();
  await removePostgresData(dir);
});

async function insert(id: string, recordedAt: string): Promise<void> {
  const columns = 'driver_id, services, session, seq, recorded_at, lat, lon, status';
  const values = [id, 0, 281_474_976_710_655, 1, recordedAt, 52.2297001, -179.9999999, 'busy'];
  await admin.query(
    `INSERT INTO driver_positions (map_hash, partition, ${columns})
    VALUES ('m', 0, $1, $2, $3, $4, $5, $6, $7, $8)`,
    values,
  );
  await admin.query(`INSERT INTO checkpoints (${columns}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, values);
}

test('whatever the database sets and the environment says, it reads the same', async () => {
  await insert('anna', '2026-11-23T16:12:37.061Z');
  for (const [name, value] of [
    ['datestyle', 'German, DMY'],
    ['timezone', 'Asia/Kathmandu'],
    ['extra_float_digits', '-15'],
    ['search_path', 'nowhere'],
  ]) {
    await admin.query(`ALTER DATABASE whereabouts SET ${name} = '${value}'`);
  }
  Object.assign(process.env, {
    PGOPTIONS: '-c datestyle=SQL',
    PGSSLMODE: 'require',
    PGPORT: '1',
    PGBINARY: '1',
  });
  const { row, checkpoints, checkpointCount } = await lookIntoArchive(flusherUrl, 'anna');
  assert.equal(checkpointCount, 1);
  for (const seen of [row, checkpoints[0]]) {
    const { recorded_at, lat, lon, session } = seen ?? {};
    assert.deepEqual(
      [recorded_at, lat, lon, session],
      ['2026-11-23T16:12:37.061Z', 52.2297001, -179.9999999, '281474976710655'],
    );
  }
  await admin.query('ALTER DATABASE whereabouts RESET ALL');
});

test('times that are none are shown as they stand', async () => {
  for (const time of ['infinity', '-infinity', '0044-03-15 12:00:00+00 BC', '294276-12-31 23:59:59+00']) {
    await insert(`at${time.slice(0, 3)}`, time);
    const { row, checkpoints } = await lookIntoArchive(flusherUrl, `at${time.slice(0, 3)}`);
    assert.deepEqual([row?.recorded_at, checkpoints[0]?.recorded_at], [time, time]);
  }
});

test('a driver without a row', async () => {
  assert.deepEqual(await lookIntoArchive(flusherUrl, 'nobody'), {
    row: null,
    checkpoints: [],
    checkpointCount: 0,
  });
});
