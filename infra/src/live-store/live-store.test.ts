// The contract of each Lua function, line by line, on a real cluster. Each test has partitions of its own, so that
// none depends on another's. Run again under LC_ALL=en_US.UTF-8 by live-store-locale.test.ts.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PartitionMap } from '../partition-map.js';
import type { Position } from '../position.js';
import type { NearQuery } from './live-store.js';
import { position, rejects, type StoreFixture, startStore } from './testing/store-fixture.js';

let fixture: StoreFixture;
let nextPartition = 0;
const fresh = () => nextPartition++;

before(async () => {
  fixture = await startStore(process.env.TEST_REDIS_LOCALE ? { locale: process.env.TEST_REDIS_LOCALE } : {});
});
after(() => fixture.stop());

const record = (partition: number, ...positions: Position[]) => fixture.store.record(partition, positions);
const WARSAW: NearQuery = {
  lat: 52.2297,
  lon: 21.0122,
  radiusM: 5000,
  startRadiusM: 100,
  count: 10,
  enough: 10,
  maxAgeMs: 10_000,
  status: 'available',
  services: 0,
};
/** The same map but for its first border. */
const moved = (boundaries: readonly string[]) => ['000001', ...boundaries.slice(1)];
async function nearIds(partition: number, query: Partial<NearQuery> = {}): Promise<string[]> {
  const { hits } = await fixture.store.near(partition, {
    ...WARSAW,
    enough: query.count ?? WARSAW.enough,
    ...query,
  });
  return hits.map((hit) => hit.driverId);
}
async function got(partition: number, id: string) {
  const { found } = await fixture.store.get(partition, [id]);
  return found[0] ?? null;
}
/** Where a word stands in the partition's meta. */
const WORDS = {
  map: ['reign', 0],
  owner: ['reign', 2],
  since: ['reign', 3],
  seen_at: ['written', 2],
} as const;
async function overwrite(partition: number, word: keyof typeof WORDS, value: string | number): Promise<void> {
  const meta = `meta:{${fixture.map.tagOf(partition)}}`;
  const [line, index] = WORDS[word];
  const words = String(await fixture.command(partition, 'HGET', meta, line)).split(' ');
  words[index] = String(value);
  await fixture.command(partition, 'HSET', meta, line, words.join(' '));
}
async function flush(partition: number, flusherId = 'test') {
  const { store } = fixture;
  const state = await store.begin(partition, flusherId, 5000);
  await store.flushed(partition, {
    reign: state.reign,
    revision: state.revision,
    asOfMs: state.nowMs,
    flusherId,
  });
  return state;
}
async function scan(partition: number, o: { freshBeforeMs?: number; removeBeforeMs?: number } = {}) {
  const { store } = fixture;
  const state = await store.begin(partition, 'scan', 5000);
  const rows: string[] = [];
  const stale: string[] = [];
  const refused: string[] = [];
  let cursor = '0';
  do {
    const page = await store.unflushed(partition, {
      reign: state.reign,
      since: state.flushed,
      cursor,
      freshBeforeMs: 0,
      removeBeforeMs: 0,
      ...o,
    });
    rows.push(...page.rows.map((row) => row.driverId));
    stale.push(...page.staleIds);
    refused.push(...page.refused.map((row) => row.driverId));
    cursor = page.cursor;
  } while (cursor !== '0');
  await store.release(partition, 'scan');
  return { rows: rows.sort(), stale: stale.sort(), refused: refused.sort() };
}

describe('record', () => {
  test('keeps every field, gives one new revision to a batch, and answers with the state', async () => {
    const p = fresh();
    const given = position('d1', {
      session: 281_474_976_710_655,
      seq: 4_294_967_295,
      lat: -85.0511287,
      lon: -180,
      headingDeg: 359.99,
      speedMps: 12.34,
      accuracyM: 3.5,
      status: 'busy',
      services: 0x8001,
    });
    const first = await record(p, given, position('d2'));
    assert.deepEqual(first.outcomes, ['accepted', 'accepted']);
    assert.equal(first.state.revision, 1);
    assert.equal(first.state.flushed, 0);
    assert.equal(first.state.base, 0);
    assert.equal(first.state.previous, '');
    assert.match(first.state.reign, /^[0-9a-f]{40}@\d{13}$/);
    const second = await record(p, position('d3'));
    assert.equal(second.state.revision, 2);
    assert.equal(second.state.epoch, first.state.epoch);
    assert.equal(second.state.reign, first.state.reign);
    assert.deepEqual(await got(p, 'd1'), {
      ...given,
      revision: 1,
      persisted: false,
      quarantined: false,
      unlisted: false,
      movedTo: null,
      archived: false,
    });
  });

  test('newest means the greatest (session, recorded at), compared as numbers', async () => {
    const p = fresh();
    const t = Date.now() - 5000;
    const at = (session: number, recordedAtMs: number, seq: number) =>
      position('d', { session, recordedAtMs, seq });
    const outcome = async (given: Position) => (await record(p, given)).outcomes[0];
    assert.equal(await outcome(at(255, t, 1)), 'accepted');
    assert.equal(await outcome(at(255, t, 1)), 'duplicate');
    assert.equal(await outcome(at(255, t, 2)), 'stale');
    assert.equal(await outcome(at(255, t - 1, 3)), 'stale');
    assert.equal(await outcome(at(255, t + 1, 4)), 'accepted');
    // 0x0100 is greater than 0x00ff, though its low byte is not, and though its time is older.
    assert.equal(await outcome(at(256, t - 300, 1)), 'accepted');
    assert.equal(await outcome(at(256, t - 44, 2)), 'accepted');
    const refused = await record(p, at(255, t + 100, 5));
    assert.deepEqual(refused.outcomes, ['superseded']);
    assert.equal(refused.storedSessions.get(0), 256);
    assert.equal((await got(p, 'd'))?.recordedAtMs, t - 44);
  });

  test('the same driver twice in a batch: as if one after the other', async () => {
    const p = fresh();
    const t = Date.now() - 1000;
    const at = (recordedAtMs: number, seq: number, status = 'available') =>
      position('d', { recordedAtMs, seq, status });
    const { outcomes } = await record(p, at(t, 1), at(t + 2, 2, 'busy'), at(t + 1, 3), at(t + 2, 2, 'busy'));
    assert.deepEqual(outcomes, ['accepted', 'accepted', 'stale', 'duplicate']);
    assert.equal((await got(p, 'd'))?.seq, 2);
    assert.deepEqual(await nearIds(p), []);
    assert.deepEqual(await nearIds(p, { status: 'busy' }), ['d']);
  });

  test('a bad record in a batch is refused alone, and nothing of it is written', async () => {
    const p = fresh();
    const bad = { ...position('bad'), latE7: 860_000_000 };
    const { outcomes } = await record(p, position('a'), bad, position('b'));
    assert.deepEqual(outcomes, ['accepted', 'bad', 'accepted']);
    assert.equal(await got(p, 'bad'), null);
    assert.deepEqual((await nearIds(p)).sort(), ['a', 'b']);
    for (const wrong of [{ lonE7: 1_800_000_001 }, { session: 0 }, { seq: 0 }]) {
      assert.deepEqual((await record(p, { ...position('x'), ...wrong })).outcomes, ['bad']);
    }
  });

  test('a position stands in its geo set where GEOADD would put it, all over the world', async () => {
    const p = fresh();
    const tag = fixture.map.tagOf(p);
    // Spread evenly by two irrational steps; corners and borders of cells besides.
    const part = (i: number, step: number) => 2 * ((i * step) % 1) - 1;
    const places: [latE7: number, lonE7: number][] = [
      [0, 0],
      [-850511287, -1_800_000_000],
      [850511287, 1_799_999_999],
      [-1, 1],
      ...Array.from({ length: 500 }, (_, i): [number, number] => [
        Math.round(850511287 * part(i, Math.SQRT2)),
        Math.round(1.8e9 * part(i, Math.E)),
      ]),
    ];
    const positions = places.map(([latE7, lonE7], i) => ({ ...position(`d${i}`), latE7, lonE7 }));
    await record(p, ...positions);
    const geo = positions.flatMap(({ driverId, latE7, lonE7 }) => [lonE7 / 1e7, latE7 / 1e7, driverId]);
    await fixture.command(p, 'GEOADD', `scratch:{${tag}}`, ...geo);
    const [expected, stored] = await Promise.all(
      ['scratch', 'available'].map((key) =>
        fixture.command(p, 'ZRANGE', `${key}:{${tag}}`, 0, -1, 'WITHSCORES'),
      ),
    );
    assert.deepEqual(stored, expected);
  });

  test('an arena that does not add up is refused whole', async () => {
    const p = fresh();
    const name = String(await fixture.command(p, 'FUNCTION', 'LIST')).match(/record_[0-9a-f]{8}/)?.[0] ?? '';
    const keys = ['positions', 'available', 'busy', 'meta'].map((key) => `${key}:{${fixture.map.tagOf(p)}}`);
    const send = (arena: Buffer) =>
      fixture.command(p, 'FCALL', name, 4, ...keys, fixture.map.hash, arena, 10_000).catch(String);
    assert.match(String(await send(Buffer.from([3, 97]))), /BADBATCH/);
    assert.match(String(await send(Buffer.concat([Buffer.from([1, 97, 0]), Buffer.alloc(34)]))), /BADBATCH/);
    assert.equal(await fixture.command(p, 'EXISTS', keys[3] as string), 0);
  });

  test('512 records at most', async () => {
    const p = fresh();
    const many = Array.from({ length: 513 }, (_, i) => position(`d${i}`));
    const { outcomes } = await record(p, ...many.slice(0, 512));
    assert.equal(outcomes.filter((outcome) => outcome === 'accepted').length, 512);
    await assert.rejects(record(p, ...many), RangeError);
    assert.equal((await fixture.store.status(p)).drivers, 512);
  });

  test('more than 5 s ahead of the server is refused', async () => {
    const p = fresh();
    const ahead = (ms: number) => position('d', { recordedAtMs: fixture.store.nowMs() + ms });
    await fixture.store.touch(p);
    assert.deepEqual((await record(p, ahead(60_000))).outcomes, ['clock_ahead']);
    assert.deepEqual((await record(p, ahead(3000))).outcomes, ['accepted']);
  });

  test('empty, it probes: it writes, harms nothing and gives no revision', async () => {
    const p = fresh();
    await record(p, position('d'));
    const { state, outcomes } = await record(p);
    assert.deepEqual(outcomes, []);
    assert.equal(state.revision, 1);
  });

  test('a driver stands in the geo set of its status alone', async () => {
    const p = fresh();
    const t = Date.now() - 1000;
    const report = (i: number, status: string) => position('d', { recordedAtMs: t + i, seq: i + 1, status });
    const sets = async () => [await nearIds(p), await nearIds(p, { status: 'busy' })];
    await record(p, report(0, 'available'));
    assert.deepEqual(await sets(), [['d'], []]);
    await record(p, report(1, 'busy'));
    assert.deepEqual(await sets(), [[], ['d']]);
    await record(p, report(2, 'offline'));
    assert.deepEqual(await sets(), [[], []]);
    assert.equal((await got(p, 'd'))?.status, 'offline');
    await record(p, report(3, 'available'));
    assert.deepEqual(await sets(), [['d'], []]);
  });

  test('dirty_since is the time of the first write after a flush', async () => {
    const p = fresh();
    const first = await record(p, position('a'));
    await record(p, position('b'));
    assert.equal((await fixture.store.status(p)).dirtySinceMs, first.state.nowMs);
    await flush(p);
    assert.equal((await fixture.store.status(p)).dirtySinceMs, null);
    const later = await record(p, position('c'));
    assert.equal((await fixture.store.status(p)).dirtySinceMs, later.state.nowMs);
  });

  test('every key of the partition but checkpoints and lease has a long expiry', async () => {
    const p = fresh();
    await record(p, position('a'), position('b', { status: 'busy' }));
    for (const key of ['positions', 'available', 'busy', 'meta']) {
      const ttl = await fixture.command(p, 'PTTL', `${key}:{${fixture.map.tagOf(p)}}`);
      assert.ok(Number(ttl) > 6 * 24 * 3600 * 1000, `${key}: ${ttl}`);
    }
  });

  test('another map is refused, by writers and readers', async () => {
    const p = fresh();
    await record(p, position('a'));
    await overwrite(p, 'map', 'another');
    assert.equal(await rejects(record(p, position('b'))), 'map_mismatch');
    assert.equal(await rejects(fixture.store.near(p, WARSAW)), 'map_mismatch');
    assert.equal(await rejects(fixture.store.begin(p, 'x', 1000)), 'map_mismatch');
    assert.equal(await rejects(fixture.store.touch(p)), 'map_mismatch');
    assert.equal(await rejects(fixture.store.get(p, ['a'])), 'map_mismatch');
  });
});

describe('reigns', () => {
  test('a write that meets another owner begins a reign, and says where the one before ended', async () => {
    const p = fresh();
    const before = await record(p, position('a'));
    await overwrite(p, 'owner', 'f'.repeat(40));
    const reading = await fixture.store.near(p, WARSAW);
    assert.equal(reading.health, 'warming');
    assert.equal(await rejects(fixture.store.checkpointsWaiting(p, ['x:1:1'])), 'reign_changed');
    const after = await record(p, position('b'));
    assert.equal(after.state.previous, `${'f'.repeat(40)}@${before.state.reign.split('@')[1]}`);
    assert.equal(after.state.base, 1);
    assert.equal(after.state.revision, 2);
    assert.equal(after.state.epoch, before.state.epoch);
    assert.notEqual(after.state.reign, before.state.reign);
  });

  test('a partition that began from nothing has another epoch', async () => {
    const p = fresh();
    const before = await record(p, position('a'));
    await fixture.command(p, 'DEL', `meta:{${fixture.map.tagOf(p)}}`, `positions:{${fixture.map.tagOf(p)}}`);
    const after = await fixture.store.touch(p);
    assert.notEqual(after.epoch, before.state.epoch);
    assert.equal(after.previous, '');
  });

  test('health: never written is silent, new is warming, then ok, then silent when nobody feeds it', async () => {
    const p = fresh();
    const health = async () => (await fixture.store.near(p, WARSAW)).health;
    assert.equal(await health(), 'silent');
    const { nowMs } = await fixture.store.touch(p);
    assert.equal(await health(), 'warming');
    await overwrite(p, 'since', nowMs - 2500);
    assert.equal(await health(), 'ok');
    await overwrite(p, 'seen_at', nowMs - 6000);
    assert.equal(await health(), 'silent');
    await fixture.store.touch(p);
    assert.equal(await health(), 'ok');
  });
});

describe('near, get, live', () => {
  test('nearest first, fresh, of the services asked for', async () => {
    const p = fresh();
    const now = Date.now();
    const spots = [0.003, 0.001, 0.002, 0.004].map((offset, i) =>
      position(`d${i}`, { lat: 52.2297 + offset, services: i === 1 ? 0b01 : 0b11 }),
    );
    await record(p, ...spots, position('old', { recordedAtMs: now - 30_000 }));
    assert.deepEqual(await nearIds(p), ['d1', 'd2', 'd0', 'd3']);
    assert.deepEqual(await nearIds(p, { services: 0b10 }), ['d2', 'd0', 'd3']);
    assert.deepEqual(await nearIds(p, { count: 2 }), ['d1', 'd2']);
    assert.deepEqual(await nearIds(p, { radiusM: 250 }), ['d1', 'd2']);
    assert.deepEqual(await nearIds(p, { maxAgeMs: 60_000, count: 1 }), ['old']);
  });

  test('near widens until it has enough, and tells how far it looked', async () => {
    const p = fresh();
    // 11 m apart, northwards.
    await record(p, ...Array.from({ length: 20 }, (_, i) => position(`d${i}`, { lat: 52.2297 + i * 1e-4 })));
    const near = async (count: number, enough: number) => {
      const { hits, searchedM } = await fixture.store.near(p, {
        ...WARSAW,
        startRadiusM: 50,
        radiusM: 150,
        count,
        enough,
      });
      return [hits.length, searchedM];
    };
    assert.deepEqual(await near(20, 5), [5, 50]);
    assert.deepEqual(await near(20, 6), [9, 100]);
    assert.deepEqual(await near(7, 6), [7, 100]);
    assert.deepEqual(await near(20, 20), [14, 150]);
  });

  test('300 stale drivers nearer than the fresh ones do not hide them; over 2,000 it says so', async () => {
    const p = fresh();
    const old = (i: number) =>
      position(`old${i}`, { lat: 52.2297 + i * 1e-6, recordedAtMs: Date.now() - 60_000 });
    const batch = Array.from({ length: 300 }, (_, i) => old(i));
    await record(p, ...batch, position('free', { lat: 52.24 }));
    const few = await fixture.store.near(p, { ...WARSAW, count: 1, enough: 1 });
    assert.deepEqual(
      few.hits.map((hit) => hit.driverId),
      ['free'],
    );
    assert.equal(few.truncated, false);
    for (let from = 300; from < 2100; from += 450) {
      await record(p, ...Array.from({ length: 450 }, (_, i) => old(from + i)));
    }
    const many = await fixture.store.near(p, { ...WARSAW, count: 1, enough: 1 });
    assert.equal(many.truncated, true);
    assert.deepEqual(many.hits, []);
  });

  test('get answers for each id in order, null where it is not here', async () => {
    const p = fresh();
    await record(p, position('a'), position('c', { status: 'offline' }));
    const { found } = await fixture.store.get(p, ['a', 'b', 'c']);
    assert.deepEqual(
      found.map((one) => one?.status ?? null),
      ['available', null, 'offline'],
    );
  });

  test('live gives who is on duty in the box, and says when there may be more', async () => {
    const p = fresh();
    const box = { minLat: 52, minLon: 21, maxLat: 53, maxLon: 22 };
    const fleet = Array.from({ length: 20 }, (_, i) =>
      position(`d${i}`, { status: i % 2 ? 'busy' : 'available' }),
    );
    await record(p, ...fleet, position('off', { status: 'offline' }), position('out', { lat: 50 }));
    const all = await fixture.store.live(p, box, 100, 10_000);
    assert.equal(all.hits.length, 20);
    assert.equal(all.truncated, false);
    const some = await fixture.store.live(p, box, 5, 10_000);
    assert.equal(some.hits.length, 5);
    assert.equal(some.truncated, true);
  });
});

describe('begin, unflushed, flushed', () => {
  test('one flush: what is dirty, once; then nothing; persisted follows the watermark', async () => {
    const p = fresh();
    await record(p, position('a'), position('b'));
    assert.deepEqual((await scan(p)).rows, ['a', 'b']);
    assert.equal((await got(p, 'a'))?.persisted, false);
    const state = await flush(p);
    assert.equal((await got(p, 'a'))?.persisted, true);
    assert.deepEqual((await scan(p)).rows, []);
    await record(p, position('b', { recordedAtMs: Date.now() + 1, seq: 2 }));
    assert.deepEqual((await scan(p)).rows, ['b']);
    assert.equal((await got(p, 'b'))?.persisted, false);
    const status = await fixture.store.status(p);
    assert.equal(status.flushedAtMs, state.nowMs);
    assert.equal(status.accepted, 3);
    assert.equal(status.acceptedSinceFlush, 1);
  });

  test('what is recorded during a flush stays dirty, since begin', async () => {
    const p = fresh();
    const { store } = fixture;
    await record(p, position('a'));
    const begun = await store.begin(p, 'f1', 5000);
    await record(p, position('b'));
    const o = { reign: begun.reign, revision: begun.revision, asOfMs: begun.nowMs, flusherId: 'f1' };
    const state = await store.flushed(p, o);
    assert.equal(state.flushed, 1);
    assert.equal((await store.status(p)).dirtySinceMs, begun.nowMs);
    assert.deepEqual((await scan(p)).rows, ['b']);
  });

  test('a lease keeps others out until it is given back or runs out', async () => {
    const p = fresh();
    const { store } = fixture;
    const begun = await store.begin(p, 'f1', 60_000);
    assert.equal(await rejects(store.begin(p, 'f2', 60_000)), 'leased');
    await store.begin(p, 'f1', 60_000);
    await store.release(p, 'f2');
    assert.equal(await rejects(store.begin(p, 'f2', 60_000)), 'leased');
    const o = { reign: begun.reign, revision: begun.revision, asOfMs: begun.nowMs, flusherId: 'f1' };
    await store.flushed(p, o);
    await store.begin(p, 'f2', 60_000);
    await store.release(p, 'f2');
    await store.begin(p, 'f3', 20);
    const deadline = Date.now() + 5000;
    while ((await rejects(store.begin(p, 'f4', 1000))) === 'leased') assert.ok(Date.now() < deadline);
  });

  test('flushed is refused under another reign and above the revision; a late one moves nothing back', async () => {
    const p = fresh();
    const { store } = fixture;
    await record(p, position('a'));
    const early = await store.begin(p, 'f', 5000);
    await record(p, position('b'));
    const late = await flush(p, 'f');
    const mark = (o: object) =>
      store.flushed(p, {
        reign: early.reign,
        revision: early.revision,
        asOfMs: early.nowMs,
        flusherId: 'f',
        ...o,
      });
    assert.equal((await mark({})).flushed, late.revision);
    assert.equal((await store.status(p)).flushedAtMs, late.nowMs);
    assert.equal(await rejects(mark({ revision: late.revision + 1 })), 'reign_changed');
    assert.equal(await rejects(mark({ reign: 'other@1' })), 'reign_changed');
    const o = { reign: 'other@1', since: 0, cursor: '0', freshBeforeMs: 0, removeBeforeMs: 0 };
    assert.equal(await rejects(store.unflushed(p, o)), 'reign_changed');
  });

  test('rewind: all is unflushed again, under a new reign, since the time given', async () => {
    const p = fresh();
    const { store } = fixture;
    await record(p, position('a'), position('b'));
    const begun = await flush(p);
    const after = await store.rewind(p, begun.nowMs - 1000);
    assert.equal(after.flushed, 0);
    assert.equal(after.previous, begun.reign);
    assert.equal(after.base, begun.revision);
    const status = await store.status(p);
    assert.equal(status.dirtySinceMs, begun.nowMs - 1000);
    assert.equal(status.flushedAtMs, 0);
    assert.deepEqual((await scan(p)).rows, ['a', 'b']);
    const o = { reign: begun.reign, revision: begun.revision, asOfMs: begun.nowMs, flusherId: 'f' };
    assert.equal(await rejects(store.flushed(p, o)), 'reign_changed');
  });

  test('rewind to before all time, or to never: the partition is dirty, and goes on working', async () => {
    for (const sinceMs of [Number.NEGATIVE_INFINITY, -62_135_596_800_000, -1, 0]) {
      const p = fresh();
      await record(p, position('a'));
      await flush(p);
      await fixture.store.rewind(p, sinceMs);
      assert.equal((await fixture.store.status(p)).dirtySinceMs, 1, String(sinceMs));
      assert.deepEqual((await scan(p)).rows, ['a']);
      await flush(p);
      assert.equal((await fixture.store.status(p)).dirtySinceMs, null);
    }
  });

  test('a refused record is never persisted, is told apart once the watermark is past it, and can be taken', async () => {
    const p = fresh();
    const { store } = fixture;
    const given = position('a');
    const { state } = await record(p, given, position('b'));
    const a = { ...given, revision: state.revision };
    const wrong = { ...position('b'), revision: state.revision + 1 };
    const another = { ...position('b'), revision: state.revision, recordedAtMs: given.recordedAtMs - 1 };
    assert.equal(await store.quarantine(p, [a, wrong, another], true), 1);
    assert.deepEqual(await scan(p), { rows: ['a', 'b'], stale: [], refused: [] });
    await flush(p);
    assert.equal((await got(p, 'a'))?.persisted, false);
    assert.equal((await got(p, 'b'))?.persisted, true);
    assert.deepEqual(await scan(p), { rows: [], stale: [], refused: ['a'] });
    assert.equal(await store.quarantine(p, [a, wrong], false), 1);
    assert.equal(await store.quarantine(p, [a], false), 1, 'again: it has no mark, and gets none');
    assert.equal((await got(p, 'a'))?.persisted, true);
    assert.deepEqual(await scan(p), { rows: [], stale: [], refused: [] });
  });

  test('a refused record loses its mark with the next report of its driver', async () => {
    const p = fresh();
    const given = position('a');
    const { state } = await record(p, given);
    await fixture.store.quarantine(p, [{ ...given, revision: state.revision }], true);
    await record(p, position('a', { recordedAtMs: Date.now() + 1, seq: 2 }));
    await flush(p);
    assert.equal((await got(p, 'a'))?.persisted, true);
  });

  test('rewind has refused records flushed again, with all others', async () => {
    const p = fresh();
    const given = position('a');
    const { state } = await record(p, given, position('b'));
    await fixture.store.quarantine(p, [{ ...given, revision: state.revision }], true);
    await flush(p);
    await fixture.store.rewind(p, Date.now());
    assert.deepEqual(await scan(p), { rows: ['a', 'b'], stale: [], refused: [] });
  });
});

describe('forget and sweep', () => {
  test('forget leaves the answers at once and the hash when flushed; what is newer stays', async () => {
    const p = fresh();
    const { store } = fixture;
    const a = position('a');
    const newer = position('b', { recordedAtMs: a.recordedAtMs + 1 });
    await record(p, a, newer);
    const older = { driverId: 'b', session: 1, recordedAtMs: a.recordedAtMs };
    assert.equal(await store.forget(p, [a, older, { ...a, driverId: 'nobody' }]), 1);
    assert.deepEqual(await nearIds(p), ['b']);
    assert.equal((await got(p, 'a'))?.unlisted, true);
    assert.deepEqual((await scan(p)).rows, ['a', 'b']);
    await flush(p);
    assert.equal(await store.forget(p, [a]), 1);
    assert.equal(await got(p, 'a'), null);
    // It comes back by reporting again.
    await record(p, position('a', { recordedAtMs: a.recordedAtMs + 5, seq: 2 }));
    assert.deepEqual((await nearIds(p)).sort(), ['a', 'b']);
  });

  test('moved: told apart, still in the answers, until it is forgotten or reports here again', async () => {
    const p = fresh();
    const { store } = fixture;
    const a = position('a');
    const newer = position('b', { recordedAtMs: a.recordedAtMs + 1 });
    await record(p, a, newer);
    const older = { driverId: 'b', session: 1, recordedAtMs: a.recordedAtMs };
    assert.equal(await store.moved(p, 513, [a, older, { ...a, driverId: 'nobody' }]), 1);
    const { hits } = await store.near(p, WARSAW);
    const marks = hits.map((hit) => `${hit.driverId} ${hit.movedTo}`);
    assert.deepEqual(marks.sort(), ['a 513', 'b null']);
    const box = { minLat: 52, minLon: 21, maxLat: 53, maxLon: 22 };
    const { hits: onMap } = await store.live(p, box, 10, 10_000);
    assert.deepEqual(
      onMap.map((hit) => hit.driverId),
      ['b'],
    );
    await record(p, position('a', { recordedAtMs: a.recordedAtMs + 5, seq: 2 }));
    assert.equal((await got(p, 'a'))?.movedTo, null);
  });

  test('sweep: the stale leave the geo sets, the old and flushed the hash', async () => {
    const p = fresh();
    const { store } = fixture;
    const now = Date.now();
    const old = position('old', { recordedAtMs: now - 100_000 });
    const stale = position('stale', { recordedAtMs: now - 30_000, status: 'busy' });
    await record(p, old, stale, position('fresh'));
    const limits = { freshBeforeMs: now - 10_000, removeBeforeMs: now - 60_000 };
    assert.deepEqual((await scan(p, limits)).stale, ['old', 'stale']);
    const ids = ['old', 'stale', 'fresh', 'nobody'];
    assert.deepEqual(await store.sweep(p, ids, limits), { unlisted: 2, removed: 0 });
    assert.deepEqual(await nearIds(p, { maxAgeMs: 1e6 }), ['fresh']);
    assert.deepEqual((await scan(p, limits)).stale, []);
    await flush(p);
    assert.deepEqual((await scan(p, limits)).stale, ['old']);
    assert.deepEqual(await store.sweep(p, ids, limits), { unlisted: 0, removed: 1 });
    assert.equal(await got(p, 'old'), null);
    assert.equal((await store.status(p)).drivers, 2);
  });

  test('a refused record leaves the answers like any other, and never the hash', async () => {
    const p = fresh();
    const { store } = fixture;
    const now = Date.now();
    const old = position('old', { recordedAtMs: now - 100_000 });
    const { revision } = (await record(p, old)).state;
    await store.quarantine(p, [{ ...old, revision }], true);
    await flush(p);
    const limits = { freshBeforeMs: now - 10_000, removeBeforeMs: now - 60_000 };
    assert.deepEqual(await store.sweep(p, ['old'], limits), { unlisted: 1, removed: 0 });
    assert.deepEqual(await store.sweep(p, ['old'], limits), { unlisted: 0, removed: 0 });
    assert.deepEqual(await scan(p, limits), { rows: [], stale: [], refused: ['old'] });
    await store.quarantine(p, [{ ...old, revision }], false);
    assert.deepEqual((await scan(p, limits)).stale, ['old']);
    assert.deepEqual(await store.sweep(p, ['old'], limits), { unlisted: 0, removed: 1 });
  });
});

describe('restore', () => {
  const archived = (driverId: string, extra: object = {}) =>
    position(driverId, { session: 7, seq: 3, recordedAtMs: Date.now() - 3_600_000, ...extra });

  test('found by id as it was, archived and persisted; near and live never list it', async () => {
    const p = fresh();
    const { store } = fixture;
    const given = archived('gone', { status: 'busy', services: 5, headingDeg: 12.5 });
    assert.deepEqual(await store.restore(p, [given, archived('free')]), {
      restored: 2,
      standing: 0,
      invalid: 0,
    });
    assert.deepEqual(await got(p, 'gone'), {
      ...given,
      revision: 0,
      persisted: true,
      quarantined: false,
      unlisted: true,
      movedTo: null,
      archived: true,
    });
    assert.deepEqual(await nearIds(p, { maxAgeMs: 1e9 }), []);
    assert.deepEqual(await nearIds(p, { maxAgeMs: 1e9, status: 'busy' }), []);
    const box = { minLat: 52, minLon: 21, maxLat: 53, maxLon: 22 };
    assert.deepEqual((await store.live(p, box, 10, 1e9)).hits, []);
    for (const key of ['positions', 'meta']) {
      const ttl = await fixture.command(p, 'PTTL', `${key}:{${fixture.map.tagOf(p)}}`);
      assert.ok(Number(ttl) > 6 * 24 * 3600 * 1000, `${key}: ${ttl}`);
    }
  });

  test('a record that stands there stays, whichever is newer; an invalid one is left out alone', async () => {
    const p = fresh();
    const { store } = fixture;
    await record(p, position('here', { session: 6 }));
    const wrong = { ...archived('wrong'), session: 0 };
    const answer = await store.restore(p, [archived('here'), wrong, archived('twice'), archived('twice')]);
    assert.deepEqual(answer, { restored: 1, standing: 2, invalid: 1 });
    assert.equal((await got(p, 'here'))?.session, 6);
    assert.deepEqual(await nearIds(p), ['here']);
    assert.equal(await got(p, 'wrong'), null);
  });

  test('moves neither rev nor dirty_since nor seen_at, and is never flushed, also after a rewind', async () => {
    const p = fresh();
    const { store } = fixture;
    await record(p, position('a'));
    await flush(p);
    const before = await store.status(p);
    await store.restore(p, [archived('gone')]);
    const after = await store.status(p);
    const kept = ({ epoch, reign, revision, flushed, dirtySinceMs, seenAtMs, accepted }: typeof before) => ({
      ...{ epoch, reign, revision, flushed, dirtySinceMs, seenAtMs, accepted },
    });
    assert.deepEqual(kept(after), kept(before));
    await store.rewind(p, before.nowMs);
    assert.deepEqual((await scan(p)).rows, ['a']);
    assert.equal((await got(p, 'gone'))?.persisted, true);
  });

  test('where nobody has written yet the partition stays silent, and whoever writes then goes on from it', async () => {
    const p = fresh();
    const { store } = fixture;
    await store.restore(p, [archived('gone')]);
    const { epoch, reignAtMs, seenAtMs, revision } = await store.status(p);
    assert.deepEqual([seenAtMs, revision], [0, 0]);
    await overwrite(p, 'since', reignAtMs - 3000);
    assert.equal((await store.status(p)).health, 'silent');
    assert.equal((await record(p, position('a'))).state.epoch, epoch);
  });

  test('no sweep takes it; its driver reports by the usual order and is listed again', async () => {
    const p = fresh();
    const { store } = fixture;
    await store.restore(p, [archived('gone'), archived('other')]);
    const limits = { freshBeforeMs: Date.now() - 10_000, removeBeforeMs: Date.now() - 60_000 };
    await flush(p);
    assert.deepEqual((await scan(p, limits)).stale, []);
    assert.deepEqual(await store.sweep(p, ['gone'], limits), { unlisted: 0, removed: 0 });
    assert.deepEqual((await record(p, position('gone', { session: 6 }))).outcomes, ['superseded']);
    assert.deepEqual((await record(p, position('gone', { session: 8 }))).outcomes, ['accepted']);
    assert.deepEqual(await nearIds(p), ['gone']);
    const { archived: isArchived, unlisted } = (await got(p, 'gone')) ?? {};
    assert.deepEqual([isArchived, unlisted], [false, false]);
    // Forgotten where its driver has been recorded elsewhere since.
    assert.equal(await store.forget(p, [position('other', { session: 8 })]), 1);
    assert.equal(await got(p, 'other'), null);
  });

  test('at most 512, whole batches, of this map', async () => {
    const p = fresh();
    const { store } = fixture;
    const many = Array.from({ length: 513 }, (_, i) => archived(`d${i}`));
    assert.equal(await rejects(store.restore(p, many)), 'bad_batch');
    assert.equal((await store.status(p)).drivers, 0);
    assert.equal((await store.restore(p, many.slice(0, 512))).restored, 512);
    await overwrite(p, 'map', 'another');
    assert.equal(await rejects(store.restore(p, [archived('x')])), 'map_mismatch');
  });
});

describe('checkpoints', () => {
  const startedAtMs = Date.now();
  const checkpoint = (seq: number, extra: object = {}) =>
    position('d', {
      seq,
      recordedAtMs: startedAtMs + seq,
      checkpoint: true,
      checkpointId: `trip-${seq}`,
      ...extra,
    });

  test('waits with its id until it is done; ten for a driver', async () => {
    const p = fresh();
    const { store } = fixture;
    const first = checkpoint(1, { speedMps: 7.5 });
    assert.deepEqual((await record(p, first)).outcomes, ['accepted']);
    assert.deepEqual((await record(p, first)).outcomes, ['duplicate']);
    const [waiting] = (await store.waitingCheckpoints(p, 10)).waiting;
    assert.equal(waiting?.field, 'd:trip-1');
    const { checkpointId, seq, speedCmps } = waiting?.position ?? {};
    assert.deepEqual({ checkpointId, seq, speedCmps }, { checkpointId: 'trip-1', seq: 1, speedCmps: 750 });
    for (let seq = 2; seq <= 10; seq++) {
      assert.deepEqual((await record(p, checkpoint(seq))).outcomes, ['accepted']);
    }
    assert.deepEqual((await record(p, checkpoint(11))).outcomes, ['too_many_checkpoints']);
    assert.equal((await got(p, 'd'))?.seq, 10);
    assert.equal((await store.status(p)).checkpointsWaiting, 10);
    await store.checkpointsDone(p, ['d:trip-1', 'd:trip-2', 'd:trip-99']);
    const { waiting: left } = await store.checkpointsWaiting(p, ['d:trip-1', 'd:trip-3']);
    assert.deepEqual(left, ['gone', 'waits']);
    assert.equal((await store.status(p)).checkpointsWaiting, 8);
    assert.deepEqual((await record(p, checkpoint(12))).outcomes, ['accepted']);
    const fields = (await store.waitingCheckpoints(p, 100)).waiting.map((one) => one.field);
    await store.checkpointsDone(p, fields);
    assert.equal(await fixture.command(p, 'EXISTS', `checkpoints:{${fixture.map.tagOf(p)}}`), 0);
  });

  test('sent again over eleven connections it is one, and waits as it came first', async () => {
    const p = fresh();
    const { store } = fixture;
    const first = checkpoint(1);
    assert.deepEqual((await record(p, first)).outcomes, ['accepted']);
    for (let session = 2; session <= 12; session++) {
      const again = { ...first, session, seq: session };
      assert.deepEqual((await record(p, again)).outcomes, ['duplicate'], `connection ${session}`);
    }
    assert.equal((await store.status(p)).checkpointsWaiting, 1);
    const { waiting } = await store.waitingCheckpoints(p, 10);
    assert.deepEqual(
      waiting.map(({ position: { session, seq } }) => [session, seq]),
      [[1, 1]],
    );
  });

  test('its id for another time or place is a conflict, also within a batch; for another driver it is not', async () => {
    const p = fresh();
    const first = checkpoint(1);
    const later = { ...first, seq: 2, recordedAtMs: first.recordedAtMs + 1 };
    const elsewhere = { ...first, seq: 3, lonE7: first.lonE7 + 1 };
    const ofAnother = { ...later, driverId: 'e' };
    const faster = { ...first, seq: 4, speedCmps: 1234 };
    const batch = [first, later, elsewhere, ofAnother, faster];
    const expected = [
      'accepted',
      'checkpoint_conflict',
      'checkpoint_conflict',
      'accepted',
      'duplicate',
    ] as const;
    assert.deepEqual((await record(p, ...batch)).outcomes, expected);
    assert.deepEqual((await record(p, later)).outcomes, ['checkpoint_conflict']);
  });

  test('one that Postgres has otherwise is a conflict until it is told, and can be sent anew meanwhile', async () => {
    const p = fresh();
    const { store } = fixture;
    const before = Date.now();
    await record(p, checkpoint(1), checkpoint(2));
    await store.checkpointsConflict(p, ['d:trip-1', 'd:trip-99']);
    const { waiting } = await store.checkpointsWaiting(p, ['d:trip-1', 'd:trip-2', 'd:trip-99']);
    assert.deepEqual(waiting, ['conflict', 'waits', 'gone']);
    const all = await store.waitingCheckpoints(p, 10);
    assert.deepEqual(
      all.waiting.map(({ field }) => field),
      ['d:trip-2'],
    );
    const [conflict] = all.conflicts;
    assert.equal(conflict?.field, 'd:trip-1');
    assert.ok(conflict && conflict.sinceMs >= before - 1000 && conflict.sinceMs <= Date.now() + 1000);
    assert.equal((await store.status(p)).checkpointsWaiting, 1);
    assert.deepEqual((await record(p, { ...checkpoint(1), seq: 3 })).outcomes, ['accepted']);
    assert.equal((await store.status(p)).checkpointsWaiting, 2);
    await store.checkpointsConflict(p, ['d:trip-1']);
    await store.checkpointsDone(p, ['d:trip-1', 'd:trip-2']);
    assert.equal(await fixture.command(p, 'EXISTS', `checkpoints:{${fixture.map.tagOf(p)}}`), 0);
  });

  test('without an id it is not taken', async () => {
    const { outcomes } = await record(fresh(), { ...checkpoint(1), checkpointId: null });
    assert.deepEqual(outcomes, ['bad']);
  });

  test('an old one is taken without moving the latest position, and so is one that comes late', async () => {
    const p = fresh();
    const now = Date.now();
    const tunnel = checkpoint(1, { recordedAtMs: now - 3_600_000 });
    assert.deepEqual((await record(p, tunnel)).outcomes, ['accepted']);
    assert.equal(await got(p, 'd'), null);
    await record(p, position('d', { seq: 3, recordedAtMs: now }));
    const late = checkpoint(2, { recordedAtMs: now - 50 });
    assert.deepEqual((await record(p, late)).outcomes, ['accepted']);
    assert.equal((await got(p, 'd'))?.seq, 3);
    const { waiting } = await fixture.store.waitingCheckpoints(p, 10);
    assert.deepEqual(waiting.map((one) => one.field).sort(), ['d:trip-1', 'd:trip-2']);
  });

  test('of an older session it is refused, not stored', async () => {
    const p = fresh();
    await record(p, position('d', { session: 5 }));
    const { outcomes } = await record(p, checkpoint(1, { session: 4 }));
    assert.deepEqual(outcomes, ['superseded']);
    assert.deepEqual((await fixture.store.waitingCheckpoints(p, 10)).waiting, []);
  });
});

test('with memory full: nothing new is taken, and what makes the node well still works', async () => {
  const p = fresh();
  const { store } = fixture;
  const now = Date.now();
  const a = position('a', { recordedAtMs: now - 100_000 });
  await record(p, a, position('b'), position('c', { checkpoint: true, checkpointId: 'trip-1' }));
  await fixture.command(p, 'CONFIG', 'SET', 'maxmemory', '1');
  try {
    assert.equal(await rejects(record(p, position('d'))), 'overloaded');
    assert.equal(await rejects(record(p)), 'overloaded');
    await store.touch(p);
    await flush(p);
    await store.checkpointsDone(p, ['c:trip-1']);
    assert.equal(await store.forget(p, [position('b', { recordedAtMs: now + 1000 })]), 1);
    const limits = { freshBeforeMs: now, removeBeforeMs: now - 50_000 };
    assert.deepEqual(await store.sweep(p, ['a'], limits), { unlisted: 0, removed: 1 });
    await store.rewind(p, now);
    assert.equal((await store.status(p)).drivers, 1);
  } finally {
    await fixture.command(p, 'CONFIG', 'SET', 'maxmemory', '0');
  }
  assert.deepEqual((await record(p, position('d'))).outcomes, ['accepted']);
});

test('a store that connects finds a full node, and one of another map, and is told so call by call', async () => {
  const p = fresh();
  await record(p, position('a'));
  const other = await fixture.connect(new PartitionMap(moved(fixture.map.boundaries)), false);
  assert.equal(await rejects(other.touch(p)), 'map_mismatch');
  await fixture.command(p, 'CONFIG', 'SET', 'maxmemory', '1');
  try {
    const late = await fixture.connect();
    assert.equal(await rejects(late.record(p, [position('b')])), 'overloaded');
    await late.touch(p);
  } finally {
    await fixture.command(p, 'CONFIG', 'SET', 'maxmemory', '0');
  }
});
