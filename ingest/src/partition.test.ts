import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import type { ToldState } from '@whereabouts/infra/live-store/log-state';
import { StoreError, type StoreErrorCode } from '@whereabouts/infra/live-store/store-error';
import { Drivers } from './drivers.js';
import { Partition, type TermChange } from './partition.js';

let drivers: Drivers;
let partition: Partition;
let changes: TermChange[];

beforeEach(() => {
  drivers = new Drivers();
  changes = [];
  partition = new Partition(3, drivers, (_, change) => changes.push(change));
});

function state(o: Partial<ToldState> = {}): ToldState {
  return {
    partition: 3,
    incarnation: 'a',
    owner: 'n',
    term: 10,
    beganAtMs: 0,
    base: 0,
    previous: 0,
    revision: 1,
    appended: 1,
    dirtySinceMs: null,
    seenAtMs: 0,
    accepted: 0,
    logBytes: 0,
    flushed: { term: 0, revision: 0 },
    flushedAtMs: 0,
    acceptedAtFlush: 0,
    nowMs: 0,
    ...o,
  };
}
const answer = (o: Partial<ToldState> = {}) => partition.write(async () => ({ state: state(o) }));
const fail = (code: StoreErrorCode) =>
  partition
    .write(async (): Promise<{ state: ToldState }> => {
      throw new StoreError(code, 'no');
    })
    .catch((error) => assert.ok(error instanceof StoreError));
const above = () => changes.map((change) => change.above);
/** One whose answer comes when it is told to. */
function late(o: Partial<ToldState>): { arrive(): Promise<unknown> } {
  let settle: (value: { state: ToldState }) => void = () => {};
  const gate = new Promise<{ state: ToldState }>((resolve) => {
    settle = resolve;
  });
  const call = partition.call(() => gate);
  return {
    arrive() {
      settle({ state: state(o) });
      return call;
    },
  };
}
const newRow = (id: string) => drivers.slotOf(id, 0);

test('rows wait in their order, and are taken out from anywhere', () => {
  const rows = Array.from({ length: 100 }, (_, i) => newRow(`d${i}`));
  for (const row of rows) partition.add(row);
  for (const row of rows.filter((_, i) => i % 3 === 0)) partition.remove(row);
  const left = rows.filter((_, i) => i % 3 !== 0);
  assert.equal(partition.waiting, left.length);
  const seen: number[] = [];
  partition.eachWaiting((slot) => seen.push(slot));
  assert.deepEqual(seen, left);
  for (const row of left) assert.equal(partition.shift(), row);
  assert.equal(partition.shift(), -1);
  assert.equal(partition.waiting, 0);
});

test('who comes and goes for ever takes no room', () => {
  const rows = Array.from({ length: 10 }, (_, i) => newRow(`d${i}`));
  for (const row of rows) partition.add(row);
  for (let i = 0; i < 100_000; i++) {
    const row = rows[i % 10] as number;
    partition.remove(row);
    partition.add(row);
  }
  assert.deepEqual(
    rows.map(() => partition.shift()),
    rows,
  );
});

test('a row waits once', () => {
  const row = newRow('d');
  partition.add(row);
  assert.throws(() => partition.add(row), /waits in one partition/);
  assert.equal(partition.shift(), row);
  assert.throws(() => partition.remove(row), /waits here/);
});

test('a new term: lost is what was acknowledged above its base', async () => {
  await answer({ revision: 7 });
  assert.equal(changes.length, 0, 'nothing was known before');
  await answer({ term: 11, previous: 10, base: 5, revision: 6 });
  await answer({ term: 13, previous: 12, base: 9, revision: 10 });
  await answer({ incarnation: 'b', term: 14, revision: 1 });
  assert.deepEqual(above(), [5, -1, -1]);
});

test('the same term with fewer revisions than were known when it was asked: lost is what is above', async () => {
  await answer({ revision: 7 });
  await answer({ revision: 4 });
  assert.deepEqual(above(), [4]);
});

test('answers that cross: an older one of the same term says nothing', async () => {
  await answer({ revision: 7 });
  const crossing = late({ revision: 8 });
  await answer({ revision: 9 });
  await crossing.arrive();
  assert.deepEqual(above(), []);
  assert.equal(partition.known?.revision, 9);
});

test('an answer of a term that has ended, or of data that is gone, changes nothing', async () => {
  await answer({ revision: 7 });
  const [ofTerm, ofData] = [late({ revision: 8 }), late({ revision: 9 })];
  await answer({ term: 11, previous: 10, base: 7, revision: 8 });
  await ofTerm.arrive();
  assert.equal(partition.isCurrent(state()), false);
  await answer({ incarnation: 'b', term: 5, revision: 1 });
  await ofData.arrive();
  assert.deepEqual(above(), [7, -1]);
  assert.equal(partition.isCurrent(state({ incarnation: 'b', term: 5 })), true);
});

test('the very first answer comes late, from data that is gone: it changes nothing', async () => {
  const first = late({ revision: 8 });
  await answer({ incarnation: 'b', term: 11, revision: 1 });
  await first.arrive();
  assert.equal(partition.isCurrent(state()), false);
  assert.deepEqual(above(), []);
});

test('of a round that was under way when the term changed, the first answer tells, the others agree', async () => {
  await answer({ revision: 7 });
  const round = [8, 9, 10].map((revision) => late({ term: 11, previous: 10, base: 7, revision }));
  for (const one of round) await one.arrive();
  assert.deepEqual(above(), [7]);
});

test('fails N times, then succeeds: it backs off, longer each time, and is steady again', async () => {
  assert.equal(partition.status, 'steady');
  let nowMs = 0;
  for (let i = 0; i < 5; i++) {
    await fail('not_ready');
    assert.equal(partition.status, 'backing_off');
    const failedAtMs = performance.now();
    assert.equal(partition.mayWrite(failedAtMs), false);
    const waitMs = [25, 50, 100, 200, 400][i] as number;
    assert.equal(partition.mayWrite(failedAtMs + waitMs / 2 - 5), false, 'half of it at least');
    nowMs = failedAtMs + waitMs;
    assert.equal(partition.mayWrite(nowMs), true);
    await new Promise((resolve) => setTimeout(resolve, waitMs + 1));
  }
  await answer();
  assert.equal(partition.status, 'steady');
  assert.equal(partition.mayWrite(performance.now()), true);
});

test('fails for ever: tried again at its longest pause, and told where the store refuses', async () => {
  const originalNow = performance.now;
  let nowMs = originalNow.call(performance);
  performance.now = () => nowMs;
  try {
    for (let i = 0; i < 50; i++) {
      await fail('refused');
      nowMs += 501;
      assert.equal(partition.mayWrite(nowMs), true);
    }
    assert.equal(partition.isRefusing, true);
    await answer();
    assert.equal(partition.isRefusing, false);
  } finally {
    performance.now = originalNow;
  }
});

test('calls of one round that fail together count once', async () => {
  await Promise.all([fail('not_ready'), fail('not_ready'), fail('not_ready')]);
  assert.equal(partition.mayWrite(performance.now() + 26), true);
});

test('unreachable: nothing is written, and what failed before is forgotten when it is back', async () => {
  await fail('region_unavailable');
  partition.reached(false);
  assert.equal(partition.status, 'unreachable');
  assert.equal(partition.mayWrite(performance.now() + 60_000), false);
  await fail('region_unavailable');
  assert.equal(partition.status, 'unreachable');
  partition.reached(true);
  assert.equal(partition.status, 'steady');
  assert.equal(partition.mayWrite(performance.now()), true);
});

test('healing until all that was lost is written, also over an outage', async () => {
  partition.countLost(1);
  partition.countLost(1);
  assert.equal(partition.status, 'healing');
  assert.equal(partition.mayWrite(0), true);
  partition.reached(false);
  partition.reached(true);
  assert.equal(partition.status, 'healing');
  await fail('not_ready');
  assert.equal(partition.status, 'backing_off');
  partition.countLost(-1);
  await answer();
  assert.equal(partition.status, 'healing');
  partition.countLost(-1);
  assert.equal(partition.status, 'steady');
});

test('one round at a time', async () => {
  let settle: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const underWay = partition.write(async () => {
    await gate;
    return { state: state() };
  });
  assert.equal(partition.mayWrite(performance.now()), false);
  settle();
  await underWay;
  assert.equal(partition.mayWrite(performance.now()), true);
});
