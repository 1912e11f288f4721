// From a real Postgres into a real cluster; outages are in what the restoration is given to call.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import { batchOf } from '@whereabouts/infra/live-store/testing/log-fixture';
import { fromE7, type Position, toE7 } from '@whereabouts/infra/position';
import { archiveError } from './archive-error.js';
import { MAX_ATTEMPTS, PAGE_ROWS, type RestorationOptions, restoreArchive } from './restoration.js';
import { stored } from './testing/archive-fixture.js';
import { type Stack, startStack } from './testing/flusher-process.js';
import { liveView } from './testing/live-view.js';

const RESTORE = fileURLToPath(new URL('./restore.js', import.meta.url));
const HOUR_MS = 3_600_000;
const PERSISTED_MS = 1_700_000_100_000;
const DRIVERS = PAGE_ROWS + 1;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack?.stop());

/** All over the world, so that every partition has some. */
function driver(i: number): Position {
  const latE7 = toE7(((i * 37) % 160) - 80 + (i % 1000) / 1e4);
  const lonE7 = toE7(((i * 101) % 360) - 180 + (i % 777) / 1e4);
  return stored(`r-${i}`, {
    latE7,
    lonE7,
    headingCdeg: 12_345,
    speedCmps: 833,
    accuracyDm: 42,
    status: 'busy',
  });
}

const row = (p: Position, more: object = {}) => ({
  driver_id: p.driverId,
  session: String(p.session),
  seq: String(p.seq),
  recorded_at: p.recordedAtMs,
  lat: fromE7(p.latE7),
  lon: fromE7(p.lonE7),
  heading_deg: null,
  speed_mps: null,
  accuracy_m: null,
  status: p.status,
  services: p.services,
  persisted_at: PERSISTED_MS,
  ...more,
});

function options(more: Partial<RestorationOptions>): RestorationOptions & { waits: number[] } {
  const waits: number[] = [];
  return {
    map: stack.redis.map,
    sinceMs: 0,
    readPage: async () => [row(driver(1)), row(driver(2))],
    archiveNowMs: async () => PERSISTED_MS,
    addKnown: async () => {},
    send: async () => {},
    wait: async (ms) => waits.push(ms),
    random: () => 1,
    progress: () => {},
    waits,
    ...more,
  };
}

/** The command as a person runs it: its lines. */
async function restore(env: NodeJS.ProcessEnv, ...args: string[]) {
  const { stdout } = await promisify(execFile)(process.execPath, [RESTORE, '--json', ...args], { env });
  return stdout
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text));
}

/** Fails so many times, then goes on. */
function failing<A extends unknown[], T>(times: number, error: Error, work: (...args: A) => Promise<T>) {
  let left = times;
  return async (...args: A): Promise<T> => {
    if (left-- > 0) throw error;
    return work(...args);
  };
}

const dark = new StoreError('region_unavailable', 'no answer');
const away = archiveError(new Error('connection refused'));

test('more than a page, more than a batch for a partition: all of them, as they were, and again nothing', async () => {
  const { redis, postgres, env } = stack;
  const archive = postgres.archive();
  const all = Array.from({ length: DRIVERS }, (_, i) => driver(i));
  for (let at = 0; at < all.length; at += 1000) {
    const rows = all.slice(at, at + 1000).map((position) => ({ partition: 0, position: position }));
    await archive.commit(rows, []);
  }
  await postgres.sql(`UPDATE driver_positions SET recorded_at = now() WHERE driver_id = 'r-7'`);
  const run = (...args: string[]) => restore(env, ...args);
  const since = new Date(Date.now() - HOUR_MS).toISOString();
  const young = (await run('--since', since)).at(-1);
  assert.deepEqual(young, {
    event: 'restored',
    rows: DRIVERS,
    restored: 1,
    standing: 0,
    too_old: DRIVERS - 1,
    invalid: 0,
    invalid_ids: [],
    failed: 0,
  });
  const lines = await run();
  assert.deepEqual(
    lines.map(({ event }) => event),
    ['progress', 'progress', 'restored'],
  );
  assert.deepEqual([lines.at(-1).restored, lines.at(-1).standing], [DRIVERS - 1, 1]);
  const again = (await run()).at(-1);
  assert.deepEqual([again.restored, again.standing], [0, DRIVERS]);

  const byPartition = new Map<number, Position[]>();
  for (const position of all) {
    const partition = redis.map.partitionOf(fromE7(position.latE7), fromE7(position.lonE7));
    byPartition.set(partition, [...(byPartition.get(partition) ?? []), position]);
  }
  assert.ok(byPartition.size > 30, `${byPartition.size} partitions`);
  for (const [partition, positions] of byPartition) {
    const view = await liveView(redis.store, partition);
    for (const position of positions) {
      if (position.driverId === 'r-7') continue;
      const { id, isInLog, isRefused, persisted, ...found } = view.get(position.driverId) ?? assert.fail();
      assert.deepEqual(found, { ...position, archived: true }, position.driverId);
    }
  }
});

test('beside drivers who report: whose record is as new is left alone, also in a format that nobody knows', async () => {
  const { redis, postgres, env } = stack;
  await postgres.sql('TRUNCATE driver_positions');
  const [same, newer, older, odd, folded] = [20_001, 20_002, 20_003, 20_004, 20_005].map(driver) as [
    Position,
    Position,
    Position,
    Position,
    Position,
  ];
  const rows = [same, newer, older, odd, folded].map((position) => ({ partition: 0, position }));
  await postgres.archive().commit(rows, []);
  const partitionOf = (p: Position) => redis.map.partitionOf(fromE7(p.latE7), fromE7(p.lonE7));
  const append = (p: Position, batch = batchOf(p)) => redis.store.append(partitionOf(p), batch, 1);
  const unknown = Buffer.from(batchOf(odd));
  unknown[2 + odd.driverId.length] = 77; // the format
  await append(folded);
  await redis.store.compact(partitionOf(folded), 0);
  await append(same);
  await append({ ...newer, recordedAtMs: newer.recordedAtMs + 1 });
  await append({ ...older, recordedAtMs: older.recordedAtMs - 1 });
  await append(odd, unknown);
  const done = (await restore(env)).at(-1);
  assert.deepEqual([done.rows, done.restored, done.standing], [5, 1, 4]);
  for (const [position, archived] of [
    [same, false],
    [newer, false],
    [older, true],
    [folded, false],
  ] as const) {
    const view = await liveView(redis.store, partitionOf(position));
    assert.equal(view.get(position.driverId)?.archived, archived, position.driverId);
  }
});

test('what is written to the table after the cache was read is of drivers who report', async () => {
  const o = options({});
  const sent: string[] = [];
  const counts = await restoreArchive({
    ...o,
    readPage: async () => [row(driver(1), { persisted_at: PERSISTED_MS + 1 }), row(driver(2))],
    send: async (_, positions) => sent.push(...positions.map(({ driverId }) => driverId)),
  });
  assert.deepEqual([counts.standing, sent], [1, ['r-2']]);
});

test('a partition whose drivers are not known gets none', async () => {
  const o = options({});
  const darkOne = o.map.partitionOf(fromE7(driver(1).latE7), fromE7(driver(1).lonE7));
  const addKnown = async (partition: number) => {
    if (partition === darkOne) throw new StoreError('place_changed', 'again and again');
  };
  const counts = await restoreArchive({ ...o, addKnown });
  assert.deepEqual([counts.restored, counts.failed], [1, 1]);
});

test('Redis fails a few times, then takes it: the waits grow and are bounded', async () => {
  const o = options({});
  const send = failing(MAX_ATTEMPTS - 1, dark, o.send);
  const counts = await restoreArchive({ ...o, readPage: async () => [row(driver(1))], send });
  assert.deepEqual([counts.restored, counts.failed], [1, 0]);
  assert.deepEqual(o.waits, [100, 200, 400, 800, 1600, 2000, 2000, 2000]);
});

test('a partition that stays dark is counted and keeps nobody else', async () => {
  const o = options({});
  const darkOne = o.map.partitionOf(fromE7(driver(1).latE7), fromE7(driver(1).lonE7));
  let calls = 0;
  const counts = await restoreArchive({
    ...o,
    send: async (partition, positions) => {
      if (partition !== darkOne) return o.send(partition, positions);
      calls++;
      throw dark;
    },
  });
  assert.equal(calls, MAX_ATTEMPTS);
  assert.deepEqual([counts.rows, counts.restored, counts.failed], [2, 1, 1]);
});

test('another map is not tried again', async () => {
  const o = options({
    send: async () => {
      throw new StoreError('map_mismatch', 'another map');
    },
  });
  await assert.rejects(restoreArchive(o), { code: 'map_mismatch' });
  assert.deepEqual(o.waits, []);
});

test('Postgres fails a few times, then answers; one that stays away ends it', async () => {
  const o = options({});
  const readPage = failing(MAX_ATTEMPTS - 1, away, o.readPage);
  assert.equal((await restoreArchive({ ...o, readPage })).restored, 2);
  const never = failing(Number.POSITIVE_INFINITY, away, o.readPage);
  await assert.rejects(restoreArchive({ ...o, readPage: never }), { code: 'archive_away' });
});

test('a row that no driver can have reported is left out alone', async () => {
  const rows = [
    row(driver(1)),
    row(driver(2), { driver_id: 'not an id' }),
    row(driver(3), { status: 'asleep' }),
  ];
  const counts = await restoreArchive(options({ readPage: async () => rows }));
  assert.deepEqual([counts.restored, counts.invalid, counts.invalidIds], [1, 2, ['not an id', 'r-3']]);
});

const ODD = [
  ['recorded_at', `'infinity'`],
  ['recorded_at', `'-infinity'`],
  ['recorded_at', `'4714-11-24 00:00:00+00 BC'`],
  ['recorded_at', `'294276-12-31 23:59:59.999999+00'`],
  ['lat', `'NaN'`],
  ['lon', `'Infinity'`],
  ['lat', '91'],
  ['speed_mps', `'Infinity'`],
  ['heading_deg', `'NaN'`],
  ['session', '0'],
  ['session', '281474976710656'],
  ['session', '9223372036854775807'],
  ['seq', '9223372036854775807'],
  ['services', '-1'],
  ['status', `'asleep'`],
  ['driver_id', `E'\\u0001\\U0001F695'`],
] as const;

test('whatever stands in the table: who can be read is restored, the others are counted and named', async () => {
  const { postgres, env } = stack;
  await postgres.sql('TRUNCATE driver_positions');
  const rows = Array.from({ length: ODD.length + 2 }, (_, i) => driver(10_000 + i));
  const stored_ = rows.map((position) => ({ partition: 0, position: position }));
  await postgres.archive().commit(stored_, []);
  await postgres.sql(`
    ALTER TABLE driver_positions DROP CONSTRAINT lat_range, DROP CONSTRAINT lon_range, DROP CONSTRAINT heading_range,
      DROP CONSTRAINT services_range, DROP CONSTRAINT seq_range, DROP CONSTRAINT status_known`);
  for (const [i, [column, value]] of ODD.entries()) {
    await postgres.sql(`UPDATE driver_positions SET ${column} = ${value} WHERE driver_id = $1`, [
      rows[i]?.driverId,
    ]);
  }
  const done = (await restore(env)).at(-1);
  assert.deepEqual([done.rows, done.restored, done.invalid], [rows.length, 2, ODD.length]);
  assert.equal(done.invalid_ids.length, 5);
  const { stdout } = await promisify(execFile)(process.execPath, [RESTORE], { env });
  assert.match(
    stdout,
    new RegExp(`${ODD.length} that cannot be read\\.\\nCannot be read, the first of them: "`),
  );
});
