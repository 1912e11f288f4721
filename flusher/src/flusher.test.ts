// The flusher as a process among real servers: killed at each of its steps, several at once, Postgres away.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { validatePosition } from '@whereabouts/infra/position';
import { FAILPOINTS } from './failpoint.js';
import { type Flusher, type Stack, startStack, until } from './testing/flusher-process.js';
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
  for (const partition of [0, 32, 63]) await stack.redis.command(partition, 'FLUSHALL');
});

const newFleet = (drivers: number) => {
  console.log(`seed ${++seed}`);
  return new Fleet(stack.redis.store, { drivers, seed });
};
const wrong = (fleet: Fleet) => differences(fleet.newest, (text) => stack.postgres.sql(text));
const statuses = () =>
  Promise.all(Array.from({ length: stack.redis.map.partitions }, (_, i) => stack.redis.store.status(i)));

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

function rewind(...args: string[]): Promise<{ code: number; stdout: string }> {
  const script = fileURLToPath(new URL('./rewind.js', import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], { env: stack.env }, (error, stdout) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout });
    });
  });
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

test('Postgres away at the end: it tries until its deadline, and loses nothing', async () => {
  const flusher = stack.flusher({
    DRAIN_DEADLINE_MS: '2000',
    FLUSH_INTERVAL_MS: '60000',
    LOSS_BUDGET_MS: '600000',
  });
  await flusher.logged('flusher is running');
  const fleet = newFleet(500);
  await fleet.report();
  await stack.postgres.server.stop();
  await stop(flusher);
  await flusher.logged('not all could be flushed: it stays in the cache');
  await stack.postgres.server.restart();
  const next = stack.flusher();
  await assertArrived(fleet);
  await stop(next);
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
  for (const bad of [['--partition', '64'], ['--partition', '-1'], ['--since', 'x'], ['--all']]) {
    assert.deepEqual(await rewind(...bad), { code: 64, stdout: '' }, bad.join(' '));
  }
  await stop(flusher);
});

describe('checkpoints', () => {
  const checkpoint = (seq: number, session: number, checkpointId?: string) =>
    validatePosition(
      {
        seq,
        recordedAtMs: Date.now() - 3_600_000,
        lat: 52.2,
        lon: 21,
        checkpoint: true,
        ...(checkpointId && { checkpointId }),
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
    const batch = [checkpoint(1, 1, 'trip-1'), checkpoint(2, 1)];
    assert.deepEqual((await store.record(partition, batch)).outcomes, ['accepted', 'accepted']);
    await until('they are in Postgres', async () => (await waiting()) === 0);
    // After a reconnect: another session, another seq, the same checkpoint.
    await store.record(partition, [checkpoint(1, 2, 'trip-1')]);
    await store.record(partition, [checkpoint(2, 1)]);
    await until('they are in Postgres', async () => (await waiting()) === 0);
    assert.deepEqual(await rows(), [
      { seq: 1, checkpoint_id: 'trip-1' },
      { seq: 2, checkpoint_id: null },
    ]);
    for (const flusher of flushers) await stop(flusher);
  });

  test('a refused one waits, the others go on', async () => {
    await stack.postgres.sql(`ALTER TABLE checkpoints ADD CONSTRAINT odd CHECK (seq <> 13)`);
    const flusher = stack.flusher();
    const { store, map } = stack.redis;
    const partition = map.partitionOf(52.2, 21);
    await store.record(partition, [checkpoint(12, 1), checkpoint(13, 1), checkpoint(14, 1)]);
    await until('two of three are in Postgres', async () => (await waiting()) === 1);
    await store.record(partition, [checkpoint(15, 1)]);
    await until('the next too', async () => (await rows()).length === 3);
    await stack.postgres.sql(`ALTER TABLE checkpoints DROP CONSTRAINT odd`);
    await flusher.logged('Postgres refuses a checkpoint: it waits');
    await stop(flusher);
    await until('the last, at a new start', async () => {
      const next = stack.flusher();
      await next.logged('flusher is running');
      await stop(next);
      return (await rows()).length === 4;
    });
  });
});

test('a dark region is unknown, not 0, and the others go on', async () => {
  const flusher = stack.flusher();
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
  assert.equal((await flusher.get('/readyz')).status, 200);
  const flushes = await flusher.metric('flushes_total');
  await until('the others are flushed', async () => (await flusher.metric('flushes_total')) > flushes + 40);
  await stack.redis.cluster.restartNode(node.port);
  await until(
    'they are known again',
    async () => (await flusher.metric('loss_window_unknown_partitions')) === 0,
  );
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
  const { command, map } = stack.redis;
  // One that loads nothing itself.
  const reader = await stack.redis.connect(map, false);
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
  const flusher = stack.flusher();
  const fleet = newFleet(1_000);
  await fleet.report();
  await assertArrived(fleet);
  const { command, map } = stack.redis;
  const [positions, checkpoints] = ['positions', 'checkpoints'].map((name) => `${name}:{${map.tagOf(9)}}`);
  await command(9, 'HSET', positions as string, 'odd', 'x', 'even', '');
  await command(9, 'HSET', checkpoints as string, 'odd:1:1', 'x', 'odd', 'x', '*', 'x');
  await fleet.report();
  await until('they are counted', async () => (await flusher.metric('unreadable_records')) === 2);
  assert.match((await flusher.get('/readyz?verbose')).text, /"name":"records","ok":false,"detail":"2 /);
  await until('all others are written', async () => (await wrong(fleet)).length === 0);
  const line = await flusher.logged('records that cannot be read are passed over');
  assert.equal(line.partition, 9);
  flusher.kill('SIGTERM');
  assert.deepEqual(await flusher.exited, { code: 0, signal: null });
  const { took_ms: tookMs } = await flusher.logged('drained');
  assert.ok(Number(tookMs) < 9_000, `${tookMs} ms`);
  await command(9, 'HDEL', positions as string, 'odd', 'even');
  await command(9, 'DEL', checkpoints as string);
  const next = stack.flusher();
  await assertArrived(fleet);
  assert.equal(await next.metric('unreadable_records'), 0);
  await stop(next);
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
