import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import { Asking } from './asking.js';
import { Lanes } from './lanes.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('lanes: no more at once than the lane is wide, each in turn, and other lanes are not held up', async () => {
  const lanes = new Lanes(2);
  const entered: string[] = [];
  const leave = new Map<string, () => void>();
  const enter = async (lane: string, who: string) => {
    leave.set(who, await lanes.enter(lane, 'dispatch'));
    entered.push(who);
  };
  for (const who of ['a', 'b', 'c', 'd']) void enter('one', who);
  void enter('two', 'e');
  await turn();
  assert.deepEqual(entered, ['a', 'b', 'e']);
  leave.get('b')?.();
  await turn();
  assert.deepEqual(entered, ['a', 'b', 'e', 'c']);
  for (const who of ['a', 'c', 'e']) leave.get(who)?.();
  await turn();
  assert.deepEqual(entered, ['a', 'b', 'e', 'c', 'd']);
  leave.get('d')?.();
  for (const who of ['f', 'g']) await enter('one', who);
  assert.deepEqual(entered.slice(-2), ['f', 'g']);
});

test('lanes: callers take turns, however much one of them asks', async () => {
  const lanes = new Lanes(1);
  const served: string[] = [];
  const ask = async (caller: string) => {
    const leave = await lanes.enter('node', caller);
    await turn();
    served.push(caller);
    leave();
  };
  const hog = Array.from({ length: 50 }, () => ask('hog'));
  await Promise.all([...hog, ask('a'), ask('b'), ask('a')]);
  assert.deepEqual(served.slice(0, 6), ['hog', 'hog', 'a', 'b', 'hog', 'a']);
  assert.equal(served.length, 53);
});

test('asking: past the deadline nothing is waited for, and nothing more is asked', async () => {
  const lanes = new Lanes(1);
  const asking = new Asking(lanes, 'dispatch', 5);
  const never = () => new Promise<object>(() => {});
  let asked = 0;
  const answers = await Promise.all([
    asking.ask('node', never),
    asking.ask('node', async () => ({ asked: asked++ })),
  ]);
  assert.deepEqual(answers, ['timeout', 'timeout']);
  assert.equal(await asking.ask('other', async () => ({ asked: asked++ })), 'timeout');
  assert.deepEqual([asked, asking.asks], [0, 1]);
});

test('asking: an outage is a reason, a broken invariant is not', async () => {
  const asking = new Asking(new Lanes(), 'dispatch', 60_000);
  const fails = (error: Error) => asking.ask('node', () => Promise.reject(error));
  const reasons = {
    region_unavailable: 'unreachable',
    overloaded: 'not_ready',
    not_ready: 'not_ready',
    map_mismatch: 'map_mismatch',
    bad_batch: 'not_ready',
  } as const;
  for (const [code, reason] of Object.entries(reasons)) {
    assert.equal(await fails(new StoreError(code as keyof typeof reasons, 'x')), reason);
  }
  await assert.rejects(fails(new RangeError('x')), RangeError);
  asking.end();
});
