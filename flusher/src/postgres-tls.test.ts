// Postgres over TLS, with certificates made here: by DATABASE_URL, by PG* variables, and the migrations.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chownSync, cpSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { hasOpenssl, TestAuthority } from '@whereabouts/infra/local/testing/certificates';
import { SettingsError, SettingsReader } from '@whereabouts/infra/service/settings';
import { Client } from 'pg';
import { ArchiveError } from './archive-error.js';
import { postgresSettings } from './postgres-settings.js';
import { type ArchiveFixture, startArchive } from './testing/archive-fixture.js';

const MIGRATE = fileURLToPath(new URL('./migrate.js', import.meta.url));

const dir = mkdtempSync(join(tmpdir(), 'whereabouts-pg-tls-'));
after(() => rmSync(dir, { recursive: true }));

function settingsOf(env: NodeJS.ProcessEnv) {
  const reader = new SettingsReader(env);
  return reader.finish({ postgres: postgresSettings(reader) }).postgres;
}

function problemsOf(env: NodeJS.ProcessEnv): readonly string[] {
  try {
    settingsOf(env);
    return [];
  } catch (error) {
    assert.ok(error instanceof SettingsError);
    return error.problems;
  }
}

describe('Postgres over TLS', { skip: !hasOpenssl }, () => {
  let fixture: ArchiveFixture;
  let authority: TestAuthority;
  let other: TestAuthority;

  before(async () => {
    authority = new TestAuthority(dir, 'ours');
    other = new TestAuthority(dir, 'other');
    const { certFile, keyFile } = authority.certificate('postgres', ['DNS:localhost']);
    fixture = await startArchive();
    const { dataDir, adminUrl } = fixture.server;
    const { uid, gid } = statSync(dataDir);
    const admin = new Client({ connectionString: adminUrl });
    await admin.connect();
    // Postgres refuses a key that others can read, so it has to be a file of its own user.
    for (const [setting, file] of [
      ['ssl_cert_file', certFile],
      ['ssl_key_file', keyFile],
    ] as const) {
      const own = join(dataDir, setting);
      cpSync(file, own);
      chownSync(own, uid, gid);
      await admin.query(`ALTER SYSTEM SET ${setting} = '${own}'`);
    }
    await admin.query('ALTER SYSTEM SET ssl = on');
    await admin.end();
    await fixture.server.restart();
  });
  after(() => fixture?.stop());

  const addressed = (host: string, more: Record<string, string>, from = fixture.flusherUrl) => {
    const url = new URL(from);
    url.hostname = host;
    for (const [name, value] of Object.entries(more)) url.searchParams.set(name, value);
    return url.href;
  };
  const whole = (ca: string) => ({ sslmode: 'verify-full', sslrootcert: ca });

  /** How an archive with these settings gets on. */
  async function outcome(env: NodeJS.ProcessEnv): Promise<string> {
    const archive = fixture.archive({ postgres: { ...settingsOf(env) } });
    try {
      await archive.probe('positions');
      return 'answered';
    } catch (error) {
      assert.ok(error instanceof ArchiveError);
      return error.message;
    } finally {
      await archive.close();
    }
  }

  test('DATABASE_URL with verify-full and an authority', async () => {
    const url = addressed('localhost', whole(authority.caFile));
    assert.equal(await outcome({ DATABASE_URL: url }), 'answered');
    const client = new Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
    await client.end();
    assert.deepEqual(rows, [{ ssl: true }]);
  });

  test('PG* variables with verify-full and an authority', async () => {
    const url = new URL(fixture.flusherUrl);
    const env = {
      PGHOST: 'localhost',
      PGPORT: url.port,
      PGUSER: url.username,
      PGPASSWORD: decodeURIComponent(url.password),
      PGSSLMODE: 'verify-full',
    };
    assert.equal(await outcome({ ...env, PGSSLROOTCERT: authority.caFile }), 'answered');
    assert.match(await outcome({ ...env, PGSSLROOTCERT: other.caFile }), /certificate/);
  });

  test('another authority, and another name, are refused and said', async () => {
    const strange = addressed('localhost', whole(other.caFile));
    assert.match(await outcome({ DATABASE_URL: strange }), /certificate/);
    const elsewhere = addressed('127.0.0.1', whole(authority.caFile));
    assert.match(await outcome({ DATABASE_URL: elsewhere }), /IP: 127\.0\.0\.1 is not in the cert/);
  });

  test('the migrations too', async () => {
    const run = (url: string) =>
      new Promise<{ stdout: string; stderr: string }>((resolve) =>
        execFile(
          process.execPath,
          [MIGRATE],
          { env: { DATABASE_URL: url }, timeout: 60_000 },
          (_, stdout, stderr) => resolve({ stdout, stderr }),
        ),
      );
    const url = (ca: string) => addressed('localhost', whole(ca), fixture.migratorUrl);
    assert.equal((await run(url(authority.caFile))).stdout, 'no migration to run\n');
    const refused = await run(url(other.caFile));
    assert.match(`${refused.stdout}${refused.stderr}`, /certificate/);
  });
});

test('what cannot be right is said at the start, without the address', () => {
  const problems = (more: string) =>
    problemsOf({ DATABASE_URL: `postgres://u:hush@db.test/whereabouts?${more}` });
  assert.deepEqual(problems('sslmode=verify-full'), []);
  assert.match(
    problems('sslmode=verify_full').join(),
    /sslmode of DATABASE_URL is "verify_full": give one of disable/,
  );
  assert.match(
    problems('sslmode=verify-full&sslrootcert=/nowhere').join(),
    /sslrootcert of DATABASE_URL .*\/nowhere/,
  );
  assert.doesNotMatch(problems('sslmode=verify_full&sslrootcert=/nowhere').join(), /hush/);
  const host = { PGHOST: 'db.test', PGSSLROOTCERT: '/nowhere' };
  assert.match(problemsOf({ ...host, PGSSLMODE: 'verify-full' }).join(), /PGSSLROOTCERT/);
  assert.match(
    problemsOf({ ...host, PGSSLROOTCERT: MIGRATE }).join(),
    /PGSSLROOTCERT is given, but PGSSLMODE is disable/,
  );
});
