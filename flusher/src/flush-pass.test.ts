// Passes in this process, step by step, on a real cluster and a real Postgres.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { PartitionStatus } from '@whereabouts/infra/live-store/live-store';
import { QUIET, type StoreFixture, startStore } from '@whereabouts/infra/live-store/testing/store-fixture';
import { RECORD_BYTES } from '@whereabouts/infra/position-record';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import type { Archive } from './archive.js';
import type { Failpoint } from './failpoint.js';
import { flushMetrics } from './flush-metrics.js';
import { FlushPass, type FlushPassOptions } from './flush-pass.js';
import { RefusedPositions } from './refused-positions.js';
import { type ArchiveFixture, startArchive, stored } from './testing/archive-fixture.js';
import { differences, Fleet } from './testing/truth.js';

let redis: StoreFixture;
let postgres: ArchiveFixture;
let archive: Archive;
let fleetNumber = 0;

before(async () => {
  [redis, postgres] = await Promise.all([startStore(), startArchive()]);
  archive = newArchive();
});
after(() => Promise.all([redis.stop(), postgres.stop()]));
beforeEach(async () => {
  for (const url of redis.cluster.urls) await flushAll(url);
  await postgres.sql('TRUNCATE driver_positions, checkpoints, flush_progress');
});

const newArchive = (o: Partial<ConstructorParameters<typeof Archive>[0]> = {}) =>
  postgres.archive({ mapHash: redis.map.hash, ...o });
const metrics = () => flushMetrics(createMetrics('flusher', { commit: 'test' }));
const newFleet = (drivers: number) => new Fleet(redis.store, { drivers, seed: ++fleetNumber });
const wrong = (fleet: Fleet) => differences(fleet.newest, (text) => postgres.sql(text));

async function flushAll(url: string): Promise<void> {
  const port = Number(new URL(url).port);
  const partition = Array.from({ length: redis.map.partitions }, (_, i) => i).find((i) =>
    redis.store.nodeOf(i)?.endsWith(`:${port}`),
  );
  if (partition !== undefined) await redis.command(partition, 'FLUSHALL');
}

function look(partitions?: readonly number[]): Promise<PartitionStatus[]> {
  const all = partitions ?? Array.from({ length: redis.map.partitions }, (_, i) => i);
  return Promise.all(all.map((partition) => redis.store.status(partition)));
}

function newPass(o: Partial<FlushPassOptions> = {}): FlushPass {
  const { store } = redis;
  const ages = { freshnessMs: 10_000, sweepAfterMs: 300_000 };
  const counted = o.metrics ?? metrics();
  return new FlushPass({
    store,
    archive,
    refused: new RefusedPositions({ store, log: QUIET, metrics: counted }),
    flusherId: 'me',
    ...ages,
    log: QUIET,
    metrics: counted,
    reached: () => {},
    ...o,
  });
}

/** Calls `act` whenever the pass reaches this step. */
const at = (step: Failpoint, act: () => void) => (reached: Failpoint) => {
  if (reached === step) act();
};

describe('a pass', () => {
  test('brings everything to Postgres and moves the watermarks', async () => {
    const fleet = newFleet(3_000);
    await fleet.report();
    await fleet.report();
    const seen = await look();
    const report = await newPass().run(seen);
    assert.deepEqual([report.flushed, report.left.size, report.archiveError], [64, 0, null]);
    assert.equal(report.rows, 3_000);
    assert.deepEqual(await wrong(fleet), []);
    const progress = await postgres.progress(redis.map.hash);
    for (const status of await look()) {
      assert.equal(status.dirtySinceMs, null);
      assert.equal(status.flushed, status.revision);
      assert.equal(status.acceptedSinceFlush, 0);
      assert.equal(progress.get(status.partition), status.flushedAtMs, "both are begin's time");
    }
    const driver = fleet.newest.get('d7');
    assert.ok(driver);
    const partition = redis.map.partitionOf(driver.latE7 / 1e7, driver.lonE7 / 1e7);
    assert.equal((await redis.store.get(partition, ['d7'])).found[0]?.persisted, true);
  });

  test('moves the progress where nothing is dirty', async () => {
    await newPass().run(await look([5]));
    const first = (await postgres.progress(redis.map.hash)).get(5);
    await newPass().run(await look([5]));
    const second = (await postgres.progress(redis.map.hash)).get(5);
    assert.ok(first !== undefined && second !== undefined && second > first);
  });

  test('fills batches across partitions', async () => {
    await newFleet(12_000).report();
    const counted = metrics();
    const report = await newPass({ metrics: counted }).run(await look());
    assert.equal(report.rows, 12_000);
    const batches = (await counted.batches.get()).values[0]?.value;
    assert.equal(batches, 3);
    const transactions = (await counted.transactions.get()).values[0]?.value;
    assert.equal(transactions, 3);
  });

  test('what is reported while it is under way stays dirty', async () => {
    const fleet = newFleet(500);
    await fleet.report();
    let second: Promise<void> | undefined;
    await newPass({ reached: at('after_begin', () => (second ??= fleet.report())) }).run(await look());
    await second;
    assert.ok((await look()).some(({ dirtySinceMs }) => dirtySinceMs !== null));
    await newPass().run(await look());
    assert.deepEqual(await wrong(fleet), []);
  });

  test('leaves what another flusher works on', async () => {
    await redis.store.begin(3, 'other', 5_000);
    const report = await newPass().run(await look([3, 4]));
    assert.deepEqual([...report.left], [[3, 'leased']]);
    assert.equal(report.flushed, 1);
    await redis.store.release(3, 'other');
    assert.equal((await newPass().run(await look([3]))).flushed, 1);
  });

  test('gives back what another flusher was faster with', async () => {
    await newFleet(500).report();
    const seen = await look();
    await newPass({ flusherId: 'faster' }).run(seen);
    const counted = metrics();
    const report = await newPass({ metrics: counted }).run(seen);
    assert.deepEqual([report.flushed, report.left.size], [0, 0]);
    assert.equal((await counted.rowsScanned.get()).values[0]?.value, 0);
    assert.equal((await newPass({ flusherId: 'third' }).run(await look())).flushed, 64);
  });
});

describe('a reign that changes', () => {
  /** Rewinds the partition at each of the first `times` begins, ahead of the scan on the same connection. */
  function unsteady(partition: number, times: number) {
    let begins = 0;
    const act = () => {
      if (++begins <= times) void redis.store.rewind(partition, Date.now());
    };
    return { reached: at('after_begin', act), begins: () => begins };
  }

  test('twice: begins again twice, and flushes', async () => {
    await newFleet(200).report();
    const reigns = unsteady(9, 2);
    const report = await newPass({ reached: reigns.reached }).run(await look([9]));
    assert.deepEqual([report.flushed, reigns.begins()], [1, 3]);
  });

  test('for ever: leaves it to the next pass, without its lease', async () => {
    await newFleet(200).report();
    const reigns = unsteady(9, Number.POSITIVE_INFINITY);
    const report = await newPass({ reached: reigns.reached }).run(await look([9]));
    assert.deepEqual([...report.left], [[9, 'reign_changed']]);
    assert.equal(reigns.begins(), 3);
    assert.equal((await newPass({ flusherId: 'other' }).run(await look([9]))).flushed, 1);
  });

  test('between the commit and the watermark: the rows are there, the watermark is not', async () => {
    const fleet = newFleet(200);
    await fleet.report();
    const seen = await look();
    const act = () => seen.forEach(({ partition }) => void redis.store.rewind(partition, Date.now()));
    const report = await newPass({ reached: at('after_commit', act) }).run(seen);
    assert.equal(report.flushed, 0);
    assert.deepEqual(await wrong(fleet), []);
    assert.ok((await look()).every(({ flushed }) => flushed === 0));
    assert.equal((await newPass().run(await look())).flushed, 64);
  });
});

describe('rows that Postgres refuses', () => {
  const CONSTRAINT = 'ALTER TABLE driver_positions ADD CONSTRAINT odd CHECK';
  const mend = () => postgres.sql('ALTER TABLE driver_positions DROP CONSTRAINT IF EXISTS odd');
  afterEach(mend);

  const recordOf = async (id: string) => {
    const answers = await Promise.all(
      (await look()).map(({ partition }) => redis.store.get(partition, [id])),
    );
    return answers.flatMap(({ found }) => found).find((found) => found !== null);
  };
  const persisted = async (...names: string[]) =>
    Promise.all(names.map(async (id) => (await recordOf(id))?.persisted));
  const valueIn = async (metric: { get(): Promise<{ values: { value: number }[] }> }) =>
    (await metric.get()).values[0]?.value;

  /** What one process keeps over its passes. */
  function flusher() {
    const counted = metrics();
    const refused = new RefusedPositions({ store: redis.store, log: QUIET, metrics: counted });
    const one = newArchive();
    const pass = async (o: Partial<FlushPassOptions> = {}) =>
      newPass({ refused, metrics: counted, archive: one, ...o }).run(await look());
    return { refused, counted, pass };
  }

  test('a few among many: never persisted, marked, and in nobody’s way', async () => {
    await postgres.sql(`${CONSTRAINT} (driver_id NOT IN ('d7', 'd11'))`);
    await newFleet(300).report();
    const { pass, counted, refused } = flusher();
    const report = await pass();
    assert.deepEqual([report.flushed, report.rows, refused.count], [64, 298, 2]);
    assert.deepEqual(await persisted('d7', 'd11', 'd8'), [false, false, true]);
    await pass();
    assert.equal(await valueIn(counted.rowsScanned), 300, 'no part of the next pass');
    assert.equal(await valueIn(counted.refusedPositions), 2, 'but known to it');
  });

  test('they are tried again, and when Postgres takes them they are as any other', async () => {
    await postgres.sql(`${CONSTRAINT} (driver_id NOT IN ('d7', 'd11'))`);
    const fleet = newFleet(300);
    await fleet.report();
    const { pass, counted, refused } = flusher();
    await pass();
    for (let i = 0; i < 3; i++) {
      refused.tryAllAgain();
      await pass();
      assert.deepEqual([refused.count, (await recordOf('d7'))?.quarantined], [2, true]);
    }
    await mend();
    await pass();
    assert.equal(refused.count, 2, 'not before their time');
    refused.tryAllAgain();
    await pass();
    assert.deepEqual([refused.count, await valueIn(counted.refusedTaken)], [0, 2]);
    assert.deepEqual(await persisted('d7', 'd11'), [true, true]);
    assert.deepEqual(await wrong(fleet), []);
  });

  test('another flusher, that never saw them refused, tries them at once', async () => {
    await postgres.sql(`${CONSTRAINT} (driver_id NOT IN ('d7', 'd11'))`);
    const fleet = newFleet(300);
    await fleet.report();
    await flusher().pass();
    await mend();
    await flusher().pass({ flusherId: 'other' });
    assert.deepEqual(await persisted('d7', 'd11'), [true, true]);
    assert.deepEqual(await wrong(fleet), []);
  });

  test('no sweep takes them, however old they are', async () => {
    await postgres.sql(`${CONSTRAINT} (driver_id NOT IN ('d7', 'd11'))`);
    const fleet = newFleet(300);
    await fleet.report();
    const { pass, refused } = flusher();
    const ago = { freshnessMs: -60_000, sweepAfterMs: -60_000 };
    await pass(ago);
    await pass(ago);
    const cached = (await look()).reduce((sum, { drivers }) => sum + drivers, 0);
    assert.deepEqual([cached, (await recordOf('d7'))?.unlisted], [2, true]);
    await mend();
    refused.tryAllAgain();
    await pass(ago);
    assert.deepEqual(await wrong(fleet), []);
    await pass(ago);
    assert.equal(await recordOf('d7'), undefined, 'Postgres has it: now it may go');
  });

  test('rewind takes the marks back', async () => {
    await postgres.sql(`${CONSTRAINT} (driver_id NOT IN ('d7', 'd11'))`);
    const fleet = newFleet(300);
    await fleet.report();
    const { pass } = flusher();
    await pass();
    await mend();
    for (const { partition } of await look()) await redis.store.rewind(partition, Date.now());
    assert.equal((await pass()).flushed, 64);
    assert.deepEqual(await persisted('d7', 'd11'), [true, true]);
    assert.deepEqual(await wrong(fleet), []);
  });

  const WRONG_TABLES = [
    ['all of many', 3_000, 'false'],
    ['all of three', 3, 'false'],
    ['the only one', 1, 'false'],
    ['one in twenty', 3_000, `hashtext(driver_id) % 20 <> 0`],
    ['a half of a few', 24, `hashtext(driver_id) % 2 <> 0`],
  ] as const;
  for (const [what, drivers, holds] of WRONG_TABLES) {
    test(`${what}: an outage, in which nothing moves, and after which nothing is missing`, async () => {
      const fleet = newFleet(drivers);
      await fleet.report();
      await postgres.sql(`${CONSTRAINT} (${holds}) NOT VALID`);
      const { pass, counted, refused } = flusher();
      for (let i = 0; i < 3; i++) {
        const { archiveError, flushed, batches, left } = await pass();
        assert.equal(archiveError?.code, 'archive_refuses', archiveError?.message);
        assert.match(String(archiveError), /violates check constraint "odd"/);
        assert.deepEqual([flushed, batches, [...new Set(left.values())]], [0, 0, ['archive_refuses']]);
        assert.equal(left.size, 64);
      }
      assert.deepEqual([refused.count, await valueIn(counted.rowsRefused)], [0, 0], 'none is marked');
      assert.ok((await look()).every(({ flushed }) => flushed === 0));
      assert.equal((await postgres.progress(redis.map.hash)).size, 0);
      await mend();
      assert.equal((await pass()).flushed, 64);
      assert.deepEqual(await wrong(fleet), []);
      assert.ok((await persisted('d0')).every((is) => is));
    });
  }

  test('ever other drivers, one in each pass: an outage, once they are more than bad luck', async () => {
    await postgres.sql(`${CONSTRAINT} (seq <> 13)`);
    const { pass, refused } = flusher();
    const codes: (string | undefined)[] = [];
    for (let i = 0; i < 12; i++) {
      const [bad, good] = [`bad${i}`, `good${i}`];
      await redis.store.record(7, [
        stored(bad, { session: 1, seq: 13, recordedAtMs: Date.now() }),
        stored(good, { session: 1, seq: 14, recordedAtMs: Date.now() }),
      ]);
      codes.push((await pass()).archiveError?.code);
    }
    assert.equal(codes.indexOf('archive_refuses'), 10);
    assert.equal(codes.filter((code) => code === undefined).length, 10);
    await mend();
    refused.tryAllAgain();
    await pass();
    assert.equal((await postgres.sql('SELECT FROM driver_positions')).length, 24);
  });

  test('the progress is refused: no row is to blame, and no row is marked', async () => {
    await postgres.sql('ALTER TABLE flush_progress ADD CONSTRAINT odd CHECK (partition <> 9) NOT VALID');
    try {
      await newFleet(100).report();
      const { pass, refused } = flusher();
      const { archiveError, flushed } = await pass();
      assert.deepEqual([archiveError?.code, flushed, refused.count], ['archive_away', 0, 0]);
    } finally {
      await postgres.sql('ALTER TABLE flush_progress DROP CONSTRAINT odd');
    }
    assert.equal((await newPass().run(await look())).flushed, 64);
  });

  test('many stand refused: a try costs a bounded number of transactions, and each has its turn', async () => {
    const fleet = newFleet(400);
    await fleet.report();
    await postgres.sql(`${CONSTRAINT} (length(driver_id) < 4)`); // d100 to d399
    const { pass, refused } = flusher();
    // As flushers with other limits may have left them.
    for (const status of await look()) {
      const state = await redis.store.begin(status.partition, 'other', 1_000);
      const page = await redis.store.unflushed(status.partition, {
        reign: state.reign,
        since: 0,
        cursor: '0',
        freshBeforeMs: 0,
        removeBeforeMs: 0,
      });
      await redis.store.quarantine(
        status.partition,
        page.rows.filter(({ driverId }) => driverId.length === 4),
        true,
      );
      await redis.store.flushed(status.partition, {
        reign: state.reign,
        revision: state.revision,
        asOfMs: state.nowMs,
        flusherId: 'other',
      });
    }
    // A sequence counts on where a transaction is rolled back.
    await postgres.sql(`
      CREATE SEQUENCE tries;
      CREATE FUNCTION try() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        'BEGIN PERFORM nextval(''tries''); RETURN NULL; END';
      CREATE TRIGGER try BEFORE INSERT ON driver_positions FOR EACH STATEMENT EXECUTE FUNCTION try()`);
    try {
      await pass();
      const [row] = await postgres.sql<{ n: string }>('SELECT last_value AS n FROM tries');
      const tries = Number(row?.n);
      assert.equal(refused.count, 300);
      assert.ok(tries > 20 && tries < 20 * 2 * Math.log2(300), `${tries} statements`);
    } finally {
      await postgres.sql('DROP FUNCTION try CASCADE; DROP SEQUENCE tries');
    }
    await mend();
    refused.tryAllAgain();
    await pass();
    assert.equal(refused.count, 0);
  });
});

test('a record that cannot be read stays, and the watermark with it; all others are written', async () => {
  const fleet = newFleet(3_000);
  await fleet.report();
  const partition = 17;
  const key = String(await redis.command(partition, 'KEYS', `positions:{${redis.map.tagOf(partition)}}`));
  for (const value of [Buffer.alloc(RECORD_BYTES, 4), Buffer.from('short'), Buffer.alloc(5000, 1), '']) {
    await redis.command(partition, 'HSET', key, 'odd', value, 'even', 'x');
    await fleet.report();
    const report = await newPass().run(await look());
    assert.deepEqual([[...report.left], report.flushed], [[[partition, 'bad_record']], 63]);
    assert.deepEqual(await wrong(fleet), [], 'also of this partition');
    assert.deepEqual([report.unreadable.get(partition), report.unreadable.get(18)], [2, 0]);
    assert.notEqual((await redis.store.status(partition)).dirtySinceMs, null);
  }
  await redis.command(partition, 'HDEL', key, 'odd', 'even');
  assert.equal((await newPass({ flusherId: 'other' }).run(await look([partition]))).flushed, 1);
  assert.equal((await redis.store.status(partition)).dirtySinceMs, null);
});

describe('Postgres', () => {
  test('away: nothing moves, no lease stays; back: nothing is missing', async () => {
    const fleet = newFleet(12_000);
    await fleet.report();
    await postgres.server.stop();
    const report = await newPass().run(await look());
    assert.equal(report.archiveError?.code, 'archive_away');
    assert.equal(report.flushed, 0);
    assert.equal(report.left.size, 64);
    assert.ok((await look()).every(({ flushed }) => flushed === 0));
    await postgres.server.restart();
    assert.equal((await newPass({ flusherId: 'other' }).run(await look())).flushed, 64);
    assert.deepEqual(await wrong(fleet), []);
  });

  test('restored from an older copy: noticed at the next flush, and filled again', async () => {
    const fleet = newFleet(2_000);
    await fleet.report();
    await newPass().run(await look());
    await postgres.sql(`CREATE TABLE old_positions AS TABLE driver_positions`);
    await postgres.sql(`CREATE TABLE old_progress AS TABLE flush_progress`);
    await fleet.report();
    await newPass().run(await look());
    await postgres.sql(`
      TRUNCATE driver_positions, flush_progress;
      INSERT INTO driver_positions TABLE old_positions;
      INSERT INTO flush_progress TABLE old_progress;
      DROP TABLE old_positions, old_progress`);
    assert.ok((await wrong(fleet)).length > 0);
    const counted = metrics();
    const report = await newPass({ metrics: counted }).run(await look());
    assert.deepEqual([...new Set(report.left.values())], ['behind']);
    assert.equal((await counted.rewinds.get()).values[0]?.value, 64);
    assert.ok(
      (await look()).every(({ flushedAtMs, dirtySinceMs }) => flushedAtMs === 0 && dirtySinceMs !== null),
    );
    assert.equal((await newPass().run(await look())).flushed, 64);
    assert.deepEqual(await wrong(fleet), []);
    assert.equal((await newPass().run(await look())).left.size, 0);
  });

  test('empty where it was full: the same', async () => {
    const fleet = newFleet(500);
    await fleet.report();
    await newPass().run(await look());
    await postgres.sql('TRUNCATE driver_positions, flush_progress');
    await newPass().run(await look());
    await newPass().run(await look());
    assert.deepEqual(await wrong(fleet), []);
  });
});

test('the stale leave the answers, the old leave the cache, once Postgres has them', async () => {
  const fleet = newFleet(1_500);
  await fleet.report();
  await newPass().run(await look());
  const listed = async () => (await look()).reduce((sum, { available }) => sum + available, 0);
  const cached = async () => (await look()).reduce((sum, { drivers }) => sum + drivers, 0);
  assert.deepEqual([await listed(), await cached()], [1_500, 1_500]);
  // Their recorded-at lies ahead by the number of the report.
  const ago = { freshnessMs: -60_000, sweepAfterMs: 300_000 };
  await newPass(ago).run(await look());
  assert.deepEqual([await listed(), await cached()], [0, 1_500]);
  await newPass({ ...ago, sweepAfterMs: -60_000 }).run(await look());
  assert.deepEqual([await listed(), await cached()], [0, 0]);
  assert.deepEqual(await wrong(fleet), []);
});

test('a driver in two partitions: the newer one counts, in one batch or in two', async () => {
  const older = stored('two', { session: 1, recordedAtMs: Date.now() });
  const newer = { ...older, recordedAtMs: older.recordedAtMs + 1, seq: 2 };
  await redis.store.record(40, [newer]);
  await redis.store.record(10, [older]);
  await newPass().run(await look([40, 10]));
  const held = () => postgres.sql('SELECT seq::integer, partition FROM driver_positions');
  assert.deepEqual(await held(), [{ seq: 2, partition: 40 }]);
  await redis.store.rewind(10, Date.now());
  await newPass().run(await look([10]));
  assert.deepEqual(await held(), [{ seq: 2, partition: 40 }]);
});
