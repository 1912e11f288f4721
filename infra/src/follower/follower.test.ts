// A follower of a real cluster, held against a fold over what the store holds.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { LogStore } from '../live-store/log-store.js';
import { batchOf, type LogFixture, startLogStore } from '../live-store/testing/log-fixture.js';
import { position } from '../live-store/testing/store-fixture.js';
import { seededRandom } from '../seeded-random.js';
import {
  assertFold,
  BY_HAND,
  type Following,
  follow,
  markedIds,
  pollToEnd,
  seen,
  until,
} from './testing/following.js';

const SEED = 1_127;

let fixture: LogFixture;
let store: LogStore;
/** Each test has partitions of its own. */
let partition = 0;

before(async () => {
  fixture = await startLogStore();
  store = fixture.store;
});
after(() => fixture.stop());

const next = () => ++partition;
const append = (p: number, id: string, recordedAtMs: number, session = 1) =>
  store.append(p, batchOf(position(id, { recordedAtMs, session })), 1);

async function assertSeen(following: Following, ...partitions: number[]): Promise<void> {
  await seen(following, ...partitions);
  await assertFold(following, fixture, partitions, `seed ${SEED}`);
  assert.deepEqual(markedIds(following.sink), []);
}

test('follower: log and snapshot as they were, and whatever comes', async (t) => {
  const p = next();
  await append(p, 'a', 10);
  await append(p, 'b', 10);
  await store.compact(p, 0);
  await append(p, 'b', 11);
  const following = await follow(t, fixture, [p]);
  await until('every partition is read', () => following.follower.wasCaughtUp);
  await assertSeen(following, p);
  assert.equal(following.sink.held.get('a')?.recordedAtMs, 10);
  await append(p, 'c', 12);
  await append(p, 'a', 9, 2);
  await assertSeen(following, p);
  assert.equal(following.sink.held.get('a')?.session, 2);
});

test('follower: compaction while it follows is no gap; entries that it never saw are one', async (t) => {
  const p = next();
  await append(p, 'a', 10);
  const following = await follow(t, fixture, [p]);
  await seen(following, p);
  const { breaks } = following.follower.counts;
  await store.compact(p, 0);
  await append(p, 'b', 11);
  await assertSeen(following, p);
  assert.equal(breaks.gap, 0);
  // Two entries and a compaction between two polls: one page cannot show what the second one held.
  await Promise.all([append(p, 'c', 12), append(p, 'd', 13), store.compact(p, 0), append(p, 'e', 14)]);
  await assertSeen(following, p);
});

test('follower: one that falls behind, with a compaction meanwhile, reads the snapshot again', async (t) => {
  const p = next();
  const following = await follow(t, fixture, [p], BY_HAND);
  await pollToEnd(following, p);
  for (let i = 0; i < 100; i++) await append(p, `d${i}`, 10 + i);
  await store.compact(p, 0);
  await append(p, 'last', 500);
  await following.of(p).poll();
  assert.equal(following.of(p).state, 'queued');
  await pollToEnd(following, p);
  assert.equal(following.sink.held.size, 101);
});

test('follower: compaction between two pages of the log, and between log and snapshot', async (t) => {
  const p = next();
  for (let i = 0; i < 100; i++) await append(p, `d${i}`, 10 + i);
  const following = await follow(t, fixture, [p]);
  // Its polls and those compactions are in one order at the node, whichever it is.
  const compacting = (async () => {
    for (let i = 0; i < 5; i++) {
      await append(p, `more-${i}`, 1_000 + i);
      await store.compact(p, 0);
    }
  })();
  await compacting;
  await assertSeen(following, p);
  assert.equal(following.sink.held.size, 105);
});

test('follower: entries that it never saw are compacted while it reads the snapshot', async (t) => {
  const p = next();
  const nowMs = 1_000;
  const many = async (name: string, batches: number) => {
    for (let batch = 0; batch < batches; batch++) {
      const ids = Array.from({ length: 500 }, (_, i) => `${name}-${batch}-${i}`);
      await store.append(p, batchOf(...ids.map((id) => position(id, { recordedAtMs: nowMs }))), ids.length);
    }
    for (let isMore = true; isMore; ) ({ isMore } = await store.compact(p, 0));
  };
  await many('early', 20);
  const following = await follow(t, fixture, [p], BY_HAND);
  const partition = following.of(p);
  await until('its turn', async () => {
    await partition.poll();
    return partition.wantsSnapshot(performance.now());
  });
  const reading = partition.readSnapshot();
  await until('a part of it is read', () => following.sink.held.size > 0);
  await many('late', 1);
  assert.equal(partition.state, 'snapshot', 'all was read too soon: give it more drivers');
  await partition.poll();
  assert.equal(partition.state, 'queued');
  await reading;
  await pollToEnd(following, p);
  assert.equal(following.sink.held.size, 10_500);
});

test('follower: records that cannot be read are passed over and counted', async (t) => {
  const p = next();
  const odd = Buffer.from(batchOf(position('odd', { recordedAtMs: 5 })));
  odd[5] = 77;
  const cut = batchOf(position('cut', { recordedAtMs: 5 })).subarray(0, 20);
  await store.append(p, Buffer.concat([odd, batchOf(position('good', { recordedAtMs: 5 })), cut]), 3);
  const following = await follow(t, fixture, [p]);
  await seen(following, p);
  assert.ok(following.sink.held.has('good') && !following.sink.held.has('odd'));
  assert.equal(following.follower.counts.unreadable, 2);
});

test('follower: flushed and refused are taken together', async (t) => {
  const p = next();
  const { term, revision } = (await append(p, 'a', 10)).state;
  const later = (await append(p, 'b', 10)).state;
  const following = await follow(t, fixture, [p]);
  await seen(following, p);
  const flushedOf = (id: string, of = { term, revision }) =>
    following.of(p).isFlushed(id, of.term, of.revision);
  assert.equal(flushedOf('a'), false);
  const { nowMs } = await store.begin(p, 'f', 5_000);
  await store.refuse(p, [{ driverId: 'a', id: { term, revision } }], true);
  await store.flushed(p, { term, revision: later.revision, asOfMs: nowMs, flusherId: 'f' });
  await until('b is flushed', () => flushedOf('b', later));
  assert.equal(flushedOf('a'), false, 'refused');
  await store.refuse(p, [{ driverId: 'a', id: { term, revision } }], false);
  await until('the note is taken back', () => flushedOf('a'));
  await store.rewind(p, 1);
  await until('nothing is flushed any more', () => !flushedOf('b', later));
});

test('follower: a term that lost nothing marks nothing; data that began anew marks all that is not found', async (t) => {
  const p = next();
  await append(p, 'a', 10);
  await append(p, 'b', 10);
  const following = await follow(t, fixture, [p]);
  await seen(following, p);
  await store.rewind(p, 1);
  await append(p, 'c', 10);
  await seen(following, p);
  const marks = () =>
    Object.fromEntries(['a', 'b', 'c'].map((id) => [id, following.sink.held.get(id)?.mark]));
  assert.deepEqual(marks(), { a: 'none', b: 'none', c: 'none' });
  const tag = fixture.map.tagOf(p);
  await fixture.command(p, 'DEL', `meta:{${tag}}`, `log:{${tag}}`);
  await append(p, 'b', 10);
  await seen(following, p);
  assert.deepEqual(marks(), { a: 'lost', b: 'none', c: 'lost' });
  assert.ok(following.follower.counts.breaks.incarnation > 0);
  await append(p, 'a', 10);
  await seen(following, p);
  assert.deepEqual(marks(), { a: 'none', b: 'none', c: 'lost' });
});

test(`follower: equals a fold over the store under random interleavings (seed ${SEED})`, async (t) => {
  const { next: fraction } = seededRandom(SEED);
  const random = (below: number) => Math.floor(fraction() * below);
  const partitions = [next(), next()];
  const anyone = () => partitions[random(2)] as number;
  let following = await follow(t, fixture, partitions);
  for (let step = 0; step < 400; step++) {
    const kind = random(20);
    if (kind < 13) {
      const records = Array.from({ length: 1 + random(5) }, () =>
        position(`d${random(30)}`, { recordedAtMs: 1_000 + step + random(40), session: 1 + random(2) }),
      );
      await store.append(anyone(), batchOf(...records), records.length);
    } else if (kind < 16) await store.compact(anyone(), 0);
    else if (kind < 17) await store.rewind(anyone(), 1);
    else if (kind < 18) await assertSeen(following, ...partitions);
    else if (kind < 19 && random(4) === 0) {
      following.follower.stop();
      following = await follow(t, fixture, partitions, 1 + random(30));
    } else await new Promise((resolve) => setTimeout(resolve, random(20)));
  }
  await assertSeen(following, ...partitions);
});
