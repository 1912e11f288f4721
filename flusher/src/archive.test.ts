// The contract of each statement, on a real Postgres and as the flusher's own role.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { NONE_U16, type Position } from '@whereabouts/infra/position';
import { Client } from 'pg';
import { type Archive, MAX_BATCH_ROWS } from './archive.js';
import type { ArchiveRow } from './archive-row.js';
import { type ArchiveFixture, EXTREMES, MAP_HASH, startArchive, stored } from './testing/archive-fixture.js';
import { until } from './testing/flusher-process.js';

const DEADLINE_MS = 30_000;
const WAITING_SINCE = 'SELECT min(waitstart)::text AS at FROM pg_locks WHERE NOT granted';

let fixture: ArchiveFixture;
let archive: Archive;

before(async () => {
  fixture = await startArchive();
  archive = fixture.archive();
});
after(() => fixture.stop());
beforeEach(() => fixture.sql('TRUNCATE driver_positions, checkpoints, flush_progress'));

const row = (position: Position, partition = 0): ArchiveRow => ({ partition, position });
const fleet = (count: number, fields: Partial<Position> = {}) =>
  Array.from({ length: count }, (_, i) => row(stored(`d${i}`, { seq: i + 1, ...fields }), i % 64));
const counted = async (from: string) =>
  (await fixture.sql<{ n: number }>(`SELECT count(*)::integer AS n FROM ${from}`))[0]?.n;
const asOf = async () => Object.fromEntries(await fixture.progress());

describe('commits that follow each other', () => {
  test('one waits until the one before is done, and lets others work once Postgres has it', async () => {
    const steps: string[] = [];
    let done = () => {};
    const before = new Promise<void>((resolve) => {
      done = resolve;
    });
    const committed = archive.commit(fleet(10), [], { before, sent: () => steps.push('sent') });
    await fixture.sql('SELECT');
    assert.equal(await counted('driver_positions'), 0);
    steps.push('done');
    done();
    await committed.then(() => steps.push('committed'));
    assert.deepEqual(steps, ['done', 'sent', 'committed']);
    assert.equal(await counted('driver_positions'), 10);
  });

  test('after one that failed none is tried', async () => {
    const before = Promise.reject(new Error('the one before'));
    const turn = { before, sent: () => assert.fail('it was sent') };
    await assert.rejects(archive.commit(fleet(10), [], turn), /the one before/);
    assert.equal(await counted('driver_positions'), 0);
  });
});

describe('positions', () => {
  test('every field arrives as it was, to the millisecond and the last digit', async () => {
    const full = stored('NULL', EXTREMES);
    const bare = stored('bare', { recordedAtMs: 1, latE7: 0, lonE7: 0, status: 'offline' });
    await archive.commit([row(full, 63), row(bare, 0)], []);
    const rows = await fixture.sql(
      `SELECT *, session::text, seq::text, (extract(epoch FROM recorded_at) * 1000)::text AS ms
       FROM driver_positions ORDER BY driver_id`,
    );
    const { persisted_at, recorded_at, ms, ...values } = rows[0] as Record<string, unknown>;
    assert.deepEqual(values, {
      driver_id: 'NULL',
      map_hash: MAP_HASH,
      partition: 63,
      services: 65_535,
      session: '281474976710655',
      seq: '4294967295',
      lat: -85.0511287,
      lon: 179.9999999,
      heading_deg: 359.99,
      speed_mps: 655.34,
      accuracy_m: 6553.4,
      status: 'busy',
    });
    assert.equal(Number(ms), 1_700_000_001_999);
    assert.equal((recorded_at as Date).getTime(), 1_700_000_001_999);
    assert.ok(Math.abs((persisted_at as Date).getTime() - Date.now()) < 60_000);
    const { heading_deg, speed_mps, accuracy_m } = rows[1] as Record<string, unknown>;
    assert.deepEqual([heading_deg, speed_mps, accuracy_m], [null, null, null]);
    assert.equal(Number(rows[1]?.ms), 1);
    assert.equal(bare.headingCdeg, NONE_U16);
  });

  test('any millisecond of a long time arrives exactly', async () => {
    const step = 7_919_000_037; // prime, three months: 2024 to 2270
    const rows = Array.from({ length: 1000 }, (_, i) =>
      row(stored(`d${i}`, { recordedAtMs: 1_704_067_200_000 + i * step + i })),
    );
    await archive.commit(rows, []);
    const found = await fixture.sql(
      'SELECT driver_id, extract(epoch FROM recorded_at) * 1000 AS ms FROM driver_positions',
    );
    const times = new Map(found.map(({ driver_id, ms }) => [driver_id, Number(ms)]));
    for (const { position } of rows) assert.equal(times.get(position.driverId), position.recordedAtMs);
  });

  test('the newest by (session, recorded at) stays, whatever comes in whatever order', async () => {
    const at = (session: number, recordedAtMs: number, seq: number) =>
      stored('d', { session, recordedAtMs, seq, headingCdeg: seq });
    const seen = async () => (await fixture.sql('SELECT seq::integer FROM driver_positions'))[0]?.seq;
    const written = async (p: Position) => (await archive.commit([row(p)], [])).written;
    assert.equal(await written(at(10, 1000, 1)), 1);
    assert.equal(await written(at(10, 1000, 2)), 0, 'equal');
    assert.equal(await written(at(10, 999, 3)), 0, 'older');
    assert.equal(await written(at(9, 5000, 4)), 0, 'older session, later time');
    assert.equal(await seen(), 1);
    assert.equal(await written(at(10, 1001, 5)), 1, 'newer');
    assert.equal(await seen(), 5);
    // As numbers: as text 9 would be greater than 10.
    assert.equal(await written(at(100, 1, 6)), 1, 'newer session, earlier time');
    assert.equal(await seen(), 6);
  });

  test('a row moves with its driver to another partition', async () => {
    await archive.commit([row(stored('d'), 3)], []);
    await archive.commit([row(stored('d', { recordedAtMs: 1_700_000_009_000 }), 4)], []);
    assert.deepEqual(await fixture.sql('SELECT partition FROM driver_positions'), [{ partition: 4 }]);
  });

  test('batches at once over the same drivers do not deadlock, and the newest stays', async () => {
    const other = fixture.archive();
    const rounds = Array.from({ length: 12 }, (_, round) => {
      const rows = fleet(1000, { recordedAtMs: 1_700_000_000_000 + ((round * 5) % 12) });
      // Each in another order, which the archive has to put right.
      const turned = [...rows.slice(round * 80), ...rows.slice(0, round * 80)];
      return (round % 2 ? other : archive).commit(turned, []);
    });
    const answers = await Promise.all(rounds);
    assert.ok(answers.every(({ transactions }) => transactions === 1));
    const found = await fixture.sql(
      'SELECT DISTINCT (extract(epoch FROM recorded_at) * 1000)::text AS ms FROM driver_positions',
    );
    assert.deepEqual(
      found.map(({ ms }) => Number(ms)),
      [1_700_000_000_011],
    );
    const [database] = await fixture.sql(
      'SELECT deadlocks::integer FROM pg_stat_database WHERE datname = current_database()',
    );
    assert.equal(database?.deadlocks, 0);
  });

  test('a refused row is left out, alone', async () => {
    const rows = fleet(300);
    const bad = [row(stored('bad-lat', { latE7: 860_000_000 }), 5), row(stored('d7x', { services: -1 }), 6)];
    const answer = await archive.commit([...rows, ...bad], [{ partition: 5, asOfMs: 1000, flushedAtMs: 0 }]);
    assert.deepEqual(answer.refused.map(({ position }) => position.driverId).sort(), ['bad-lat', 'd7x']);
    assert.equal(answer.written, 300);
    assert.equal(await counted('driver_positions'), 300);
    assert.deepEqual(await asOf(), { 5: 1000 });
  });

  test('so many are refused that the tables must be wrong: rejected early, and no progress is moved', async () => {
    await fixture.sql(`ALTER TABLE driver_positions ADD CONSTRAINT odd CHECK (seq % 2 = 0) NOT VALID`);
    try {
      const commit = fixture.archive().commit(fleet(3_000), [{ partition: 5, asOfMs: 1000, flushedAtMs: 0 }]);
      const message = /refuses 26 of 3000 rows, the last because: .* violates check constraint "odd"/;
      await assert.rejects(commit, { code: 'archive_refuses', message });
      assert.deepEqual(await asOf(), {});
    } finally {
      await fixture.sql('ALTER TABLE driver_positions DROP CONSTRAINT odd');
    }
  });

  test('of refused ones that are tried again, only those count as taken that are', async () => {
    await fixture.sql(`ALTER TABLE driver_positions ADD CONSTRAINT odd CHECK (seq % 3 <> 0) NOT VALID`);
    try {
      const taken = await fixture.archive().commitRefused(fleet(9));
      const names = taken.map(({ position }) => position.driverId).sort();
      assert.deepEqual(names, ['d0', 'd1', 'd3', 'd4', 'd6', 'd7']);
      assert.equal(await counted('driver_positions'), 6);
      assert.equal((await fixture.archive().commitRefused(fleet(300))).length < 300, true, 'it ends early');
    } finally {
      await fixture.sql('ALTER TABLE driver_positions DROP CONSTRAINT odd');
    }
  });

  test('more rows than a batch may have are several transactions', async () => {
    const answer = await archive.commit(fleet(MAX_BATCH_ROWS + 1), []);
    assert.equal(answer.transactions, 2);
    assert.equal(await counted('driver_positions'), MAX_BATCH_ROWS + 1);
  });
});

describe('progress', () => {
  const progress = (partition: number, asOfMs: number, flushedAtMs = 0) => ({
    partition,
    asOfMs,
    flushedAtMs,
  });

  test('moves in the transaction of the rows, also without any, never back', async () => {
    await archive.commit(fleet(3), [progress(1, 1_700_000_001_001), progress(2, 1_700_000_002_002)]);
    assert.deepEqual(await asOf(), { 1: 1_700_000_001_001, 2: 1_700_000_002_002 });
    await archive.commit(
      [],
      [progress(1, 1_700_000_000_000), progress(2, 1_700_000_003_000, 1_700_000_002_002)],
    );
    assert.deepEqual(await asOf(), { 1: 1_700_000_001_001, 2: 1_700_000_003_000 });
  });

  test('stays where it is when the rows are not committed', async () => {
    const failing = fixture.archive({
      reached: () => {
        throw new Error('stopped before the commit');
      },
    });
    await assert.rejects(failing.commit(fleet(3), [progress(1, 1000)]), { code: 'archive_away' });
    assert.deepEqual(await asOf(), {});
    assert.equal(await counted('driver_positions'), 0);
  });

  test('an archive older than the last flush is told, and claims nothing', async () => {
    await archive.commit([], [progress(1, 1000), progress(2, 2000)]);
    const answer = await archive.commit(fleet(1), [
      progress(1, 9000, 1001),
      progress(2, 9000, 2000),
      progress(3, 9000, 1),
    ]);
    assert.deepEqual(
      answer.behind.toSorted((a, b) => a.partition - b.partition),
      [
        { partition: 1, asOfMs: 1000 },
        { partition: 3, asOfMs: null },
      ],
    );
    assert.deepEqual(await asOf(), { 1: 1000, 2: 9000 });
    assert.equal(await counted('driver_positions'), 1, 'newer rows are welcome all the same');
  });

  test('times that are none stand in nobody’s way', async () => {
    await fixture.sql(`INSERT INTO flush_progress (map_hash, partition, as_of)
      VALUES ('${MAP_HASH}', 1, 'infinity'), ('${MAP_HASH}', 2, '-infinity'), ('${MAP_HASH}', 3, '0044-03-15 BC')`);
    const given = [1, 2, 3, 4].map((partition) => progress(partition, 9000, partition === 4 ? 0 : 8000));
    const { behind } = await archive.commit(fleet(1), given);
    const [beforeChrist] = behind.filter(({ partition }) => partition === 3);
    assert.ok((beforeChrist?.asOfMs ?? 0) < 0);
    assert.deepEqual(
      behind.filter(({ partition }) => partition !== 3),
      [{ partition: 2, asOfMs: null }],
    );
    assert.equal((await asOf())[4], 9000);
  });

  test('each map has its own', async () => {
    const other = fixture.archive({ mapHash: 'other' });
    await archive.commit([], [progress(1, 1000)]);
    await other.commit([], [progress(1, 500)]);
    assert.deepEqual(await asOf(), { 1: 1000 });
    assert.deepEqual(Object.fromEntries(await fixture.progress('other')), { 1: 500 });
  });

  test('two at once over the same partitions, in any order', async () => {
    const other = fixture.archive();
    const all = Array.from({ length: 64 }, (_, i) => progress(i, 1000 + i));
    const rounds = Array.from({ length: 10 }, (_, i) =>
      i % 2 ? archive.commit([], all) : other.commit([], all.toReversed()),
    );
    await Promise.all(rounds);
    assert.deepEqual(await asOf(), Object.fromEntries(all.map((entry) => [entry.partition, entry.asOfMs])));
  });

  test('the view says as of when each row, and the whole map, is true', async () => {
    await archive.commit(fleet(3), [progress(0, 2000), progress(1, 1000)]);
    const rows = await fixture.sql(
      `SELECT driver_id, extract(epoch FROM as_of)::float AS as_of, extract(epoch FROM map_as_of)::float AS map_as_of
       FROM driver_positions_as_of ORDER BY driver_id`,
    );
    assert.deepEqual(rows, [
      { driver_id: 'd0', as_of: 2, map_as_of: 1 },
      { driver_id: 'd1', as_of: 1, map_as_of: 1 },
      { driver_id: 'd2', as_of: null, map_as_of: 1 },
    ]);
  });
});

describe('checkpoints', () => {
  const checkpoint = (seq: number, checkpointId: string | null, session = 1) =>
    stored('d', { session, seq, checkpointId, checkpoint: true });

  test('one row each, by (driver, session, seq) and by (driver, checkpoint id), also within a batch', async () => {
    const ofThatSeq = checkpoint(2, 'again');
    const batch = [checkpoint(1, 'trip-1'), checkpoint(2, null), ofThatSeq, checkpoint(9, 'trip-1', 2)];
    assert.deepEqual(await archive.insertCheckpoints(batch), {
      written: 2,
      refused: [],
      untried: [],
      conflicting: [ofThatSeq],
      why: null,
    });
    assert.deepEqual(await archive.insertCheckpoints([checkpoint(5, 'trip-1', 3), checkpoint(3, null)]), {
      written: 1,
      refused: [],
      untried: [],
      conflicting: [],
      why: null,
    });
    assert.deepEqual(await fixture.sql('SELECT seq::integer, checkpoint_id FROM checkpoints ORDER BY seq'), [
      { seq: 1, checkpoint_id: 'trip-1' },
      { seq: 2, checkpoint_id: null },
      { seq: 3, checkpoint_id: null },
    ]);
  });

  test('an id that stands for another time or place is a conflict, also within a batch', async () => {
    const first = checkpoint(1, 'trip-1');
    await archive.insertCheckpoints([first]);
    const later = { ...checkpoint(2, 'trip-1'), recordedAtMs: first.recordedAtMs + 1 };
    const elsewhere = { ...checkpoint(3, 'trip-1'), latE7: first.latE7 - 1 };
    const same = { ...checkpoint(4, 'trip-1', 2), speedCmps: 1 };
    const [fresh, freshElsewhere] = [
      checkpoint(5, 'trip-2'),
      { ...checkpoint(6, 'trip-2'), lonE7: first.lonE7 + 1 },
    ];
    const answer = await archive.insertCheckpoints([later, elsewhere, same, fresh, freshElsewhere]);
    assert.deepEqual([answer.written, answer.refused], [1, []]);
    assert.deepEqual(answer.conflicting, [later, elsewhere, freshElsewhere]);
    const ofThatSeq = await archive.insertCheckpoints([checkpoint(1, 'trip-3')]);
    assert.equal(ofThatSeq.conflicting.length, 1, 'it is not in the table under its own id');
  });

  test('the same id of another driver is another checkpoint', async () => {
    const other = { ...checkpoint(1, 'trip-1'), driverId: 'e' };
    assert.equal((await archive.insertCheckpoints([checkpoint(1, 'trip-1'), other])).written, 2);
  });

  test("several at once do not stand in each other's way", async () => {
    const other = fixture.archive();
    const batch = Array.from({ length: 400 }, (_, i) => ({
      ...checkpoint(i + 1, `t${i}`),
      driverId: `d${i % 7}`,
    }));
    const answers = await Promise.all([
      archive.insertCheckpoints(batch),
      other.insertCheckpoints(batch.toReversed()),
    ]);
    assert.equal(
      answers.reduce((sum, { written }) => sum + written, 0),
      400,
    );
  });

  test('so many are refused that the rest is left for another time', async () => {
    await fixture.sql(`ALTER TABLE checkpoints ADD CONSTRAINT odd CHECK (seq % 2 = 0) NOT VALID`);
    try {
      const many = Array.from({ length: 1_000 }, (_, i) => checkpoint(i + 1, null));
      const answer = await archive.insertCheckpoints(many);
      assert.equal(answer.written + answer.refused.length + answer.untried.length, 1_000);
      assert.equal(answer.refused.length, 26);
      assert.equal(await counted('checkpoints'), answer.written);
      assert.ok(answer.refused.every(({ seq }) => seq % 2 === 1));
    } finally {
      await fixture.sql('ALTER TABLE checkpoints DROP CONSTRAINT odd');
    }
  });

  test('a refused one is left out, alone', async () => {
    const bad = checkpoint(0, null);
    const answer = await archive.insertCheckpoints([checkpoint(1, null), bad, checkpoint(2, null)]);
    assert.deepEqual([answer.written, answer.refused, answer.untried], [2, [bad], []]);
    assert.deepEqual(answer.conflicting, []);
    assert.match(String(answer.why), /seq_range/);
  });
});

describe('retention', () => {
  test('old positions go, page by page; the others stay', async () => {
    await archive.commit(fleet(10, { recordedAtMs: 1000 }), []);
    await archive.commit(fleet(4, { recordedAtMs: 2000 }), []);
    let after = '';
    let deleted = 0;
    const pages: (string | null)[] = [];
    for (;;) {
      const page = await archive.deletePositions(new Date(2000), after, 4);
      deleted += page.deleted;
      pages.push(page.last);
      if (page.last === null) break;
      after = page.last;
    }
    assert.deepEqual(pages, ['d3', 'd7', 'd9', null]);
    assert.equal(deleted, 6);
    assert.equal(
      await counted(`driver_positions WHERE recorded_at < 'epoch'::timestamptz + interval '2 s'`),
      0,
    );
    assert.equal(await counted('driver_positions'), 4);
  });

  test('old checkpoints go, at most so many at once', async () => {
    const many = Array.from({ length: 5 }, (_, i) => stored('d', { seq: i + 1 }));
    await archive.insertCheckpoints(many);
    await fixture.sql(`UPDATE checkpoints SET persisted_at = now() - interval '40 days' WHERE seq < 4`);
    const monthAgo = new Date(Date.now() - 30 * 86_400_000);
    assert.equal(await archive.deleteCheckpoints(monthAgo, 2), 2);
    assert.equal(await archive.deleteCheckpoints(monthAgo, 2), 1);
    assert.equal(await archive.deleteCheckpoints(monthAgo, 2), 0);
    assert.equal(await counted('checkpoints'), 2);
  });
});

describe('trouble', () => {
  /** Holds a lock that the flusher needs, as the owner of the tables, while `work` runs. */
  async function whileLocked(statement: string, work: (release: () => Promise<void>) => Promise<void>) {
    const holder = new Client({ connectionString: fixture.migratorUrl });
    await holder.connect();
    try {
      await holder.query('BEGIN');
      await holder.query(statement);
      await work(async () => void (await holder.query('ROLLBACK')));
    } finally {
      await holder.end();
    }
  }

  test('a lock held for longer than lock_timeout is waited for by trying again', async () => {
    await archive.commit(fleet(3), []);
    await whileLocked("SELECT FROM driver_positions WHERE driver_id = 'd1' FOR UPDATE", async (release) => {
      const commit = archive.commit(fleet(3, { recordedAtMs: 1_700_000_009_999 }), []);
      // Who waits since another moment than at first is trying again.
      const since = async () => (await fixture.sql<{ at: string | null }>(WAITING_SINCE))[0]?.at ?? undefined;
      const first = await waitFor('it waits', DEADLINE_MS, since);
      await waitFor('it tries again', DEADLINE_MS, async () => {
        const now = await since();
        return (now !== undefined && now !== first) || undefined;
      });
      await release();
      assert.equal((await commit).written, 3);
    });
  });

  test('a lock held for ever is given up', async () => {
    await whileLocked('LOCK TABLE driver_positions', async () => {
      await assert.rejects(archive.commit(fleet(3), []), { code: 'archive_away', message: /lock timeout/ });
    });
    assert.equal((await archive.commit(fleet(3), [])).written, 3);
  });

  test('a statement that takes too long is tried with fewer rows', async () => {
    await fixture.sql(`
      CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(0.004); RETURN NEW; END';
      CREATE TRIGGER slow BEFORE INSERT ON driver_positions FOR EACH ROW EXECUTE FUNCTION slow()`);
    try {
      const answer = await fixture.archive().commit(fleet(600), []);
      assert.equal(answer.written, 600);
      assert.ok(answer.transactions >= 2, `${answer.transactions} transactions`);
    } finally {
      await fixture.sql('DROP FUNCTION slow CASCADE');
    }
  });

  test('a server that is gone is away; when it is back, so is the archive', async () => {
    await fixture.server.stop();
    await assert.rejects(archive.commit(fleet(3), []), { code: 'archive_away' });
    await assert.rejects(archive.probe('positions'), { code: 'archive_away' });
    await fixture.server.restart();
    await archive.commit(fleet(3), []);
    assert.equal(await counted('driver_positions'), 3);
  });

  const sessions = async () => {
    const rows = await fixture.sql<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE application_name = 'whereabouts-flusher'`,
    );
    return rows.map(({ pid }) => pid);
  };

  for (const [what, breaks, mends] of [
    [
      'no right',
      'REVOKE INSERT ON driver_positions FROM whereabouts_flusher',
      'GRANT INSERT ON driver_positions TO whereabouts_flusher',
    ],
    [
      'no table',
      'ALTER TABLE driver_positions RENAME TO other',
      'ALTER TABLE other RENAME TO driver_positions',
    ],
  ] as const) {
    test(`${what}: every session that sees it is closed, and no probe is answered until it is over`, async () => {
      const others = await sessions();
      const one = fixture.archive();
      await one.commit(fleet(3), []);
      const ours = async () => (await sessions()).filter((pid) => !others.includes(pid));
      const [before] = await ours();
      assert.ok(before !== undefined);
      await fixture.sql(breaks);
      try {
        await assert.rejects(one.commit(fleet(3), []), { code: 'archive_away' });
        await until('it is closed', async () => (await ours()).length === 0);
        for (let i = 0; i < 3; i++) {
          await assert.rejects(one.probe('positions'), { code: 'archive_away' });
          await until('its session is closed too', async () => (await ours()).length === 0);
        }
        await one.probe('checkpoints');
      } finally {
        await fixture.sql(mends);
      }
      await one.probe('positions');
      await one.commit(fleet(3), []);
      assert.ok(!(await ours()).includes(before));
    });
  }

  test('a probe comes over a new session, and the idle ones end', async () => {
    const others = await sessions();
    const one = fixture.archive();
    await one.commit(fleet(3), []);
    const ours = async () => (await sessions()).filter((pid) => !others.includes(pid));
    const [before] = await ours();
    await one.probe('positions');
    await until(
      'the old one has ended',
      async () => (await ours()).length === 1 && (await ours())[0] !== before,
    );
  });

  test('a row that is refused, or a lock that is held, closes no session', async () => {
    const one = fixture.archive();
    await one.commit(fleet(30), []);
    const before = await sessions();
    await one.commit([...fleet(30), row(stored('bad', { services: -1 }))], []);
    assert.deepEqual(await sessions(), before);
  });

  test('the probe needs all that a flush needs, and leaves nothing', async () => {
    await archive.probe('positions');
    await archive.probe('checkpoints');
    for (const table of ['driver_positions', 'checkpoints', 'flush_progress'])
      assert.equal(await counted(table), 0, table);
    const needs = [
      ['positions', 'SELECT', 'driver_positions'],
      ['positions', 'INSERT', 'driver_positions'],
      ['positions', 'UPDATE', 'driver_positions'],
      ['positions', 'SELECT', 'flush_progress'],
      ['positions', 'INSERT', 'flush_progress'],
      ['positions', 'UPDATE', 'flush_progress'],
      ['checkpoints', 'INSERT', 'checkpoints'],
    ] as const;
    for (const [what, right, table] of needs) {
      await fixture.sql(`REVOKE ${right} ON ${table} FROM whereabouts_flusher`);
      const probe = archive.probe(what);
      await assert.rejects(
        probe,
        { code: 'archive_away', message: /permission denied/ },
        `${right} on ${table}`,
      );
      await fixture.sql(`GRANT ${right} ON ${table} TO whereabouts_flusher`);
    }
    await archive.probe('positions');
  });

  test('a frozen server is given up, and its connection with it', async () => {
    await archive.readPositions('', 1);
    const pids = await fixture.sql(
      `SELECT pid FROM pg_stat_activity WHERE application_name = 'whereabouts-flusher'`,
    );
    for (const { pid } of pids) process.kill(pid, 'SIGSTOP');
    try {
      await assert.rejects(archive.commit(fleet(3), []), { code: 'archive_away', message: /timeout/ });
    } finally {
      for (const { pid } of pids) process.kill(pid, 'SIGCONT');
    }
    await archive.commit(fleet(3), []);
    assert.equal(await counted('driver_positions'), 3);
  });
});

test('the flusher may read and write rows, and nothing else', async () => {
  const flusher = new Client({ connectionString: fixture.flusherUrl });
  await flusher.connect();
  const denied = [
    'CREATE TABLE mine ()',
    'CREATE SCHEMA mine',
    'CREATE TEMPORARY TABLE mine ()',
    'ALTER TABLE driver_positions ADD COLUMN mine integer',
    'DROP TABLE checkpoints',
    'TRUNCATE driver_positions',
    'UPDATE checkpoints SET seq = 1',
    'DELETE FROM flush_progress',
    'SELECT FROM schema_migrations',
  ];
  for (const statement of denied)
    await assert.rejects(flusher.query(statement), { code: '42501' }, statement);
  await flusher.end();
});
