// Whatever stands in a key may have been put there by somebody else: no call ends in the middle, and what is ours goes on.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { BODY_BYTES, eachRecord, FIRST_ID, TAIL_BYTES } from '../record.js';
import { logKeys } from './log-keys.js';
import { batchOf, type LogFixture, startLogStore } from './testing/log-fixture.js';
import { position, rejects } from './testing/store-fixture.js';

let fixture: LogFixture;
let partition = 0;

before(async () => {
  fixture = await startLogStore();
});
after(() => fixture.stop());

const next = () => partition++ % 64;
const keysOf = (p: number) => logKeys(fixture.map.tagOf(p));
const append = (p: number, ...ids: string[]) =>
  fixture.store.append(p, batchOf(...ids.map((id) => position(id))), ids.length);
const trip = (id: string, n: number) => position(id, { seq: n, checkpoint: true, checkpointId: `trip-${n}` });
const clear = (p: number) => fixture.command(p, 'DEL', ...(Object.values(keysOf(p)) as [string]));

async function flush(p: number) {
  const { term, revision, nowMs } = await fixture.store.begin(p, 'me', 5_000);
  return fixture.store.flushed(p, { term, revision, asOfMs: nowMs, flusherId: 'me' });
}

async function idsOf(p: number): Promise<string[]> {
  const ids: string[] = [];
  for (const { batch } of (await fixture.store.entries(p, FIRST_ID, 100)).entries)
    eachRecord(batch, (driverId) => ids.push(driverId));
  const { values } = await fixture.store.snapshot(p, { cursor: null, place: null, pageSize: 1_000 });
  return [...new Set([...ids, ...values.map(([id]) => id)])].sort();
}

const SIZES = [0, 1, 2, 12, 13, 24, 25, BODY_BYTES - 1, BODY_BYTES, BODY_BYTES + TAIL_BYTES - 1, 100, 5_000];
const garbage = SIZES.flatMap((size) => [0, 1, 2, 255].map((byte) => Buffer.alloc(size, byte)));

test('values of the snapshot: compacted over, swept round, and never in the way of the others', async () => {
  const p = next();
  for (const value of garbage) {
    const what = `${value.length} bytes of ${value[0]}`;
    await clear(p);
    await append(p, 'good', 'bad');
    await fixture.store.compact(p, 0);
    await fixture.command(p, 'HSET', keysOf(p).snapshot, 'bad', value);
    await append(p, 'good', 'new');
    assert.equal((await fixture.store.compact(p, 0)).folded, 2, what);
    await flush(p);
    await fixture.store.sweep(p, { removeBeforeMs: Date.now() + 60_000, cursor: '0', pageSize: 100 });
    const left = await idsOf(p);
    assert.ok(!left.includes('good') && !left.includes('new'), what);
    await append(p, 'bad');
    assert.equal((await fixture.store.compact(p, 0)).folded, 1, what);
  }
});

test('batches of the log: what does not add up is dropped, what stands before it is kept', async () => {
  const p = next();
  for (const value of garbage.filter(({ length }) => length > 0)) {
    const what = `${value.length} bytes of ${value[0]}`;
    await clear(p);
    await fixture.store.append(p, Buffer.concat([batchOf(position('first')), value]), 2);
    await append(p, 'last');
    await fixture.store.compact(p, 0);
    const ids = await idsOf(p);
    assert.ok(ids.includes('first') && ids.includes('last'), what);
    assert.equal((await fixture.store.counts(p)).entries, 0, what);
  }
});

test('entries that are none of ours are passed over', async () => {
  const p = next();
  await append(p, 'one');
  const { log } = keysOf(p);
  await fixture.command(p, 'XADD', log, '*', 'what', 'ever');
  await append(p, 'two');
  assert.deepEqual(await idsOf(p), ['one', 'two']);
  await fixture.store.compact(p, 0);
  assert.deepEqual(await idsOf(p), ['one', 'two']);
});

describe('waiting checkpoints', () => {
  test('one that is none of ours is passed over and counted; the others are found and done', async () => {
    const p = next();
    for (const value of garbage.filter(({ length }) => length !== BODY_BYTES)) {
      const what = `${value.length} bytes of ${value[0]}`;
      await clear(p);
      await fixture.store.checkpoint(p, [trip('d', 1), trip('e', 1)]);
      await fixture.command(p, 'HSET', keysOf(p).checkpoints, 'd:trip-7', value);
      const o = { cursor: null, place: null, pageSize: 100 };
      const page = await fixture.store.waitingCheckpoints(p, o);
      const fields = page.waiting.map(({ field }) => field).sort();
      assert.deepEqual([fields, page.unreadable], [['d:trip-1', 'e:trip-1'], 1], what);
      await fixture.store.checkpointsDone(p, fields);
      assert.deepEqual((await fixture.store.waitingCheckpoints(p, o)).waiting, [], what);
      assert.deepEqual((await fixture.store.checkpoint(p, [trip('d', 2)])).outcomes, ['accepted'], what);
    }
  });

  for (const count of ['', 'x', '-3', '1.5', '1e3', '9'.repeat(400), 'nan'])
    test(`a count that is "${count.slice(0, 10)}" is counted anew`, async () => {
      const p = next();
      const { checkpoints } = keysOf(p);
      await clear(p);
      await fixture.store.checkpoint(p, [trip('d', 1), trip('d', 2), trip('e', 1)]);
      await fixture.command(p, 'HSET', checkpoints, '*', count, 'd', count);
      assert.ok((await fixture.store.counts(p)).checkpointsWaiting > 0, 'some may wait');
      await fixture.store.checkpointsDone(p, ['d:trip-2']);
      assert.equal((await fixture.store.counts(p)).checkpointsWaiting, 2);
      await fixture.command(p, 'HSET', checkpoints, '*', count, 'd', count);
      const more = Array.from({ length: 10 }, (_, i) => trip('d', i + 3));
      const { outcomes } = await fixture.store.checkpoint(p, more);
      assert.deepEqual(outcomes, [...new Array(9).fill('accepted'), 'too_many']);
      assert.equal((await fixture.store.counts(p)).checkpointsWaiting, 11);
      const page = await fixture.store.waitingCheckpoints(p, { cursor: null, place: null, pageSize: 100 });
      await fixture.store.checkpointsDone(
        p,
        page.waiting.map(({ field }) => field),
      );
      assert.equal(await fixture.command(p, 'EXISTS', checkpoints), 0);
    });
});

describe('a line of meta that cannot be read', () => {
  const LINES = {
    term: ['', 'x', 'a b c d e f g', 'a b c 1 2 3', `m i o ${'9'.repeat(30)} 0 0 0`, 'x'.repeat(5_000)],
    counts: ['', 'x', Buffer.alloc(47), Buffer.alloc(48, 255), Buffer.alloc(49)],
    watermark: ['', 'x', '1 2 3 4', '1 2 3 4 nan', `${'9'.repeat(30)} 0 0 0 0`, '-1 0 0 0 0'],
    compacted: ['', 'x', '1', '1-', '-1', '1-2-3', `${'9'.repeat(30)}-1`],
  };
  for (const [line, values] of Object.entries(LINES))
    for (const value of values)
      test(`${line}: "${String(value).slice(0, 12).replaceAll('\0', '0')}"`, async () => {
        const p = next();
        await clear(p);
        await append(p, 'flushed');
        await flush(p);
        await append(p, 'dirty');
        await fixture.command(p, 'HSET', keysOf(p).meta, line, value);
        await fixture.store.counts(p).catch((error) => assert.equal(error.code, 'map_mismatch'));
        const { state } = await append(p, 'new');
        assert.ok(state.dirtySinceMs !== null);
        assert.deepEqual(await idsOf(p), ['dirty', 'flushed', 'new']);
        const after = await flush(p);
        assert.equal(after.dirtySinceMs, null);
        const { mapHash } = await fixture.store.counts(p);
        assert.equal(mapHash, fixture.map.hash, 'all lines can be read again');
      });
});

test('a lease that never runs out is none', async () => {
  const p = next();
  const { lease } = keysOf(p);
  await fixture.command(p, 'SET', lease, 'somebody');
  await fixture.store.begin(p, 'me', 5_000);
  await fixture.command(p, 'SET', lease, 'somebody', 'PX', 86_400_000);
  await fixture.store.begin(p, 'me', 5_000);
  assert.equal(await rejects(fixture.store.begin(p, 'other', 5_000)), 'leased');
});

describe('a key of another type', () => {
  for (const key of ['log', 'snapshot', 'meta', 'checkpoints', 'sessions', 'lease'] as const)
    test(`${key}: calls are refused, to be tried again, and succeed once it is gone`, async () => {
      const p = next();
      const keys = keysOf(p);
      await clear(p);
      await append(p, 'before');
      await fixture.command(p, 'DEL', keys[key]);
      await fixture.command(p, 'LPUSH', keys[key], 'x');
      const claim = {
        kind: 'first',
        driverId: 'd',
        connectionId: 'one',
        connectedAtMs: 0,
        session: 0,
      } as const;
      const calls = async () => [
        await rejects(append(p, 'a')),
        await rejects(fixture.store.compact(p, 0)),
        await rejects(fixture.store.checkpoint(p, [trip('d', 1)])),
        await rejects(fixture.store.claim(p, [claim])),
        await rejects(fixture.store.begin(p, 'me', 5_000)),
      ];
      const [ok, no] = ['nothing', 'refused'];
      const expected = {
        log: [no, no, ok, ok, ok],
        snapshot: [ok, no, ok, ok, ok],
        meta: [no, no, no, no, no],
        checkpoints: [ok, ok, no, ok, ok],
        sessions: [ok, ok, ok, no, ok],
        lease: [ok, ok, ok, ok, no],
      }[key];
      assert.deepEqual(await calls(), expected);
      await fixture.command(p, 'DEL', keys[key]);
      assert.deepEqual(await calls(), [ok, ok, ok, ok, ok]);
    });
});
