// The flusher as a process among real servers: killed at each of its steps, several at once, Postgres away.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { batchOf } from '@whereabouts/infra/live-store/testing/log-fixture';
import { validatePosition } from '@whereabouts/infra/position';
import { Client } from 'pg';
import { FAILPOINTS } from './failpoint.js';
import { statusOf } from './partition-status.js';
import { stored } from './testing/archive-fixture.js';
import { type Flusher, type Stack, startStack, until } from './testing/flusher-process.js';
import { pgbouncer, startPooler } from './testing/pooler.js';
import { differences, Fleet } from './testing/truth.js';

let stack: Stack;
let seed = 0;

before(async () => {
  stack = await startStack();
  await watchForSteps();
});
after(() => stack.stop());
beforeEach(async () => {
  // Where a test failed before it had started Postgres again, the others need not fail with it.
  await stack.postgres.sql('SELECT').catch(() => stack.postgres.server.restart());
  await stack.postgres.sql('TRUNCATE driver_positions, checkpoints, flush_progress, backward');
  await stack.postgres.sql('ALTER TABLE checkpoints DROP CONSTRAINT IF EXISTS odd');
  for (const partition of [0, 32, 63]) await stack.redis.command(partition, 'FLUSHALL');
});

const newFleet = (drivers: number) => {
  console.log(`seed ${++seed}`);
  return new Fleet(stack.redis.store, { drivers, seed });
};
const wrong = (fleet: Fleet) => differences(fleet.newest, (text) => stack.postgres.sql(text));
const statuses = () =>
  Promise.all(Array.from({ length: stack.redis.map.partitions }, (_, i) => statusOf(stack.redis.store, i)));

/** Whatever goes back in the archive leaves a row in `backward`. */
async function watchForSteps(): Promise<void> {
  await stack.postgres.sql(`
    CREATE TABLE backward (what text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
      'BEGIN INSERT INTO backward VALUES (TG_TABLE_NAME || '': '' || OLD::text || '' -> '' || NEW::text); RETURN NEW; END';
    CREATE TRIGGER positions BEFORE UPDATE ON driver_positions FOR EACH ROW
      WHEN ((NEW.session, NEW.recorded_at) <= (OLD.session, OLD.recorded_at)) EXECUTE FUNCTION note();
    CREATE TRIGGER progress BEFORE UPDATE ON flush_progress FOR EACH ROW
      WHEN (NEW.as_of < OLD.as_of) EXECUTE FUNCTION note()`);
}

async function assertArrived(fleet: Fleet): Promise<void> {
  await until('everything is flushed', async () =>
    (await statuses()).every(({ dirtySinceMs }) => dirtySinceMs === null),
  );
  assert.deepEqual(await wrong(fleet), []);
  assert.deepEqual(await stack.postgres.sql('SELECT * FROM backward'), []);
}

/** One of the commands, as a person runs it. */
function command(name: 'rewind' | 'refused', ...args: string[]): Promise<{ code: number; stdout: string }> {
  const script = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], { env: stack.env }, (error, stdout) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout });
    });
  });
}
const rewind = (...args: string[]) => command('rewind', ...args);

const readyz = async (flusher: Flusher) => (await flusher.get('/readyz?verbose')).text;
const checkpointCount = async () => (await stack.postgres.sql('SELECT FROM checkpoints')).length;
const checkpointOf = (driverId: string) =>
  validatePosition(
    {
      seq: 1,
      recordedAtMs: Date.now() - 3_600_000,
      lat: 52.2,
      lon: 21,
      checkpoint: true,
      checkpointId: `trip-${driverId}`,
    },
    driverId,
    1,
  );

/** Statements for who may do everything, one after the other. */
async function admin(statements: string): Promise<void> {
  const url = new URL(stack.postgres.server.adminUrl);
  url.pathname = '/whereabouts';
  const client = new Client({ connectionString: url.href });
  await client.connect();
  await client.query('SET default_transaction_read_only = off');
  await client.query(statements).finally(() => client.end());
}

async function stop(flusher: Flusher): Promise<void> {
  flusher.kill('SIGTERM');
  assert.deepEqual(await flusher.exited, { code: 0, signal: null });
}

describe('killed', () => {
  for (const failpoint of FAILPOINTS) {
    test(`${failpoint}: nothing is lost, nothing goes back`, async () => {
      const fleet = newFleet(6_000);
      await fleet.report();
      const victim = stack.flusher({ WHEREABOUTS_FAILPOINT: failpoint });
      assert.deepEqual(await victim.exited, { code: null, signal: 'SIGKILL' });
      await fleet.report();
      const survivor = stack.flusher();
      await assertArrived(fleet);
      await stop(survivor);
    });
  }

  test('again and again at any moment, among two others', async () => {
    const fleet = newFleet(3_000);
    const others = [stack.flusher(), stack.flusher()];
    for (let round = 0; round < 6; round++) {
      const victim = stack.flusher({ FLUSH_INTERVAL_MS: '100' });
      await victim.logged('flusher is running');
      await fleet.report();
      await until('it has flushed something', async () => (await victim.metric('flushes_total')) > round);
      victim.kill('SIGKILL');
      await fleet.report();
    }
    await assertArrived(fleet);
    for (const other of others) await stop(other);
  });
});

test('two at once share the partitions', async () => {
  const flushers = [stack.flusher(), stack.flusher()];
  await Promise.all(flushers.map((flusher) => flusher.logged('flusher is running')));
  const fleet = newFleet(4_000);
  for (let round = 0; round < 10; round++) await fleet.report();
  await assertArrived(fleet);
  await until('both have flushed something', async () => {
    const counts = await Promise.all(flushers.map((flusher) => flusher.metric('flushes_total')));
    return counts.every((count) => count > 0);
  });
  for (const flusher of flushers) await stop(flusher);
});

test('SIGTERM flushes what is dirty, and gives every lease back', async () => {
  const flusher = stack.flusher({ FLUSH_INTERVAL_MS: '60000', LOSS_BUDGET_MS: '600000' });
  await flusher.logged('flusher is running');
  await until('the first flush', async () => (await statuses()).every(({ flushedAtMs }) => flushedAtMs > 0));
  const fleet = newFleet(7_000);
  await fleet.report();
  assert.equal((await wrong(fleet)).length, 7_000);
  await stop(flusher);
  await assertArrived(fleet);
  for (let i = 0; i < 64; i++) await stack.redis.store.begin(i, 'next', 1);
});

test('Postgres away: said everywhere, ready all the same, caught up when it is back', async () => {
  const flusher = stack.flusher({ LOSS_BUDGET_MS: '1000' });
  const fleet = newFleet(2_000);
  await fleet.report();
  await assertArrived(fleet);
  await stack.postgres.server.stop();
  await fleet.report();
  await flusher.logged('Postgres is away: positions stay in the cache');
  await until('the alarm', async () => (await flusher.metric('loss_budget_exceeded')) === 1);
  await flusher.logged('the loss window is above its budget');
  const { status, text } = await flusher.get('/readyz?verbose');
  assert.equal(status, 200);
  assert.match(text, /"name":"postgres","ok":false,"detail":"away for/);
  assert.match(text, /"name":"loss window","ok":false/);
  assert.equal(await flusher.metric('archive_up'), 0);
  assert.ok((await flusher.metric('loss_window_seconds')) >= 1);
  assert.ok((await flusher.metric('unflushed_positions')) > 0);
  await fleet.report();
  await stack.postgres.server.restart();
  await assertArrived(fleet);
  await flusher.logged('the loss window is within its budget again');
  assert.equal(await flusher.metric('archive_up'), 1);
  assert.ok((await flusher.metric('archive_failures_total')) < 50, 'backs off');
  const [accepted, written] = [
    await flusher.metric('positions_accepted_total'),
    await flusher.metric('rows_written_total'),
  ];
  assert.ok(accepted > written && written >= 4_000, `${accepted} accepted, ${written} written`);
  await stop(flusher);
});

test('Postgres away at the end: it tries until its deadline, says what is left, and loses nothing', async () => {
  const flusher = stack.flusher({
    DRAIN_DEADLINE_MS: '2000',
    FLUSH_INTERVAL_MS: '60000',
    LOSS_BUDGET_MS: '600000',
  });
  await flusher.logged('flusher is running');
  const fleet = newFleet(500);
  await fleet.report();
  await stack.redis.store.checkpoint(7, [checkpointOf('a'), checkpointOf('b'), checkpointOf('c')]);
  await stack.postgres.server.stop();
  flusher.kill('SIGTERM');
  assert.deepEqual(await flusher.exited, { code: 1, signal: null });
  const last = flusher.lines.at(-1) as { level: string; err: { message: string } };
  assert.equal(last.level, 'error');
  assert.match(
    last.err.message,
    /^not in Postgres: \d\d partitions, about 5\d\d positions, 3 checkpoints\. They stay in the cache/,
  );
  await stack.postgres.server.restart();
  const next = stack.flusher();
  await assertArrived(fleet);
  await stop(next);
});

test('refused to the end: what is left is said, and it does not wait in vain', async () => {
  const flusher = stack.flusher({ DRAIN_DEADLINE_MS: '60000' });
  const fleet = newFleet(200);
  await stack.postgres.sql(`ALTER TABLE driver_positions ADD CONSTRAINT odd CHECK (driver_id <> 'd7')`);
  await stack.postgres.sql(`ALTER TABLE checkpoints ADD CONSTRAINT odd CHECK (driver_id <> 'a')`);
  try {
    await fleet.report();
    await stack.redis.store.checkpoint(7, [checkpointOf('a'), checkpointOf('b')]);
    await until('both are told', async () =>
      /1 positions and 1 checkpoints are refused/.test(await readyz(flusher)),
    );
    const since = performance.now();
    flusher.kill('SIGTERM');
    assert.equal((await flusher.exited).code, 1);
    assert.ok(performance.now() - since < 30_000);
    const { err } = flusher.lines.at(-1) as { err: { message: string } };
    assert.match(err.message, /^not in Postgres: 0 partitions, about 1 positions, 1 checkpoints\./);
  } finally {
    await stack.postgres.sql('ALTER TABLE driver_positions DROP CONSTRAINT odd');
    await stack.postgres.sql('ALTER TABLE checkpoints DROP CONSTRAINT odd');
  }
  const next = stack.flusher();
  await until(
    'the next one brings them',
    async () => (await wrong(fleet)).length === 0 && (await checkpointCount()) === 2,
  );
  await stop(next);
});

test('refused until just before the end: it tries once more', async () => {
  const flusher = stack.flusher();
  const fleet = newFleet(200);
  await stack.postgres.sql(`ALTER TABLE driver_positions ADD CONSTRAINT odd CHECK (driver_id <> 'd7')`);
  await fleet.report();
  await until('it is refused', async () => (await flusher.metric('refused_positions')) === 1);
  await until('nothing is dirty', async () =>
    (await statuses()).every(({ dirtySinceMs }) => dirtySinceMs === null),
  );
  await stack.postgres.sql('ALTER TABLE driver_positions DROP CONSTRAINT odd');
  await stop(flusher);
  assert.deepEqual(await wrong(fleet), []);
});

test('who is refused is listed, and goes by command alone', async () => {
  await stack.postgres.sql(
    `ALTER TABLE driver_positions ADD CONSTRAINT odd CHECK (driver_id NOT IN ('d7', 'd9'))`,
  );
  try {
    const flusher = stack.flusher();
    await newFleet(200).report();
    await until('they are refused', async () => (await flusher.metric('refused_positions')) === 2);
    assert.deepEqual(await command('refused', '--driver', 'd8'), { code: 0, stdout: '' });
    const { stdout } = await command('refused', '--json');
    const listed = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(listed.map(({ driver_id, dropped }) => [driver_id, dropped]).sort(), [
      ['d7', false],
      ['d9', false],
    ]);
    const dropped = await command('refused', '--driver', 'd7', '--drop');
    assert.match(dropped.stdout, /^partition \d+ {2}d7 {2}\S+Z {2}\S+, \S+ {2}dropped\n$/);
    await until('one is left', async () => (await flusher.metric('refused_positions')) === 1);
    assert.equal((await command('refused', '--everything')).code, 64);
    assert.equal((await command('refused', '--drop')).code, 0);
    assert.deepEqual(await command('refused'), { code: 0, stdout: '' });
    await until('none is left', async () => (await flusher.metric('refused_positions')) === 0);
    await stop(flusher);
  } finally {
    await stack.postgres.sql('ALTER TABLE driver_positions DROP CONSTRAINT odd');
  }
});

test('Postgres restored from an older copy is filled again', async () => {
  const flusher = stack.flusher();
  const fleet = newFleet(1_000);
  await fleet.report();
  await assertArrived(fleet);
  await stack.postgres.sql(`
    CREATE TABLE old_positions AS TABLE driver_positions;
    CREATE TABLE old_progress AS TABLE flush_progress`);
  await fleet.report();
  await assertArrived(fleet);
  await stack.postgres.sql(`
    BEGIN;
    TRUNCATE driver_positions, flush_progress;
    INSERT INTO driver_positions TABLE old_positions;
    INSERT INTO flush_progress TABLE old_progress;
    DROP TABLE old_positions, old_progress;
    COMMIT`);
  await until('the archive is whole again', async () => (await wrong(fleet)).length === 0);
  assert.ok((await flusher.metric('rewinds_total')) >= 64);
  await flusher.logged('Postgres is behind: rewinding');
  await stop(flusher);
});

test('the command rewinds one partition or all, and says which', async () => {
  const flusher = stack.flusher();
  const fleet = newFleet(1_000);
  await fleet.report();
  await assertArrived(fleet);
  // What the flushers cannot see: rows are gone, the progress is not.
  await stack.postgres.sql('TRUNCATE driver_positions');
  const all = await rewind();
  assert.deepEqual([all.code, all.stdout.split('\n').length - 1], [0, 64]);
  await until('the table is whole again', async () => (await wrong(fleet)).length === 0);
  assert.deepEqual(await rewind('--partition', '5'), { code: 0, stdout: 'partition 5 rewound\n' });
  for (const bad of [
    ['--partition', '64'],
    ['--partition=-1'],
    ['--partition', ''],
    ['--since', 'x'],
    ['--all'],
  ]) {
    assert.deepEqual(await rewind(...bad), { code: 64, stdout: '' }, bad.join(' '));
  }
  await stop(flusher);
});

describe('trouble with Postgres', () => {
  const TERMINATE = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'whereabouts_flusher'`;
  const TROUBLES = [
    [
      'a database that is read-only',
      'ALTER DATABASE whereabouts SET default_transaction_read_only = on',
      'ALTER DATABASE whereabouts RESET default_transaction_read_only',
    ],
    [
      'a role that is read-only',
      'ALTER ROLE whereabouts_flusher SET default_transaction_read_only = on',
      'ALTER ROLE whereabouts_flusher RESET default_transaction_read_only',
    ],
    [
      'no right to insert',
      'REVOKE INSERT ON driver_positions FROM whereabouts_flusher',
      'GRANT INSERT ON driver_positions TO whereabouts_flusher',
    ],
    [
      'no right to update the progress',
      'REVOKE UPDATE ON flush_progress FROM whereabouts_flusher',
      'GRANT UPDATE ON flush_progress TO whereabouts_flusher',
    ],
    [
      'a table in another schema',
      'CREATE SCHEMA elsewhere; ALTER TABLE driver_positions SET SCHEMA elsewhere',
      'ALTER TABLE elsewhere.driver_positions SET SCHEMA public; DROP SCHEMA elsewhere',
    ],
    [
      'a column that is missing',
      'ALTER TABLE driver_positions RENAME COLUMN accuracy_m TO accuracy',
      'ALTER TABLE driver_positions RENAME COLUMN accuracy TO accuracy_m',
    ],
    [
      'a role that may not log in',
      'ALTER ROLE whereabouts_flusher NOLOGIN',
      'ALTER ROLE whereabouts_flusher LOGIN',
    ],
    [
      'a trigger that fails',
      `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
       CREATE TRIGGER fail BEFORE INSERT ON driver_positions FOR EACH ROW EXECUTE FUNCTION fail()`,
      'DROP FUNCTION fail CASCADE',
    ],
    [
      'a wrong constraint',
      `ALTER TABLE driver_positions ADD CONSTRAINT odd CHECK (status = 'busy') NOT VALID`,
      'ALTER TABLE driver_positions DROP CONSTRAINT odd',
    ],
  ] as const;

  for (const [what, breaks, mends] of TROUBLES) {
    test(`${what}: told, in few lines, and over within 15 s of its end`, async () => {
      const flusher = stack.flusher({ LOSS_BUDGET_MS: '1000' });
      const fleet = newFleet(300);
      await fleet.report();
      await assertArrived(fleet);
      await admin(`${breaks}; ${TERMINATE}`);
      try {
        const newer = fleet.report();
        await until('it is told', async () => /"name":"postgres","ok":false/.test(await readyz(flusher)));
        await newer;
        await until('the alarm', async () => (await flusher.metric('loss_budget_exceeded')) === 1);
        // Some attempts more: told as away all the time.
        const failures = await flusher.metric('archive_failures_total');
        await until('more attempts', async () => {
          assert.match(await readyz(flusher), /"name":"postgres","ok":false/);
          return (await flusher.metric('archive_failures_total')) >= failures + 3;
        });
        assert.equal(await flusher.metric('archive_up'), 0);
        assert.equal(await flusher.metric('archive_refuses'), what === 'a wrong constraint' ? 1 : 0);
        assert.equal(await flusher.metric('refused_positions'), 0);
      } finally {
        await admin(mends);
      }
      const since = performance.now();
      await assertArrived(fleet);
      const tookMs = performance.now() - since;
      assert.ok(tookMs < 15_000, `${tookMs} ms`);
      const said = flusher.lines.map((line) => JSON.stringify(line)).join('\n');
      assert.ok(said.length < 20_000, said);
      await stop(flusher);
    });
  }

  test('a session from before the end of it is used no more', async () => {
    await admin('ALTER DATABASE whereabouts SET default_transaction_read_only = on');
    const flusher = stack.flusher();
    const fleet = newFleet(50);
    await fleet.report();
    await flusher.logged('Postgres is away: positions stay in the cache');
    await admin('ALTER DATABASE whereabouts RESET default_transaction_read_only');
    const [now] = await stack.postgres.sql('SELECT now() AS now');
    await assertArrived(fleet);
    const older = await stack.postgres.sql(
      `SELECT query FROM pg_stat_activity WHERE usename = 'whereabouts_flusher' AND backend_start < $1`,
      [now?.now],
    );
    assert.deepEqual(older, []);
    await stop(flusher);
  });

  test('checkpoints that cannot be written keep no position, and the other way round', async () => {
    const flusher = stack.flusher();
    const fleet = newFleet(100);
    await fleet.report();
    await assertArrived(fleet);
    await admin('REVOKE INSERT ON checkpoints FROM whereabouts_flusher');
    await stack.redis.store.checkpoint(7, [checkpointOf('a')]);
    await until('it is told', async () => /"name":"checkpoints","ok":false/.test(await readyz(flusher)));
    await fleet.report();
    await assertArrived(fleet);
    assert.match(await readyz(flusher), /"name":"postgres","ok":true.*"name":"checkpoints","ok":false/);
    await admin(
      `GRANT INSERT ON checkpoints TO whereabouts_flusher; REVOKE INSERT ON driver_positions FROM whereabouts_flusher`,
    );
    await until('the checkpoint is there', async () => (await checkpointCount()) === 1);
    await fleet.report();
    await until('the positions are told', async () =>
      /"name":"postgres","ok":false.*"name":"checkpoints","ok":true/.test(await readyz(flusher)),
    );
    await stack.redis.store.checkpoint(7, [checkpointOf('b')]);
    await until('another', async () => (await checkpointCount()) === 2);
    await admin('GRANT INSERT ON driver_positions TO whereabouts_flusher');
    await assertArrived(fleet);
    await stop(flusher);
  });

  test('a wrong constraint on checkpoints: an outage of theirs, over within 15 s of its end', async () => {
    const flusher = stack.flusher();
    await stack.postgres.sql(`ALTER TABLE checkpoints ADD CONSTRAINT odd CHECK (checkpoint_id IS NULL)`);
    const ids = Array.from({ length: 60 }, (_, i) => `c${i}`);
    await stack.redis.store.checkpoint(7, ids.map(checkpointOf));
    await until('it is told', async () =>
      /"name":"checkpoints","ok":false,"detail":"refusing rows/.test(await readyz(flusher)),
    );
    assert.equal(await flusher.metric('archive_refuses'), 1);
    await stack.postgres.sql(`ALTER TABLE checkpoints DROP CONSTRAINT odd`);
    const since = performance.now();
    await until('all are there', async () => (await checkpointCount()) === ids.length);
    assert.ok(performance.now() - since < 15_000);
    await until('and told', async () => (await flusher.metric('archive_refuses')) === 0);
    await stop(flusher);
  });
});

describe('by way of PgBouncer', { skip: pgbouncer === undefined }, () => {
  for (const mode of ['session', 'transaction'] as const) {
    test(`${mode} pooling: positions and checkpoints, and again after a restart of Postgres`, async () => {
      const pooler = await startPooler(stack.postgres.flusherUrl, mode);
      const flusher = stack.flusher({ DATABASE_URL: pooler.url });
      const fleet = newFleet(500);
      try {
        await fleet.report();
        await stack.redis.store.checkpoint(7, [checkpointOf('a')]);
        await assertArrived(fleet);
        await until('the checkpoint', async () => (await checkpointCount()) === 1);
        await stack.postgres.server.stop();
        await fleet.report();
        await flusher.logged('Postgres is away: positions stay in the cache');
        await stack.postgres.server.restart();
        const since = performance.now();
        await assertArrived(fleet);
        assert.ok(performance.now() - since < 15_000);
        await stop(flusher);
      } finally {
        await pooler.stop();
      }
    });
  }
});

describe('variables for Postgres that are none of ours', () => {
  const STRAY = {
    PGHOST: '192.0.2.1',
    PGPORT: 'none',
    PGUSER: 'nobody',
    PGDATABASE: 'nowhere',
    PGPASSWORD: 'wrong',
    PGPASSWORD_FILE: '/nowhere',
    PGSSLMODE: 'sometimes',
    PGSSLNEGOTIATION: 'direct',
    PGOPTIONS: '-c default_transaction_read_only=on',
    PGBINARY: '1',
    PGREPLICATION: 'true',
    PGAPPNAME: 'stray',
    PGCLIENTENCODING: 'LATIN1',
    PGCLIENT_ENCODING: 'latin1',
    PGTZ: 'Asia/Kathmandu',
    PGDATESTYLE: 'German',
    PGSERVICE: 'none',
    PGPASSFILE: '/nowhere',
    PGTARGETSESSIONATTRS: 'standby',
    PGCONNECT_TIMEOUT: '0',
  };

  test('beside DATABASE_URL they change nothing', async () => {
    const flusher = stack.flusher(STRAY);
    const fleet = newFleet(100);
    await fleet.report();
    await assertArrived(fleet);
    const names = await stack.postgres.sql(
      `SELECT DISTINCT application_name AS name FROM pg_stat_activity WHERE usename = 'whereabouts_flusher'`,
    );
    assert.deepEqual(names, [{ name: 'whereabouts-flusher' }]);
    await stop(flusher);
  });

  test('nor where the address leaves something out', async () => {
    const url = new URL(stack.postgres.flusherUrl);
    url.password = '';
    const flusher = stack.flusher({
      ...STRAY,
      PGPASSWORD: decodeURIComponent(new URL(stack.postgres.flusherUrl).password),
      DATABASE_URL: url.href,
    });
    await newFleet(10).report();
    await flusher.logged('Postgres is away: positions stay in the cache');
    flusher.kill('SIGKILL');
  });

  test('without it, PGHOST and the documented ones are the way', async () => {
    const { hostname, port, username, password } = new URL(stack.postgres.flusherUrl);
    const { DATABASE_URL: _, ...env } = stack.env;
    const flusher = stack.flusherWith({
      ...env,
      PGHOST: hostname,
      PGPORT: port,
      PGUSER: username,
      PGPASSWORD: decodeURIComponent(password),
      PGOPTIONS: STRAY.PGOPTIONS,
      PGBINARY: '1',
    });
    const fleet = newFleet(100);
    await fleet.report();
    await assertArrived(fleet);
    await stop(flusher);
  });
});

describe('checkpoints', () => {
  const checkpoint = (seq: number, session: number, checkpointId = `trip-${seq}`) =>
    validatePosition(
      {
        seq,
        recordedAtMs: Date.now() - 3_600_000,
        lat: 52.2,
        lon: 21,
        checkpoint: true,
        checkpointId,
      },
      'driver',
      session,
    );
  const rows = () => stack.postgres.sql('SELECT seq::integer, checkpoint_id FROM checkpoints ORDER BY seq');
  const waiting = async () =>
    (await statuses()).reduce((sum, { checkpointsWaiting }) => sum + checkpointsWaiting, 0);

  test('written alone, well before the interval is over; one row, however often they are sent', async () => {
    const flushers = [1, 2].map(() =>
      stack.flusher({ FLUSH_INTERVAL_MS: '60000', LOSS_BUDGET_MS: '600000' }),
    );
    await Promise.all(flushers.map((flusher) => flusher.logged('flusher is running')));
    const { store, map } = stack.redis;
    const partition = map.partitionOf(52.2, 21);
    const batch = [checkpoint(1, 1), checkpoint(2, 1)];
    assert.deepEqual((await store.checkpoint(partition, batch)).outcomes, ['accepted', 'accepted']);
    await until('they are in Postgres', async () => (await waiting()) === 0);
    // After a reconnect: another session, another seq, the same checkpoint.
    await store.checkpoint(partition, [checkpoint(1, 2)]);
    await store.checkpoint(partition, [checkpoint(2, 1)]);
    await until('they are in Postgres', async () => (await waiting()) === 0);
    assert.deepEqual(await rows(), [
      { seq: 1, checkpoint_id: 'trip-1' },
      { seq: 2, checkpoint_id: 'trip-2' },
    ]);
    for (const flusher of flushers) await stop(flusher);
  });

  test('many refused ones stand, and keep nobody else; all of them come once they are taken', async () => {
    await stack.postgres.sql(`ALTER TABLE checkpoints ADD CONSTRAINT odd CHECK (driver_id NOT LIKE 'bad%')`);
    const flusher = stack.flusher();
    const { store } = stack.redis;
    const [bad, good] = ['bad', 'good'].map((name) => Array.from({ length: 60 }, (_, i) => `${name}${i}`));
    await store.checkpoint(7, (bad ?? []).map(checkpointOf));
    await until('nothing shows that any would be taken', async () =>
      /"name":"checkpoints","ok":false,"detail":"refusing rows/.test(await readyz(flusher)),
    );
    await store.checkpoint(7, (good ?? []).map(checkpointOf));
    await until('the good ones are there', async () => (await checkpointCount()) === 60);
    await until('the others are known', async () => (await flusher.metric('refused_checkpoints')) === 60);
    await until('it is no outage', async () => (await flusher.metric('archive_up')) === 1);
    assert.match(
      await readyz(flusher),
      /"ok":false,"detail":"0 positions and 60 checkpoints are refused by Postgres"/,
    );
    await stack.postgres.sql(`ALTER TABLE checkpoints DROP CONSTRAINT odd`);
    await until('all are there', async () => (await checkpointCount()) === 120);
    await until('none is refused', async () => (await flusher.metric('refused_checkpoints')) === 0);
    await stop(flusher);
  });

  test('as many as a round takes are refused in one partition: those behind them come all the same', async () => {
    await stack.postgres.sql(`ALTER TABLE checkpoints ADD CONSTRAINT odd CHECK (driver_id NOT LIKE 'bad%')`);
    const { store } = stack.redis;
    // Some wait in each partition, so that a round takes no more than 78 of one.
    const good = Array.from({ length: 64 }, (_, i) => checkpointOf(`good${i}`));
    const bad = Array.from({ length: 80 }, (_, i) => checkpointOf(`bad${i}`));
    await store.checkpoint(7, bad);
    for (const [i, each] of good.entries()) await store.checkpoint(i, [each]);
    const flusher = stack.flusher();
    await until('all good ones are there', async () => (await checkpointCount()) === good.length);
    const late = Array.from({ length: 10 }, (_, i) => checkpointOf(`late${i}`));
    await store.checkpoint(7, late);
    await until('the late ones too', async () => (await checkpointCount()) === good.length + 10);
    await stack.postgres.sql(`ALTER TABLE checkpoints DROP CONSTRAINT odd`);
    await until('all are there', async () => (await checkpointCount()) === good.length + 90);
    await stop(flusher);
  });

  test('a refused one waits, the others go on', async () => {
    await stack.postgres.sql(`ALTER TABLE checkpoints ADD CONSTRAINT odd CHECK (seq <> 13)`);
    const flusher = stack.flusher();
    const { store, map } = stack.redis;
    const partition = map.partitionOf(52.2, 21);
    await store.checkpoint(partition, [checkpoint(12, 1), checkpoint(13, 1), checkpoint(14, 1)]);
    await until('two of three are in Postgres', async () => (await waiting()) === 1);
    await store.checkpoint(partition, [checkpoint(15, 1)]);
    await until('the next too', async () => (await rows()).length === 3);
    await stack.postgres.sql(`ALTER TABLE checkpoints DROP CONSTRAINT odd`);
    await flusher.logged('Postgres refuses a checkpoint: it waits, and is tried again');
    await stop(flusher);
    await until('the last, at a new start', async () => {
      const next = stack.flusher();
      await next.logged('flusher is running');
      await stop(next);
      return (await rows()).length === 4;
    });
  });
});

test('a dark region is unknown, not 0, told by its node, an alarm beyond the budget, and the others go on', async () => {
  const flusher = stack.flusher({ LOSS_BUDGET_MS: '2000' });
  const fleet = newFleet(1_000);
  await fleet.report();
  await assertArrived(fleet);
  const [node] = stack.redis.cluster.nodes;
  assert.ok(node);
  stack.redis.cluster.kill(node.port, 'SIGKILL');
  await until(
    'its partitions are unknown',
    async () => (await flusher.metric('loss_window_unknown_partitions')) >= 20,
  );
  await flusher.logged('the loss window of dark partitions is unknown beyond the budget');
  assert.equal(await flusher.metric('loss_budget_exceeded'), 1);
  assert.ok((await flusher.metric('loss_window_unknown_at_most_seconds')) > 2);
  assert.ok((await flusher.metric('dark_partitions_by_node')) >= 20);
  const { status, text } = await flusher.get('/readyz?verbose');
  assert.equal(status, 200);
  const address = `127\\.0\\.0\\.1:${node.port}`;
  assert.match(
    text,
    new RegExp(
      `"name":"regions","ok":false,"detail":"2\\d of 64 partitions are dark: ${address} \\(2\\d\\), since \\d+ s"`,
    ),
  );
  const unknown = new RegExp(
    `"name":"loss window","ok":false,"detail":"\\d+ ms of 2000 ms; unknown beyond the budget for 2\\d partitions, perhaps \\d+ ms: ${address}`,
  );
  await until('all of them are told as unknown', async () => unknown.test(await readyz(flusher)));
  const flushes = await flusher.metric('flushes_total');
  await until('the others are flushed', async () => (await flusher.metric('flushes_total')) > flushes + 40);
  await stack.redis.cluster.restartNode(node.port);
  await until(
    'they are known again',
    async () => (await flusher.metric('loss_window_unknown_partitions')) === 0,
  );
  await flusher.logged('no loss window is unknown beyond the budget any more');
  await until('the alarm ends', async () => (await flusher.metric('loss_budget_exceeded')) === 0);
  assert.match(await readyz(flusher), /"name":"regions","ok":true,"detail":"0 of 64 partitions are dark"/);
  await until(
    'the store sees them',
    () =>
      stack.redis.store.reachable(0) && stack.redis.store.reachable(32) && stack.redis.store.reachable(63),
  );
  await fleet.report();
  await assertArrived(fleet);
  await stop(flusher);
});

test('a node that loses its functions gets them back, also while Postgres is away', async () => {
  const flusher = stack.flusher();
  await flusher.logged('flusher is running');
  await until('the first flush', async () => (await statuses()).every(({ flushedAtMs }) => flushedAtMs > 0));
  await stack.postgres.server.stop();
  await flusher.logged('Postgres is away: positions stay in the cache');
  const { command } = stack.redis;
  // One that loads nothing itself.
  const reader = await stack.redis.connect({ loadsFunctions: false });
  for (const partition of [0, 63]) {
    await command(partition, 'FUNCTION', 'FLUSH');
    await until('it is written to again', () =>
      reader.touch(partition).then(
        () => true,
        () => false,
      ),
    );
  }
  await flusher.logged('functions loaded');
  await stack.postgres.server.restart();
  await stop(flusher);
});

test('records that cannot be read are told, and no reason to wait at the end', async () => {
  const flusher = stack.flusher({ DRAIN_DEADLINE_MS: '60000' });
  const fleet = newFleet(1_000);
  await fleet.report();
  await assertArrived(fleet);
  const { command, map, store } = stack.redis;
  const odd = Buffer.from(batchOf(stored('odd', { session: 1, recordedAtMs: Date.now() })));
  odd[5] = 77; // the format
  await store.append(9, odd, 1);
  const checkpoints = `checkpoints:{${map.tagOf(9)}}`;
  await command(9, 'HSET', checkpoints, 'odd:1', 'x', '*', 'x');
  await fleet.report();
  await until('they are counted', async () => (await flusher.metric('unreadable_records')) === 2);
  assert.match((await flusher.get('/readyz?verbose')).text, /"name":"records","ok":false,"detail":"2 /);
  await until('all others are written', async () => (await wrong(fleet)).length === 0);
  const line = await flusher.logged('records that cannot be read are passed over');
  assert.deepEqual([line.partition, line.first], [9, ['odd']]);
  await flusher.logged('checkpoints that cannot be read are passed over');
  const since = performance.now();
  flusher.kill('SIGTERM');
  // What cannot be read may be a checkpoint: it counts as left.
  assert.equal((await flusher.exited).code, 1);
  assert.ok(performance.now() - since < 30_000);
  const { err } = flusher.lines.at(-1) as { err: { message: string } };
  assert.match(err.message, /^not in Postgres: 1 partitions, about \d+ positions, 1 checkpoints\./);
  await store.compact(9, 0);
  await command(9, 'HDEL', `snapshot:{${map.tagOf(9)}}`, 'odd');
  await command(9, 'DEL', checkpoints);
  const next = stack.flusher();
  await assertArrived(fleet);
  assert.equal(await next.metric('unreadable_records'), 0);
  await stop(next);
});

test('logs are folded and the old leave the cache, also while Postgres is away', async () => {
  const flusher = stack.flusher({ SWEEP_AFTER_MS: '10000' });
  const fleet = newFleet(1_000);
  await fleet.report();
  await assertArrived(fleet);
  await stack.postgres.server.stop();
  await flusher.logged('Postgres is away: positions stay in the cache');
  const young = [stored('young', { session: 1, recordedAtMs: Date.now() + 100_000 })];
  await fleet.append(7, young);
  const entries = async () => (await statuses()).reduce((sum, status) => sum + status.entries, 0);
  await until('the logs are empty', async () => (await entries()) === 0);
  assert.ok((await flusher.metric('compacted_total')) >= 1_001);
  const drivers = async () => (await statuses()).reduce((sum, status) => sum + status.drivers, 0);
  await until('the young one is left', async () => (await drivers()) === 1, 60_000);
  assert.equal(await flusher.metric('swept_total'), 1_000);
  await stack.postgres.server.restart();
  await assertArrived(fleet);
  await stop(flusher);
});

test('checkpoint conflicts that nobody has told go after a minute, told ones do not hinder', async () => {
  const flusher = stack.flusher();
  const { store, map, command } = stack.redis;
  const key = `checkpoints:{${map.tagOf(11)}}`;
  await flusher.logged('flusher is running');
  await command(
    11,
    'HSET',
    key,
    'd:old',
    `conflict${Date.now() - 61_000}`,
    'd:young',
    `conflict${Date.now()}`,
  );
  await until('the old one goes', async () => {
    const { standings } = await store.checkpointStandings(11, ['d:old', 'd:young']);
    return standings[0] === 'gone' && standings[1] === 'conflict';
  });
  await stop(flusher);
});

test('bad settings are told all at once', async () => {
  const flusher = stack.flusher({
    FLUSH_INTERVAL_MS: '9000',
    SWEEP_AFTER_MS: '2000',
    RETENTION_DAYS: 'x',
    REDIS_URL: '',
    DATABASE_URL: '',
  });
  assert.deepEqual(await flusher.exited, { code: 78, signal: null });
  for (const name of ['FLUSH_INTERVAL_MS', 'SWEEP_AFTER_MS', 'RETENTION_DAYS', 'REDIS_URL', 'DATABASE_URL']) {
    assert.match(flusher.stderr, new RegExp(`- .*${name}`), name);
  }
});
