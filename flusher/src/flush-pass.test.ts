// Passes in this process, step by step, on a real cluster and a real Postgres.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { batchOf, type LogFixture, startLogStore } from '@whereabouts/infra/live-store/testing/log-fixture';
import { QUIET } from '@whereabouts/infra/live-store/testing/store-fixture';
import type { Position } from '@whereabouts/infra/position';
import { FIRST_ID } from '@whereabouts/infra/record';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { PacedLog } from '@whereabouts/infra/service/paced-log';
import type { Archive } from './archive.js';
import { Compaction } from './compaction.js';
import type { Failpoint } from './failpoint.js';
import { flushMetrics } from './flush-metrics.js';
import { FlushPass, type FlushPassOptions } from './flush-pass.js';
import { type PartitionStatus, statusOf } from './partition-status.js';
import { RefusedPositions } from './refused-positions.js';
import { type ArchiveFixture, startArchive, stored } from './testing/archive-fixture.js';
import { until } from './testing/flusher-process.js';
import { type LivePosition, liveView } from './testing/live-view.js';
import { differences, Fleet } from './testing/truth.js';

let redis: LogFixture;
let postgres: ArchiveFixture;
let archive: Archive;
let fleetNumber = 0;

before(async () => {
  [redis, postgres] = await Promise.all([startLogStore(), startArchive()]);
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
const append = (partition: number, ...positions: Position[]) =>
  redis.store.append(partition, batchOf(...positions), positions.length);
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
  return Promise.all(all.map((partition) => statusOf(redis.store, partition)));
}

function newPass(o: Partial<FlushPassOptions> = {}): FlushPass {
  const { store } = redis;
  const counted = o.metrics ?? metrics();
  return new FlushPass({
    store,
    archive,
    refused: new RefusedPositions({ store, log: QUIET, metrics: counted }),
    flusherId: 'me',
    sweepAfterMs: 300_000,
    log: QUIET,
    paced: new PacedLog(),
    metrics: counted,
    reached: () => {},
    ...o,
  });
}

const partitions = () => Array.from({ length: redis.map.partitions }, (_, i) => i);
const compactAll = () => Promise.all(partitions().map((partition) => redis.store.compact(partition, 0)));

/** The newest record of a driver, wherever it is. */
async function recordOf(id: string): Promise<LivePosition | undefined> {
  const views = await Promise.all(partitions().map((partition) => liveView(redis.store, partition)));
  return views.flatMap((view) => view.get(id) ?? []).sort((a, b) => b.recordedAtMs - a.recordedAtMs)[0];
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
      assert.deepEqual(status.flushed, { term: status.term, revision: status.revision });
      assert.equal(status.acceptedSinceFlush, 0);
      assert.equal(progress.get(status.partition), status.flushedAtMs, "both are begin's time");
    }
    assert.equal((await recordOf('d7'))?.persisted, true);
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

describe('a term that ends', () => {
  /** Rewinds the partition at each of the first `times` begins, ahead of the reading on the same connection. */
  function unsteady(partition: number, times: number) {
    let begins = 0;
    const act = () => {
      if (++begins <= times) void redis.store.rewind(partition, Date.now());
    };
    return { reached: at('after_begin', act), begins: () => begins };
  }

  test('twice: begins again twice, and flushes', async () => {
    await newFleet(200).report();
    const terms = unsteady(9, 2);
    const report = await newPass({ reached: terms.reached }).run(await look([9]));
    assert.deepEqual([report.flushed, terms.begins()], [1, 3]);
  });

  test('for ever: leaves it to the next pass, without its lease', async () => {
    await newFleet(200).report();
    const terms = unsteady(9, Number.POSITIVE_INFINITY);
    const report = await newPass({ reached: terms.reached }).run(await look([9]));
    assert.deepEqual([...report.left], [[9, 'term_changed']]);
    assert.equal(terms.begins(), 3);
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
    assert.ok((await look()).every(({ flushed }) => flushed.term === 0));
    assert.equal((await newPass().run(await look())).flushed, 64);
  });
});

describe('rows that Postgres refuses', () => {
  const CONSTRAINT = 'ALTER TABLE driver_positions ADD CONSTRAINT odd CHECK';
  const mend = () => postgres.sql('ALTER TABLE driver_positions DROP CONSTRAINT IF EXISTS odd');
  afterEach(mend);

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

  test('a few among many: never persisted, noted, and in nobody’s way', async () => {
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
      assert.deepEqual([refused.count, (await recordOf('d7'))?.isRefused], [2, true]);
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

  test('they are found in the log and in the snapshot, and no sweep takes them, however old they are', async () => {
    await postgres.sql(`${CONSTRAINT} (driver_id NOT IN ('d7', 'd11'))`);
    const fleet = newFleet(300);
    await fleet.report();
    const { pass, counted, refused } = flusher();
    await pass();
    assert.equal((await recordOf('d7'))?.isInLog, true);
    refused.tryAllAgain();
    await pass();
    await compactAll();
    assert.equal((await recordOf('d7'))?.isInLog, false);
    const sweepAll = async () => {
      const all = { removeBeforeMs: Date.now() + 60_000, cursor: '0', pageSize: 10_000 };
      for (const partition of partitions()) await redis.store.sweep(partition, all);
    };
    await sweepAll();
    assert.equal(
      (await look()).reduce((sum, { drivers }) => sum + drivers, 0),
      2,
    );
    await mend();
    refused.tryAllAgain();
    await pass();
    assert.deepEqual([refused.count, await valueIn(counted.refusedTaken)], [0, 2]);
    assert.deepEqual(await wrong(fleet), []);
    await sweepAll();
    assert.equal(await recordOf('d7'), undefined, 'Postgres has it: now it may go');
  });

  test('their next report takes the note back, whether it is refused too or not', async () => {
    await postgres.sql(`${CONSTRAINT} (driver_id <> 'd7' OR seq > 2) NOT VALID`);
    const fleet = newFleet(300);
    const { pass, refused } = flusher();
    for (const count of [1, 1, 0]) {
      await fleet.report();
      await pass();
      // From elsewhere: the note of the partition that they have left goes when it is tried again.
      refused.tryAllAgain();
      await pass();
      assert.equal(refused.count, count);
      assert.equal((await recordOf('d7'))?.persisted, count === 0);
    }
    assert.deepEqual(await wrong(fleet), []);
  });

  test('a note whose record is no more there goes', async () => {
    await newFleet(300).report();
    const { pass, refused } = flusher();
    await pass();
    await redis.store.refuse(7, [{ driverId: 'gone', id: { term: 1, revision: 1 } }], true);
    await pass();
    await pass();
    assert.equal(refused.count, 0);
    assert.equal((await redis.store.refused(7)).refused.size, 0);
  });

  test('rewind takes the notes back', async () => {
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
      assert.deepEqual([refused.count, await valueIn(counted.rowsRefused)], [0, 0], 'none is noted');
      assert.ok((await look()).every(({ flushed }) => flushed.term === 0));
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
      const fields = { session: 1, recordedAtMs: Date.now() };
      await append(7, stored(bad, { ...fields, seq: 13 }), stored(good, { ...fields, seq: 14 }));
      codes.push((await pass()).archiveError?.code);
    }
    assert.equal(codes.indexOf('archive_refuses'), 10);
    assert.equal(codes.filter((code) => code === undefined).length, 10);
    await mend();
    refused.tryAllAgain();
    await pass();
    assert.equal((await postgres.sql('SELECT FROM driver_positions')).length, 24);
  });

  test('the progress is refused: no row is to blame, and no row is noted', async () => {
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
    for (const partition of partitions()) {
      const { term, revision, nowMs: asOfMs } = await redis.store.begin(partition, 'other', 1_000);
      const view = [...(await liveView(redis.store, partition))].filter(([{ length }]) => length === 4);
      const notes = view.map(([driverId, { id }]) => ({ driverId, id }));
      if (notes.length > 0) await redis.store.refuse(partition, notes, true);
      await redis.store.flushed(partition, { term, revision, asOfMs, flusherId: 'other' });
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

describe('what cannot be read', () => {
  const partition = 17;
  /** Of driver `odd`, in a format that nobody knows yet, and longer than ours. */
  const newFormat = (recordedAtMs: number) => {
    const known = batchOf(stored('odd', { session: 1, recordedAtMs }));
    const batch = Buffer.concat([known, Buffer.from('more fields')]);
    batch[4] = known.length - 5 + 11;
    batch[5] = 77;
    return batch;
  };
  const cut = () => batchOf(stored('cut', { session: 1 })).subarray(0, 20);

  test('in the log and in the snapshot: it stays, and the watermark with it; all others are written', async () => {
    const fleet = newFleet(3_000);
    await fleet.report();
    const nowMs = Date.now();
    await redis.store.append(partition, newFormat(nowMs), 1);
    for (const inSnapshot of [false, true, true]) {
      if (inSnapshot) await compactAll();
      await fleet.report();
      const report = await newPass().run(await look());
      assert.deepEqual([[...report.left], report.flushed], [[[partition, 'bad_record']], 63]);
      assert.deepEqual(await wrong(fleet), [], 'also of this partition');
      assert.deepEqual([report.unreadable.get(partition), report.unreadable.get(18)], [1, 0]);
      assert.notEqual((await statusOf(redis.store, partition)).dirtySinceMs, null);
    }
    const [value] = await redis.store.snapshotOf(partition, ['odd']);
    assert.deepEqual(value?.subarray(0, -12), newFormat(nowMs).subarray(5), 'kept whole');
    // Its driver reports in a format that we know.
    const newer = stored('odd', { session: 1, recordedAtMs: nowMs + 1 });
    await fleet.append(partition, [newer]);
    assert.equal((await newPass().run(await look([partition]))).flushed, 0, 'the old one is still there');
    await compactAll();
    assert.equal((await newPass({ flusherId: 'other' }).run(await look([partition]))).flushed, 1);
    assert.equal((await statusOf(redis.store, partition)).dirtySinceMs, null);
    assert.deepEqual(await wrong(fleet), []);
  });

  test('a part of an entry that does not add up: told, and over once compaction has dropped it', async () => {
    const fleet = newFleet(100);
    const [driver] = [stored('whole', { session: 1, recordedAtMs: Date.now() })];
    await redis.store.append(partition, Buffer.concat([batchOf(driver), cut()]), 2);
    fleet.newest.set('whole', driver);
    const lines: Record<string, unknown>[] = [];
    const log = { ...QUIET, error: (line: object, msg: string) => lines.push({ ...line, msg }) };
    const pass = () => newPass({ log: log as unknown as typeof QUIET });
    const report = await pass().run(await look([partition]));
    assert.deepEqual([...report.left], [[partition, 'bad_record']]);
    assert.equal(lines[0]?.msg, 'records that cannot be read are passed over');
    assert.match(String(lines[0]?.first), /^entry \d+-1$/);
    assert.deepEqual(await wrong(fleet), []);
    await compactAll();
    assert.equal((await pass().run(await look([partition]))).flushed, 1);
  });
});

describe('compaction that goes ahead', () => {
  const partition = 9;
  /** More pages than one, each entry of a driver of its own. */
  async function manyEntries(fleet: Fleet, from: number, count: number): Promise<void> {
    for (let i = from; i < from + count; i++)
      await fleet.append(partition, [stored(`e${i}`, { session: 1, recordedAtMs: Date.now() })]);
  }

  test('of the watermark: the snapshot is read too', async () => {
    const fleet = newFleet(1);
    await manyEntries(fleet, 0, 10);
    await newPass().run(await look([partition]));
    await manyEntries(fleet, 5, 20);
    await compactAll();
    await manyEntries(fleet, 20, 20);
    const counted = metrics();
    assert.equal((await newPass({ metrics: counted }).run(await look([partition]))).flushed, 1);
    assert.deepEqual(await wrong(fleet), []);
    assert.equal((await counted.rowsScanned.get()).values[0]?.value, 40, 'e0 to e4 were flushed before');
  });

  for (const atPage of [1, 2, 3, 4]) {
    test(`between two pages, after page ${atPage}: the watermark does not pass what it never saw`, async () => {
      const fleet = newFleet(1);
      await manyEntries(fleet, 0, 200);
      let pages = 0;
      let compacting: Promise<unknown> | null = null;
      // Ahead of the next page on the same connection.
      const act = () => {
        if (++pages !== atPage) return;
        compacting = redis.store.compact(partition, 0);
      };
      const report = await newPass({ reached: at('after_page', act) }).run(await look([partition]));
      assert.equal(report.flushed, 1);
      assert.notEqual(compacting, null);
      await compacting;
      assert.ok(pages >= atPage);
      assert.deepEqual(await wrong(fleet), []);
      assert.equal((await statusOf(redis.store, partition)).dirtySinceMs, null);
    });
  }

  test('a log far over its limit, of a partition that nobody flushed for long', async () => {
    const fleet = newFleet(2_000);
    const positions = Array.from({ length: 2_000 }, (_, i) => stored(`driver-with-a-long-name-${i}`));
    const nowMs = Date.now();
    for (let round = 0; round < 60; round++) {
      const fields = { session: 1, recordedAtMs: nowMs + round, seq: round + 1 };
      await fleet.append(
        partition,
        positions.map((position) => ({ ...position, ...fields })),
      );
    }
    const { logBytes } = await statusOf(redis.store, partition);
    assert.ok(logBytes > 7_000_000, `${logBytes} bytes`);
    const counted = metrics();
    const compaction = new Compaction({
      store: redis.store,
      flusherId: 'me',
      minAgeMs: 0,
      metrics: counted,
      stopping: new AbortController().signal,
    });
    await until('the log is folded', async () => {
      await compaction.run(await look([partition]));
      return (await statusOf(redis.store, partition)).entries === 0;
    });
    assert.equal((await newPass().run(await look([partition]))).flushed, 1);
    assert.deepEqual(await wrong(fleet), []);
    const after = await statusOf(redis.store, partition);
    assert.deepEqual([after.entries, after.logBytes, after.drivers], [0, 0, 2_000]);
  });
});

test('nothing counts as flushed, and the log is empty: the snapshot alone is read', async () => {
  const fleet = newFleet(500);
  await fleet.report();
  await compactAll();
  for (const partition of partitions())
    await redis.command(partition, 'DEL', `meta:{${redis.map.tagOf(partition)}}`);
  await newPass().run(await look());
  assert.deepEqual(await wrong(fleet), []);
  assert.equal(
    (await look()).some(({ flushed }) => flushed.revision === FIRST_ID.revision && flushed.term === 0),
    false,
  );
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
    assert.ok((await look()).every(({ flushed }) => flushed.term === 0));
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

test('a driver in two partitions: the newer one counts, in one batch or in two', async () => {
  const older = stored('two', { session: 1, recordedAtMs: Date.now() });
  const newer = { ...older, recordedAtMs: older.recordedAtMs + 1, seq: 2 };
  await append(40, newer);
  await append(10, older);
  await newPass().run(await look([40, 10]));
  const held = () => postgres.sql('SELECT seq::integer, partition FROM driver_positions');
  assert.deepEqual(await held(), [{ seq: 2, partition: 40 }]);
  await redis.store.rewind(10, Date.now());
  await newPass().run(await look([10]));
  assert.deepEqual(await held(), [{ seq: 2, partition: 40 }]);
});
