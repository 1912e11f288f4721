// The contract of the live store, on a real cluster.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { withAdmin } from '../../local/redis-node.js';
import { waitFor } from '../../local/server-process.js';
import { formatAddress, parseAddress } from '../node-address.js';
import { decodeBody, type EntryId, eachRecord, FIRST_ID, isAfter, splitValue } from '../record.js';
import type { LogPage, LogPageData, LogStore } from './log-store.js';
import { batchOf, type LogFixture, startLogStore } from './testing/log-fixture.js';
import { position, rejects } from './testing/store-fixture.js';

let fixture: LogFixture;
let store: LogStore;
/** Each test has a partition of its own. */
let partition = 0;

before(async () => {
  const locale = process.env.TEST_REDIS_LOCALE;
  fixture = await startLogStore(locale ? { locale } : {});
  store = fixture.store;
});
after(() => fixture.stop());

const next = () => ++partition;
const at = (id: string, recordedAtMs: number, session = 1) => position(id, { recordedAtMs, session });
const append = (p: number, ...positions: ReturnType<typeof position>[]) =>
  store.append(p, batchOf(...positions), positions.length);

async function logOf(p: number, after: EntryId = FIRST_ID) {
  const { entries } = await store.entries(p, after, 1_000);
  return entries.flatMap(({ id, batch }) => {
    const found: { driverId: string; recordedAtMs: number; id: EntryId }[] = [];
    eachRecord(batch, (driverId, from, to) => {
      const { recordedAtMs } = decodeBody(driverId, batch.subarray(from, to));
      found.push({ driverId, recordedAtMs, id });
    });
    return found;
  });
}

async function snapshotOf(p: number) {
  const all = new Map<string, { recordedAtMs: number; session: number; id: EntryId }>();
  let cursor: string | null = null;
  let place: string | null = null;
  do {
    const page = await store.snapshot(p, { cursor, place, pageSize: 100 });
    for (const [driverId, value] of page.values) {
      const split = splitValue(value);
      assert.ok(split);
      const { recordedAtMs, session } = decodeBody(driverId, split.body);
      all.set(driverId, { recordedAtMs, session, id: split.id });
    }
    ({ cursor, place } = page);
  } while (cursor !== null);
  return all;
}

/** How often meta is asked for on the partition's node while `work` runs. */
async function metaReads(p: number, work: () => Promise<unknown>): Promise<number> {
  const read = async () => {
    const stats = String(await fixture.command(p, 'INFO', 'commandstats'));
    return Number(/cmdstat_hmget:calls=(\d+)/.exec(stats)?.[1] ?? 0);
  };
  const before = await read();
  await work();
  return (await read()) - before;
}

test('entries: the page before stands for asking ahead only while the data is the same', async () => {
  const p = next();
  const nowMs = Date.now();
  await append(p, at('a', nowMs));
  const first = await store.entries(p, FIRST_ID, 10);
  const { data } = first;
  const after = (first.entries.at(-1) as { id: EntryId }).id;
  const { state } = await append(p, at('a', nowMs + 1));
  const revisionsAfter = async (before: LogPageData | null) => {
    let page: LogPage | undefined;
    const reads = await metaReads(p, async () => {
      page = await store.entries(p, after, 10, before);
    });
    assert.equal(page?.state.revision, state.revision);
    return { reads, revisions: page.entries.map(({ id }) => id.revision) };
  };
  const revisions = [state.revision];
  assert.deepEqual(await revisionsAfter(null), { reads: 2, revisions });
  assert.deepEqual(await revisionsAfter(data), { reads: 1, revisions });
  // If the last page says anything else, meta is asked before and after the entries.
  assert.deepEqual(await revisionsAfter({ ...data, place: 'another#1' }), { reads: 3, revisions });
  assert.deepEqual(await revisionsAfter({ ...data, termLine: {} }), { reads: 3, revisions });
  await store.compact(p, 0);
  assert.deepEqual(await revisionsAfter(data), { reads: 3, revisions: [] });
  const compacted = await store.entries(p, after, 10, data);
  assert.deepEqual(compacted.compacted, { term: state.term, revision: state.revision });
});

test('append: one entry for each batch, under growing revisions of one term', async () => {
  const p = next();
  const nowMs = Date.now();
  const first = (await append(p, at('a', nowMs), at('b', nowMs))).state;
  const second = (await append(p, at('a', nowMs + 1))).state;
  assert.equal(first.term, second.term);
  assert.equal(second.revision, first.revision + 1);
  assert.equal(second.appended, second.revision);
  assert.equal(second.accepted, 3);
  assert.ok(second.logBytes > first.logBytes);
  assert.ok(first.dirtySinceMs !== null && first.dirtySinceMs === second.dirtySinceMs);
  const { term } = first;
  assert.deepEqual(await logOf(p), [
    { driverId: 'a', recordedAtMs: nowMs, id: { term, revision: first.revision } },
    { driverId: 'b', recordedAtMs: nowMs, id: { term, revision: first.revision } },
    { driverId: 'a', recordedAtMs: nowMs + 1, id: { term, revision: second.revision } },
  ]);
  assert.deepEqual(
    (await logOf(p, { term, revision: first.revision })).map(({ recordedAtMs }) => recordedAtMs),
    [nowMs + 1],
  );
});

test('a touch acknowledges nothing and appends nothing', async () => {
  const p = next();
  const before = (await append(p, at('a', Date.now()))).state;
  const state = await store.touch(p);
  assert.equal(state.revision, before.revision);
  assert.ok(state.seenAtMs >= before.seenAtMs);
  assert.equal((await logOf(p)).length, 1);
});

test('compact: the newest of each driver goes to the snapshot, with its entry; the log is trimmed', async () => {
  const p = next();
  const nowMs = Date.now();
  await append(p, at('a', nowMs + 1), at('b', nowMs), at('c', nowMs, 9));
  await append(p, at('a', nowMs), at('b', nowMs + 5));
  const last = (await append(p, at('c', nowMs + 7, 2), at('d', nowMs))).state;
  const none = await store.compact(p, 60_000);
  assert.deepEqual([none.folded, none.isMore], [0, false]);
  assert.equal((await logOf(p)).length, 7);
  const done = await store.compact(p, 0);
  assert.deepEqual([done.folded, done.isMore], [4, false]);
  assert.equal(done.state.logBytes, 0);
  assert.equal(done.state.revision, last.revision, 'nothing is acknowledged');
  const { entries, compacted } = await store.entries(p, FIRST_ID, 10);
  assert.deepEqual(entries, []);
  assert.deepEqual(compacted, { term: last.term, revision: last.revision });
  const snapshot = await snapshotOf(p);
  const { term } = last;
  const of = (id: string) => snapshot.get(id);
  assert.deepEqual(of('a'), { recordedAtMs: nowMs + 1, session: 1, id: { term, revision: 1 } });
  assert.deepEqual(of('b'), { recordedAtMs: nowMs + 5, session: 1, id: { term, revision: 2 } });
  assert.deepEqual(of('c'), { recordedAtMs: nowMs, session: 9, id: { term, revision: 1 } });
  assert.deepEqual(of('d'), { recordedAtMs: nowMs, session: 1, id: { term, revision: 3 } });
  const [d, nobody] = await store.snapshotOf(p, ['d', 'nobody']);
  assert.deepEqual([d && splitValue(d)?.id, nobody], [{ term, revision: 3 }, null]);
});

test('of some drivers the snapshot can be asked by id', async () => {
  const p = next();
  const nowMs = Date.now();
  const { term, revision } = (await append(p, at('a', nowMs))).state;
  assert.deepEqual(await store.snapshotOf(p, ['a']), [null], 'it is in the log');
  await store.compact(p, 0);
  const values = await store.snapshotOf(p, ['nobody', 'a']);
  assert.equal(values[0], null);
  assert.deepEqual(splitValue(values[1] as Buffer)?.id, { term, revision });
  assert.deepEqual((await store.counts(p)).compacted, { term, revision });
});

test('compact: an older record does not replace a newer one of the snapshot, an equal one does', async () => {
  const p = next();
  const nowMs = Date.now();
  await append(p, at('a', nowMs), at('b', nowMs));
  await store.compact(p, 0);
  const { revision } = (await append(p, at('a', nowMs - 1), at('b', nowMs))).state;
  await store.compact(p, 0);
  const snapshot = await snapshotOf(p);
  assert.equal(snapshot.get('a')?.id.revision, revision - 1);
  assert.equal(snapshot.get('b')?.id.revision, revision);
});

test('compact: bounded, and goes on where it stopped', async () => {
  const p = next();
  const nowMs = Date.now();
  for (let batch = 0; batch < 12; batch++) {
    const positions = Array.from({ length: 512 }, (_, i) => at(`d-${batch}-${i}`, nowMs));
    await append(p, ...positions);
  }
  let calls = 0;
  for (let isMore = true; isMore; calls++) {
    const answer = await store.compact(p, 0);
    assert.ok(answer.folded <= 2_000 && answer.folded > 0);
    ({ isMore } = answer);
  }
  assert.ok(calls > 3 && calls < 6, `${calls} calls`);
  assert.equal((await snapshotOf(p)).size, 12 * 512);
  assert.equal((await store.counts(p)).entries, 0);
});

test('compact: who reads while another compacts, or while a term begins, folds nothing and may go on', async () => {
  const p = next();
  await append(p, at('a', Date.now()));
  const both = await Promise.all([store.compact(p, 0), store.compact(p, 0)]);
  assert.deepEqual(both.map(({ folded }) => folded).sort(), [0, 1]);
  assert.deepEqual(both.map(({ isMore }) => isMore).sort(), [false, true]);

  await append(p, at('b', Date.now()));
  const [meanwhile] = await Promise.all([store.compact(p, 0), store.rewind(p, Date.now())]);
  assert.deepEqual([meanwhile.folded, meanwhile.isMore], [0, true]);
  assert.equal((await store.counts(p)).entries, 1);
  assert.equal((await store.compact(p, 0)).folded, 1);
  assert.deepEqual([...(await snapshotOf(p)).keys()].sort(), ['a', 'b']);
});

test('compact: with a lease that another holds it folds nothing', async () => {
  const p = next();
  await append(p, at('a', Date.now()));
  assert.equal((await store.compact(p, 0, { holder: 'one', ms: 5_000 })).folded, 1);
  await append(p, at('a', Date.now()));
  assert.equal((await store.compact(p, 0, { holder: 'two', ms: 5_000 })).folded, 0);
});

test('what cannot be read: a format that nobody knows is kept, what does not add up is dropped', async () => {
  const p = next();
  const nowMs = Date.now();
  const odd = Buffer.from(batchOf(at('odd', nowMs)));
  odd[5] = 77; // the format
  const cut = batchOf(at('cut', nowMs)).subarray(0, 20);
  await store.append(p, Buffer.concat([batchOf(at('a', nowMs)), odd, cut]), 3);
  await append(p, at('b', nowMs));
  assert.equal((await store.compact(p, 0)).folded, 3);
  const values = (await store.snapshot(p, { cursor: null, place: null, pageSize: 100 })).values;
  assert.deepEqual(values.map(([id]) => id).sort(), ['a', 'b', 'odd']);
});

test('flushed moves the watermark, and says when all is there', async () => {
  const p = next();
  await append(p, at('a', Date.now()));
  const begun = await store.begin(p, 'flusher', 5_000);
  const { term, revision, nowMs } = begun;
  assert.equal(await rejects(store.begin(p, 'other', 5_000)), 'leased');
  const later = (await append(p, at('b', Date.now()))).state;
  const o = { term, revision, asOfMs: nowMs, flusherId: 'flusher' };
  const state = await store.flushed(p, o);
  assert.deepEqual(state.flushed, { term, revision });
  assert.equal(state.dirtySinceMs, nowMs, 'b came later');
  const again = await store.begin(p, 'other', 5_000);
  const all = await store.flushed(p, { ...o, revision: later.revision, flusherId: 'other' });
  assert.equal(all.dirtySinceMs, null);
  assert.equal(all.acceptedAtFlush, 2);
  assert.equal(await rejects(store.flushed(p, { ...o, revision: again.revision + 1 })), 'term_changed');
  assert.equal(await rejects(store.flushed(p, { ...o, term: term - 1 })), 'term_changed');
});

test('refused: the note of a driver is the newest, and is taken back by its own id alone', async () => {
  const p = next();
  const { term, revision } = (await append(p, at('a', Date.now()), at('b', Date.now()))).state;
  const [first, second] = [
    { term, revision },
    { term, revision: revision + 1 },
  ];
  await store.refuse(
    p,
    ['a', 'b'].map((driverId) => ({ driverId, id: first })),
    true,
  );
  assert.equal(await store.refuse(p, [{ driverId: 'a', id: second }], true), 2);
  assert.deepEqual(Object.fromEntries((await store.refused(p)).refused), { a: second, b: first });
  assert.equal(await store.refuse(p, [{ driverId: 'a', id: first }], false), 2);
  assert.equal(await store.refuse(p, [{ driverId: 'a', id: second }], false), 1);
  assert.equal((await store.counts(p)).refused, 1);
});

test('rewind: nothing counts as flushed, in a new term that lost nothing', async () => {
  const p = next();
  const { term, revision } = (await append(p, at('a', Date.now()))).state;
  await store.begin(p, 'f', 5_000);
  await store.flushed(p, { term, revision, asOfMs: Date.now(), flusherId: 'f' });
  await store.refuse(p, [{ driverId: 'a', id: { term, revision } }], true);
  const state = await store.rewind(p, 1_000);
  assert.deepEqual(state.flushed, FIRST_ID);
  assert.equal(state.dirtySinceMs, 1_000);
  assert.deepEqual([state.previous, state.base], [term, revision]);
  assert.ok(state.term > term);
  assert.equal((await store.refused(p)).refused.size, 0);
  assert.equal(
    await rejects(store.flushed(p, { term, revision, asOfMs: 1, flusherId: 'f' })),
    'term_changed',
  );
});

test('sweep: what is old and in Postgres goes, what is refused or not flushed stays', async () => {
  const p = next();
  const oldMs = Date.now() - 3_600_000;
  const { term, revision } = (await append(p, at('gone', oldMs), at('refused', oldMs), at('new', Date.now())))
    .state;
  await store.compact(p, 0);
  const o = { removeBeforeMs: Date.now() - 60_000, cursor: '0', pageSize: 100 };
  assert.equal((await store.sweep(p, o)).removed, 0, 'nothing is flushed');
  await store.begin(p, 'f', 5_000);
  await store.flushed(p, { term, revision, asOfMs: Date.now(), flusherId: 'f' });
  await store.refuse(p, [{ driverId: 'refused', id: { term, revision } }], true);
  assert.deepEqual(await store.sweep(p, o), { cursor: null, removed: 1 });
  assert.deepEqual([...(await snapshotOf(p)).keys()].sort(), ['new', 'refused']);
});

test('checkpoints: one for each (driver, id), ten of a driver, another place under the same id is refused', async () => {
  const p = next();
  const nowMs = Date.now();
  const trip = (id: string, checkpointId: string, lat = 52) =>
    position(id, { recordedAtMs: nowMs, lat, checkpoint: true, checkpointId });
  const first = await store.checkpoint(p, [trip('a', '1'), trip('a', '1'), trip('b', '1')]);
  assert.deepEqual(first.outcomes, ['accepted', 'duplicate', 'accepted']);
  const { revision } = first.state;
  const again = await store.checkpoint(p, [trip('a', '1'), trip('a', '1', 53)]);
  assert.deepEqual(again.outcomes, ['duplicate', 'conflict']);
  assert.equal(again.state.revision, revision, 'nothing more was acknowledged');
  const many = await store.checkpoint(
    p,
    Array.from({ length: 12 }, (_, i) => trip('a', `t${i}`)),
  );
  assert.deepEqual(many.outcomes.filter((outcome) => outcome === 'accepted').length, 9);
  assert.deepEqual(many.outcomes.slice(9), ['too_many', 'too_many', 'too_many']);
  assert.equal((await store.counts(p)).checkpointsWaiting, 11);
  assert.equal(await store.checkpointsWaiting(p), 11);
  const page = await store.waitingCheckpoints(p, { cursor: null, place: null, pageSize: 100 });
  assert.equal(page.waiting.length, 11);
  await store.checkpointsConflict(p, ['a:t1']);
  await store.checkpointsDone(p, ['a:1', 'b:1']);
  const { standings } = await store.checkpointStandings(p, ['a:1', 'a:t1', 'a:t2']);
  assert.deepEqual(standings, ['gone', 'conflict', 'waits']);
  assert.equal((await store.counts(p)).checkpointsWaiting, 8);
  assert.equal(
    (await store.waitingCheckpoints(p, { cursor: null, place: null, pageSize: 100 })).conflicts.length,
    1,
  );
});

test('meta deleted while the log stays: a new incarnation, and ids that go on', async () => {
  const p = next();
  const nowMs = Date.now();
  const before = (await append(p, at('a', nowMs))).state;
  await fixture.command(p, 'DEL', `meta:{${fixture.map.tagOf(p)}}`);
  const state = (await append(p, at('b', nowMs))).state;
  assert.notEqual(state.incarnation, before.incarnation);
  assert.ok(isAfter(state, before));
  assert.deepEqual(
    (await logOf(p)).map(({ driverId }) => driverId),
    ['a', 'b'],
  );
});

test('a clock that is an hour ahead and comes back: terms and ids go on', async () => {
  const p = next();
  const tag = fixture.map.tagOf(p);
  const ahead = Date.now() + 3_600_000;
  await fixture.command(p, 'XADD', `log:{${tag}}`, `${ahead}-7`, 't', ahead, 'b', batchOf(at('a', 1)));
  const first = (await append(p, at('b', 2))).state;
  assert.ok(first.term > ahead);
  assert.ok(Math.abs(first.beganAtMs - Date.now()) < 60_000);
  const second = (await append(p, at('c', 3))).state;
  assert.equal(second.revision, first.revision + 1);
  assert.deepEqual(
    (await logOf(p)).map(({ driverId }) => driverId),
    ['a', 'b', 'c'],
  );
});

test('lines of meta that cannot be read: a new incarnation, and whoever follows looks at the snapshot', async () => {
  const p = next();
  const tag = fixture.map.tagOf(p);
  for (const line of ['term', 'counts', 'watermark', 'compacted']) {
    const before = (await append(p, at('a', Date.now()))).state;
    await fixture.command(p, 'HSET', `meta:{${tag}}`, line, 'x y z');
    const state = (await append(p, at('a', Date.now()))).state;
    assert.notEqual(state.incarnation, before.incarnation, line);
    assert.ok(isAfter(state, before), line);
    const { compacted } = await store.entries(p, FIRST_ID, 1);
    assert.ok(isAfter(compacted, before), line);
    assert.ok(state.dirtySinceMs !== null, line);
  }
});

test('another partition map is told apart by writes and by reads', async () => {
  const p = next();
  await append(p, at('a', Date.now()));
  const meta = `meta:{${fixture.map.tagOf(p)}}`;
  const term = String(await fixture.command(p, 'HGET', meta, 'term'));
  await fixture.command(p, 'HSET', meta, 'term', term.replace(fixture.map.hash, 'another'));
  assert.equal(await rejects(append(p, at('b', Date.now()))), 'map_mismatch');
  assert.equal(await rejects(store.entries(p, FIRST_ID, 1)), 'map_mismatch');
  assert.equal(await rejects(store.snapshotOf(p, ['a'])), 'map_mismatch');
});

test('a scan that goes on at another process is refused', async () => {
  const p = next();
  await append(p, ...Array.from({ length: 400 }, (_, i) => at(`d${i}`, Date.now())));
  await store.compact(p, 0);
  const page = await store.snapshot(p, { cursor: null, place: null, pageSize: 10 });
  assert.ok(page.cursor !== null);
  const o = { cursor: page.cursor, pageSize: 10 };
  await store.snapshot(p, { ...o, place: page.place });
  assert.equal(await rejects(store.snapshot(p, { ...o, place: 'another' })), 'place_changed');
});

test('with memory full: nothing new is taken, and what makes the node well still works', async () => {
  const p = next();
  const nowMs = Date.now();
  const { term, revision } = (await append(p, at('a', nowMs - 100_000), at('b', nowMs))).state;
  await store.checkpoint(p, [position('a', { recordedAtMs: nowMs, checkpoint: true, checkpointId: 'trip' })]);
  await fixture.command(p, 'CONFIG', 'SET', 'maxmemory', '1');
  try {
    assert.equal(await rejects(append(p, at('d', nowMs))), 'overloaded');
    assert.equal(
      await rejects(store.checkpoint(p, [position('a', { checkpoint: true, checkpointId: 'two' })])),
      'overloaded',
    );
    await store.touch(p);
    const claims = [
      { kind: 'first' as const, driverId: 'a', connectionId: 'one', connectedAtMs: 0, session: 0 },
    ];
    assert.equal((await store.claim(p, claims)).results[0]?.won, true);
    assert.equal((await store.compact(p, 0)).folded, 2);
    await store.begin(p, 'f', 5_000);
    await store.flushed(p, { term, revision, asOfMs: nowMs, flusherId: 'f' });
    await store.checkpointsDone(p, ['a:trip']);
    assert.equal(
      (await store.sweep(p, { removeBeforeMs: nowMs - 50_000, cursor: '0', pageSize: 100 })).removed,
      1,
    );
    await store.rewind(p, nowMs);
    assert.equal((await store.counts(p)).drivers, 1);
    const late = await fixture.connect();
    assert.equal(await rejects(late.append(p, batchOf(at('e', nowMs)), 1)), 'overloaded');
    await late.touch(p);
  } finally {
    await fixture.command(p, 'CONFIG', 'SET', 'maxmemory', '0');
  }
  await append(p, at('d', nowMs));
});

test('a slot that moves while it is written and followed: nothing is missed, and its last id goes with it', async () => {
  const p = next();
  const slot = fixture.map.slotOf(p);
  const from = store.nodeOf(p) as string;
  const to = fixture.cluster.nodes.map(formatAddress).find((address) => address !== from) as string;
  const on = (address: string, ...args: [string, ...string[]]) =>
    withAdmin(address, fixture.cluster.password, (node) => node.call(...args));
  const [fromId, toId] = await Promise.all(
    [from, to].map(async (one) => String(await on(one, 'CLUSTER', 'MYID'))),
  );
  let isOver = false;
  const acknowledged: number[] = [];
  const follow = async () => {
    const followed: number[] = [];
    let after: EntryId = FIRST_ID;
    while (!isOver || followed.length < acknowledged.length) {
      const page = await store.entries(p, after, 100).catch(() => null);
      for (const { id, batch } of page?.entries ?? []) {
        assert.ok(isAfter(id, after));
        after = id;
        eachRecord(batch, (_, bodyAt, end) =>
          followed.push(decodeBody('d', batch.subarray(bodyAt, end)).recordedAtMs),
        );
      }
      await sleep(5);
    }
    return followed;
  };
  const write = async () => {
    for (let recordedAtMs = 1; !isOver; recordedAtMs++) {
      const isTaken = await append(p, at('d', recordedAtMs)).then(
        () => true,
        () => false,
      );
      if (isTaken) acknowledged.push(recordedAtMs);
      await sleep(2);
    }
  };
  const work = Promise.all([follow(), write()]);
  await waitFor('some are written', 20_000, async () => acknowledged.length > 20 || undefined);
  await on(to, 'CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', fromId as string);
  await on(from, 'CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', toId as string);
  await sleep(30);
  const before = acknowledged.length;
  const keys = (await on(from, 'CLUSTER', 'GETKEYSINSLOT', String(slot), '100')) as string[];
  const { host, port } = parseAddress(to);
  await on(from, 'MIGRATE', host, String(port), '', '0', '5000', 'KEYS', ...keys);
  await sleep(30);
  await on(to, 'CLUSTER', 'SETSLOT', String(slot), 'NODE', toId as string);
  await on(from, 'CLUSTER', 'SETSLOT', String(slot), 'NODE', toId as string);
  const moved = acknowledged.length;
  await waitFor('it goes on there', 20_000, async () => acknowledged.length > moved + 20 || undefined);
  isOver = true;
  const [followed] = await work;
  assert.deepEqual(
    acknowledged.filter((recordedAtMs) => !followed.includes(recordedAtMs)),
    [],
  );
  const { state } = await store.entries(p, FIRST_ID, 1);
  assert.ok(state.previous > 0 && state.base >= before, 'a term began, and lost nothing');
});

test('a reader knows the time of the nodes once it has asked for it', async () => {
  const reader = await fixture.connect({ readOnly: true, loadsFunctions: false });
  const [seconds, micros] = (await fixture.command(1, 'TIME')) as [Buffer, Buffer];
  await reader.readClock(1);
  assert.ok(reader.nowMs() >= Number(seconds) * 1000 + Math.floor(Number(micros) / 1000));
});
