import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validatePosition } from '@whereabouts/infra/position';
import { type Forget, Forgets } from './forgets.js';
import { tickMs } from './ticker.js';

const FRESHNESS_MS = 10_000;
const position = (seq: number) => validatePosition({ seq, recordedAtMs: 1000 + seq, lat: 1, lon: 1 }, 'd', 1);

test('a ghost is forgotten later than a query may take, latest only', () => {
  const forgets = new Forgets(FRESHNESS_MS);
  forgets.add(3, position(1), 4, 0);
  forgets.add(3, position(5), 4, 100);
  assert.deepEqual(forgets.due(3, 1000, 10), []);
  const due = forgets.due(3, 1100, 10);
  assert.deepEqual(
    due.map((one) => one.recordedAtMs),
    [1005],
  );
  assert.equal(forgets.waiting, 1);
  forgets.done(due);
  assert.equal(forgets.waiting, 0);
  assert.deepEqual(forgets.due(3, 1100, 10), []);
});

test('a ghost is marked at once, and again under a new reign', () => {
  const forgets = new Forgets(FRESHNESS_MS);
  forgets.add(3, position(1), 4, 0);
  const [[to, unmarked]] = [...forgets.unmarked(3)] as [[number, Forget[]]];
  assert.equal(to, 4);
  assert.equal(unmarked.length, 1);
  forgets.marked(unmarked);
  assert.equal(forgets.unmarked(3).size, 0);
  forgets.redo(3);
  assert.equal(forgets.unmarked(3).size, 1);
});

test('done ones are done again under a new reign, and dropped when the ghost is stale by itself', () => {
  const forgets = new Forgets(FRESHNESS_MS);
  forgets.add(3, position(1), 4, 0);
  forgets.done(forgets.due(3, 2000, 10));
  forgets.redo(3);
  assert.equal(forgets.due(3, 2000, 10).length, 1);
  forgets.dropOld(10_999);
  assert.equal(forgets.waiting, 1);
  forgets.dropOld(11_000);
  assert.deepEqual([...forgets.partitions()], []);
});

test('the tick grows with the load, between its bounds', () => {
  const settings = { tickMinMs: 10, tickMaxMs: 100 };
  assert.equal(tickMs(settings, 0), 10);
  assert.equal(tickMs(settings, 1250), 55);
  assert.equal(tickMs(settings, 1e6), 100);
});
