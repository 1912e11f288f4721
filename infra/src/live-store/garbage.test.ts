// What somebody with redis-cli may leave in a partition's keys, in many sizes: every function goes on, nobody is taken for
// who is not there, and nothing counts as persisted that is not.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Position } from '../position.js';
import { RECORD_BYTES } from '../position-record.js';
import type { PartitionState } from './answers.js';
import { partitionKeys } from './keys.js';
import { position, rejects, type StoreFixture, startStore } from './testing/store-fixture.js';

let fixture: StoreFixture;
let nextPartition = 0;
const fresh = () => nextPartition++ % 64;

before(async () => {
  fixture = await startStore();
});
after(() => fixture.stop());

const keysOf = (partition: number) => partitionKeys(fixture.map.tagOf(partition));
const record = async (partition: number, ...positions: Position[]) =>
  fixture.store.record(partition, positions);
const checkpoint = (id: string, seq: number) =>
  position(id, { seq, recordedAtMs: Date.now() + seq, checkpoint: true, checkpointId: `trip-${seq}` });
const BOX = { minLat: 50, minLon: 20, maxLat: 54, maxLon: 23 };
const FRESH_MS = 60_000;

async function near(partition: number): Promise<string[]> {
  const at = { lat: 52.2297, lon: 21.0122, radiusM: 5000, startRadiusM: 100, count: 100, enough: 100 };
  const query = { ...at, maxAgeMs: FRESH_MS, status: 'available', services: 0 } as const;
  const { hits } = await fixture.store.near(partition, query);
  return hits.map(({ driverId }) => driverId).sort();
}

async function live(partition: number): Promise<string[]> {
  const { hits } = await fixture.store.live(partition, BOX, 100, FRESH_MS);
  return hits.map(({ driverId }) => driverId).sort();
}

async function got(partition: number, ...ids: string[]): Promise<(string | null)[]> {
  const { found } = await fixture.store.get(partition, ids);
  return found.map((one) => one?.driverId ?? null);
}

async function scan(
  partition: number,
): Promise<{ state: PartitionState; rows: string[]; unreadable: string[] }> {
  const { store } = fixture;
  const state = await store.begin(partition, 'scan', 5000);
  const ages = { freshBeforeMs: Date.now() - FRESH_MS, removeBeforeMs: 0 };
  const page = await store.unflushed(partition, {
    reign: state.reign,
    since: state.flushed,
    cursor: '0',
    ...ages,
  });
  await store.release(partition, 'scan');
  const rows = page.rows.map(({ driverId }) => driverId).sort();
  return { state, rows, unreadable: page.unreadableIds.sort() };
}

async function flush(partition: number): Promise<PartitionState> {
  const { reign, revision, nowMs: asOfMs } = await fixture.store.begin(partition, 'flush', 5000);
  return fixture.store.flushed(partition, { reign, revision, asOfMs, flusherId: 'flush' });
}

/** All that is called in a partition; rejects where any of it does. */
async function useEverything(partition: number, ids: readonly string[]): Promise<void> {
  const { store } = fixture;
  const orders = ids.map((driverId) => ({ driverId, session: 1, recordedAtMs: 1 }));
  const limits = { freshBeforeMs: 1, removeBeforeMs: 1 };
  await store.touch(partition);
  await store.status(partition);
  await near(partition);
  await live(partition);
  await got(partition, ...ids);
  await scan(partition);
  await store.moved(partition, 5, orders);
  await store.forget(partition, orders);
  await store.sweep(partition, ids, limits);
  await store.quarantine(
    partition,
    ids.map((driverId) => ({ driverId, revision: 1, recordedAtMs: 1 })),
    true,
  );
  await store.waitingCheckpoints(partition, 100);
  await store.checkpointsWaiting(
    partition,
    ids.map((id) => `${id}:trip-1`),
  );
  await store.checkpointsDone(
    partition,
    ids.map((id) => `${id}:9:9`),
  );
}

const SIZES = [0, 1, 2, 7, 27, 30, 31, 34, 35, 42, 43, 44, 45, 46, 51, 100, 5000];
/** None of them of one of our records: of format 0, 2 and 255, of a status that there is not, with a tail or without. */
function garbage(): Buffer[] {
  const filled = SIZES.flatMap((size) => [0, 2, 255].map((byte) => Buffer.alloc(size, byte)));
  const ours = Buffer.alloc(RECORD_BYTES, 0);
  const but = (at: number, value: number, more = 0) => {
    const changed = Buffer.concat([ours, Buffer.alloc(more)]);
    changed[0] = 1;
    changed[at] = value;
    return changed;
  };
  // Of a status unknown; moved without saying where to; saying where to without having moved.
  return [...filled, but(27, 3), but(28, 16), but(28, 0, 2), Buffer.from('hello')];
}

describe('a record that is none of ours', () => {
  test('is passed over by everybody, named to the flusher, and replaced by its driver alone', async () => {
    const p = fresh();
    const { positions } = keysOf(p);
    for (const value of garbage()) {
      const what = `${value.length} bytes of ${value[0]}`;
      await fixture.command(p, 'DEL', positions);
      await record(p, position('good'), position('bad'), position('other'));
      await fixture.command(p, 'HSET', positions, 'bad', value);
      assert.deepEqual(await near(p), ['good', 'other'], what);
      assert.deepEqual(await live(p), ['good', 'other'], what);
      assert.deepEqual(await got(p, 'good', 'bad', 'other'), ['good', null, 'other'], what);
      const { rows, unreadable } = await scan(p);
      assert.deepEqual([rows, unreadable], [['good', 'other'], ['bad']], what);
      await useEverything(p, ['bad', 'good', 'nobody']);
      const { standing, restored } = await fixture.store.restore(p, [position('bad')]);
      assert.deepEqual([standing, restored], [1, 0], what);
      assert.deepEqual(await fixture.command(p, 'HSTRLEN', positions, 'bad'), value.length, `${what} stays`);
      const answer = await record(p, position('bad', { seq: 2 }), position('new'));
      assert.deepEqual(answer.outcomes, ['accepted', 'accepted'], what);
      assert.deepEqual((await scan(p)).unreadable, [], what);
      assert.deepEqual(await near(p), ['bad', 'good', 'new', 'other'], what);
    }
  });

  test('is counted each time it is met', async () => {
    const p = fresh();
    await record(p, position('good'));
    await fixture.command(p, 'HSET', keysOf(p).positions, 'bad', 'x');
    const before = fixture.store.unreadable;
    await got(p, 'bad');
    await scan(p);
    assert.equal(fixture.store.unreadable, before + 2);
  });

  test('under a name that is none: nobody else is given its record', async () => {
    const p = fresh();
    await record(p, position('good'), position('evil'));
    const { positions, available } = keysOf(p);
    const copy = `redis.call('HSET', KEYS[1], 'two words', redis.call('HGET', KEYS[1], 'evil'))`;
    await fixture.command(p, 'EVAL', copy, 1, positions);
    const score = String(await fixture.command(p, 'ZSCORE', available, 'good'));
    await fixture.command(p, 'ZADD', available, score, 'two words', score, 'nobody');
    assert.deepEqual(await near(p), ['evil', 'good']);
  });
});

describe('waiting checkpoints', () => {
  test('one that is none of ours is passed over; the others are found, done, and counted', async () => {
    for (const value of garbage()) {
      const p = fresh();
      const { checkpoints } = keysOf(p);
      await fixture.command(p, 'DEL', checkpoints);
      const what = `${value.length} bytes of ${value[0]}`;
      // In a waiting one more bytes are its id.
      if (value[0] === 1 && value.length > RECORD_BYTES) continue;
      await record(p, checkpoint('d', 1), checkpoint('e', 1));
      await fixture.command(p, 'HSET', checkpoints, 'd:trip-7', value);
      const fields = (await fixture.store.waitingCheckpoints(p, 100)).waiting
        .map(({ field }) => field)
        .sort();
      assert.deepEqual(fields, ['d:trip-1', 'e:trip-1'], what);
      await useEverything(p, ['d', 'e']);
      await fixture.store.checkpointsDone(p, fields);
      assert.deepEqual((await fixture.store.waitingCheckpoints(p, 100)).waiting, [], what);
      assert.deepEqual((await record(p, checkpoint('d', 2))).outcomes, ['accepted'], what);
    }
  });

  for (const count of ['', 'x', '-3', '1.5', '1e3', '9'.repeat(400), 'nan'])
    test(`a count that is "${count.slice(0, 10)}" is counted anew`, async () => {
      const p = fresh();
      const { checkpoints } = keysOf(p);
      await fixture.command(p, 'DEL', checkpoints);
      await record(p, checkpoint('d', 1), checkpoint('d', 2), checkpoint('e', 1));
      await fixture.command(p, 'HSET', checkpoints, '*', count, 'd', count);
      await fixture.store.status(p);
      await fixture.store.checkpointsDone(p, ['d:trip-2']);
      assert.equal((await fixture.store.status(p)).checkpointsWaiting, 2);
      await fixture.command(p, 'HSET', checkpoints, '*', count, 'd', count);
      for (let seq = 3; seq <= 11; seq++)
        assert.deepEqual((await record(p, checkpoint('d', seq))).outcomes, ['accepted']);
      assert.deepEqual((await record(p, checkpoint('d', 12))).outcomes, ['too_many_checkpoints']);
      assert.equal((await fixture.store.status(p)).checkpointsWaiting, 11);
      const fields = (await fixture.store.waitingCheckpoints(p, 100)).waiting.map(({ field }) => field);
      await fixture.store.checkpointsDone(p, fields);
      assert.equal(await fixture.command(p, 'EXISTS', checkpoints), 0);
    });
});

describe('a line of meta that cannot be read', () => {
  const LINES = {
    reign: ['', 'x', 'a b c d e', 'a b c 1', `m e o ${'9'.repeat(30)} 0`, 'x'.repeat(5000)],
    written: ['', 'x', '1 2 3', '1 2 3 4 x', '-1 0 0 0 0', `${'9'.repeat(400)} 0 0 0 0`, '0 0 0 0 0'],
    flushed: ['', 'x', '1 2 3', '1 2 3 nan', `${'9'.repeat(30)} 0 0 0`, '-1 0 0 0'],
  };
  for (const [line, values] of Object.entries(LINES)) {
    for (const value of values)
      test(`${line}: "${value.slice(0, 12)}"`, async () => {
        const p = fresh();
        const { meta } = keysOf(p);
        await fixture.command(p, 'DEL', ...(Object.values(keysOf(p)) as [string]));
        await record(p, position('flushed'));
        await flush(p);
        await record(p, position('dirty'));
        await fixture.command(p, 'HSET', meta, line, value);
        assert.equal((await fixture.store.status(p)).acceptedSinceFlush >= 0, true);
        await useEverything(p, ['dirty']);
        const { outcomes, state } = await record(p, position('new'));
        assert.deepEqual(outcomes, ['accepted']);
        assert.ok(state.dirtySinceMs !== null);
        const { found } = await fixture.store.get(p, ['dirty', 'new']);
        assert.deepEqual(
          found.map((one) => one?.persisted),
          [false, false],
          'neither is in Postgres',
        );
        const { rows } = await scan(p);
        assert.deepEqual(
          rows.filter((id) => id !== 'flushed'),
          ['dirty', 'new'],
        );
        // Until the revisions have passed those of before.
        for (let i = 0; i < 3; i++)
          await record(p, position('new', { seq: i + 2, recordedAtMs: Date.now() + i + 1 }));
        const after = await flush(p);
        assert.equal(after.dirtySinceMs, null);
        assert.equal((await fixture.store.get(p, ['new'])).found[0]?.persisted, true);
        const lines = (await fixture.command(p, 'HMGET', meta, 'reign', 'written', 'flushed')) as string[];
        assert.ok(
          lines.every((text) => /^\S+ \S+ \S+ \S+/.test(text)),
          'all lines can be read again',
        );
      });
  }
});

test('a lease that never runs out is none', async () => {
  const p = fresh();
  await record(p, position('d'));
  await fixture.command(p, 'SET', keysOf(p).lease, 'somebody');
  assert.equal((await fixture.store.begin(p, 'me', 5000)).partition, p);
  await fixture.command(p, 'SET', keysOf(p).lease, 'somebody', 'PX', 86_400_000);
  assert.equal((await fixture.store.begin(p, 'me', 5000)).partition, p);
  assert.equal(await rejects(fixture.store.begin(p, 'other', 5000)), 'leased');
});

describe('a key of another type', () => {
  for (const key of ['positions', 'available', 'busy', 'meta', 'checkpoints', 'lease'] as const)
    test(`${key}: calls are refused, to be tried again, and succeed once it is gone`, async () => {
      const p = fresh();
      const keys = keysOf(p);
      await fixture.command(p, 'DEL', ...(Object.values(keys) as [string]));
      if (key === 'positions') await fixture.command(p, 'SET', keys[key], 'x');
      else await fixture.command(p, 'LPUSH', keys[key], 'x');
      const busy = () => record(p, checkpoint('b', 1), position('busy', { status: 'busy' }));
      const available = () => record(p, checkpoint('a', 1), position('available'));
      const refused = [
        await rejects(busy()),
        await rejects(available()),
        await rejects(fixture.store.begin(p, 'me', 5000)),
      ];
      const expected = {
        positions: ['refused', 'refused', 'nothing'],
        meta: ['refused', 'refused', 'refused'],
        checkpoints: ['refused', 'refused', 'nothing'],
        lease: ['nothing', 'nothing', 'refused'],
        busy: ['refused', 'nothing', 'nothing'],
        available: ['refused', 'refused', 'nothing'],
      }[key];
      assert.deepEqual(refused, expected);
      if (key !== 'positions' && key !== 'meta') await fixture.store.status(p);
      await fixture.command(p, 'DEL', keys[key]);
      if (expected[0] === 'refused') assert.deepEqual((await busy()).outcomes, ['accepted', 'accepted']);
      if (expected[1] === 'refused') assert.deepEqual((await available()).outcomes, ['accepted', 'accepted']);
      await fixture.store.begin(p, 'me', 5000);
      assert.deepEqual(await near(p), ['a', 'available', 'b']);
    });
});
