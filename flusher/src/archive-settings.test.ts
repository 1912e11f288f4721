// Session settings do not change what the archive writes and reads, whether they come from the database, the role, the
// address, or a pooler that lets several clients share a session.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { Client } from 'pg';
import type { Archive } from './archive.js';
import { archivedPosition } from './archived-position.js';
import { FLUSHER } from './database.js';
import { type ArchiveFixture, EXTREMES, startArchive, stored } from './testing/archive-fixture.js';
import { pgbouncer, startPooler } from './testing/pooler.js';

const SETTINGS: Record<string, string> = {
  array_nulls: 'off',
  bytea_output: 'escape',
  client_encoding: 'LATIN1',
  datestyle: 'German, DMY',
  default_transaction_deferrable: 'on',
  default_transaction_isolation: 'serializable',
  extra_float_digits: '-15',
  idle_in_transaction_session_timeout: '1',
  intervalstyle: 'sql_standard',
  lock_timeout: '1',
  search_path: 'nowhere',
  standard_conforming_strings: 'off',
  statement_timeout: '150',
  synchronous_commit: 'off',
  timezone: 'America/St_Johns',
};
/** What a commit has to run under all the same. */
const OURS = {
  lock_timeout: '500ms',
  statement_timeout: '2s',
  synchronous_commit: 'on',
  transaction_isolation: 'read committed',
};

let fixture: ArchiveFixture;
let admin: Client;

before(async () => {
  fixture = await startArchive();
  const url = new URL(fixture.server.adminUrl);
  url.pathname = '/whereabouts';
  admin = new Client({ connectionString: url.href });
  await admin.connect();
  // What a commit runs under; and it takes longer than the database would allow.
  await admin.query(`
    CREATE TABLE seen (name text, setting text);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$ BEGIN
      PERFORM pg_sleep(0.3);
      INSERT INTO seen SELECT name, current_setting(name) FROM unnest('{${Object.keys(OURS).join(',')}}'::text[]) AS name;
      RETURN NULL;
    END $$;
    CREATE TRIGGER see AFTER INSERT ON driver_positions FOR EACH STATEMENT EXECUTE FUNCTION see()`);
});
after(async () => {
  await admin?.end();
  await fixture?.stop();
});
beforeEach(() => admin.query('TRUNCATE driver_positions, checkpoints, flush_progress, seen'));
afterEach(async () => {
  await admin.query(`ALTER DATABASE whereabouts RESET ALL; ALTER ROLE ${FLUSHER} RESET ALL`);
});

const FULL = stored('full', EXTREMES);
const BARE = stored('bare', { recordedAtMs: 1_699_999_999_001 });

/** Each statement of the archive once, with what it has to come to. */
async function assertSame(archive: Archive): Promise<void> {
  const rows = [FULL, BARE].map((position) => ({ partition: 7, position }));
  const progress = { partition: 7, asOfMs: 1_700_000_000_123, flushedAtMs: 0 };
  const first = await archive.commit(rows, [progress]);
  assert.deepEqual([first.written, first.refused, first.behind], [2, [], []]);
  const behind = await archive.commit([], [{ ...progress, flushedAtMs: 1_700_000_000_124 }]);
  assert.deepEqual(behind.behind, [{ partition: 7, asOfMs: 1_700_000_000_123 }]);
  const checkpoint = { ...FULL, checkpointId: 'NULL' };
  assert.deepEqual((await archive.insertCheckpoints([checkpoint, BARE])).written, 2);
  assert.deepEqual((await archive.insertCheckpoints([checkpoint])).written, 0);
  const read = (await archive.readPositions('', 10)).map(archivedPosition);
  for (const [i, given] of [BARE, FULL].entries()) {
    assert.deepEqual(read[i], given);
  }
  await archive.probe('positions');
  await archive.probe('checkpoints');
  assert.deepEqual(await archive.deletePositions(new Date(BARE.recordedAtMs + 1), '', 10), {
    last: 'full',
    deleted: 1,
  });
  assert.equal(await archive.deleteCheckpoints(new Date(0), 10), 0);
  const { rows: seen } = await admin.query('SELECT DISTINCT name, setting FROM seen ORDER BY name');
  assert.deepEqual(Object.fromEntries(seen.map(({ name, setting }) => [name, setting])), OURS);
}

describe('settings', () => {
  test('as Postgres comes', () => assertSame(fixture.archive()));

  for (const owner of ['DATABASE whereabouts', `ROLE ${FLUSHER}`]) {
    test(`of ${owner}`, async () => {
      for (const [name, value] of Object.entries(SETTINGS)) {
        await admin.query(`ALTER ${owner} SET ${name} = '${value}'`);
      }
      await assertSame(fixture.archive());
    });
  }

  test('of the address', async () => {
    const url = new URL(fixture.flusherUrl);
    const { client_encoding: _, ...options } = SETTINGS;
    const given = Object.entries(options).map(([name, value]) => `-c ${name}=${value.replace(/ /g, '\\ ')}`);
    url.searchParams.set('options', given.join(' '));
    await assertSame(fixture.archive({ postgres: { connectionString: url.href } }));
  });
});

if (pgbouncer === undefined) console.log('PgBouncer is not installed: its tests are skipped');

describe('PgBouncer', { skip: pgbouncer === undefined }, () => {
  for (const mode of ['session', 'transaction'] as const) {
    test(`${mode} pooling`, async () => {
      const pooler = await startPooler(fixture.flusherUrl, mode);
      const postgres = { connectionString: pooler.url };
      const [archive, other] = [fixture.archive({ postgres }), new Client(postgres)];
      try {
        await other.connect();
        // In transaction pooling there is one session for all clients, and this stays in it.
        for (const [name, value] of Object.entries(SETTINGS)) await other.query(`SET ${name} = '${value}'`);
        await assertSame(archive);
        const { rows } = await other.query(`SELECT current_setting('extra_float_digits') AS digits`);
        assert.equal(rows[0]?.digits, '-15', 'and nothing of ours stays in theirs');
      } finally {
        await other.end();
        await archive.close();
        await pooler.stop();
      }
    });
  }
});
