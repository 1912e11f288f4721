import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PartitionStatus } from './partition-status.js';
import { byUrgency, paced, type Trigger, triggerOf } from './triggers.js';

const NOW = 1_700_000_000_000;
const SETTINGS = { flushIntervalMs: 5_000, flushMaxAccepted: 100, lossBudgetMs: 10_000 };

function status(o: { dirtyForMs?: number; flushedMsAgo?: number; accepted?: number; partition?: number }) {
  const { dirtyForMs, flushedMsAgo = 0, accepted = 0, partition = 0 } = o;
  const term = { incarnation: 'i', owner: 'o', term: 1, beganAtMs: 0, base: 0, previous: 0 };
  return {
    partition,
    ...term,
    revision: 0,
    appended: 0,
    flushed: { term: 0, revision: 0 },
    nowMs: NOW,
    seenAtMs: NOW,
    drivers: 1,
    entries: 0,
    logBytes: 0,
    acceptedAtFlush: 0,
    refused: 0,
    dirtySinceMs: dirtyForMs === undefined ? null : NOW - dirtyForMs,
    flushedAtMs: NOW - flushedMsAgo,
    accepted,
    acceptedSinceFlush: accepted,
    checkpointsWaiting: 0,
  } satisfies PartitionStatus;
}

test('the interval counts from the last flush, also where nothing is dirty', () => {
  assert.equal(triggerOf(status({ flushedMsAgo: 4_999, dirtyForMs: 4_000 }), SETTINGS), null);
  assert.equal(triggerOf(status({ flushedMsAgo: 5_000 }), SETTINGS), 'interval');
  assert.equal(
    triggerOf(status({ flushedMsAgo: NOW, dirtyForMs: 1 }), SETTINGS),
    'interval',
    'never flushed',
  );
});

test('many accepted positions do not wait for the interval', () => {
  assert.equal(triggerOf(status({ accepted: 99, dirtyForMs: 1 }), SETTINGS), null);
  assert.equal(triggerOf(status({ accepted: 100, dirtyForMs: 1 }), SETTINGS), 'accepted');
});

test('near the loss budget nothing else matters', () => {
  assert.equal(triggerOf(status({ dirtyForMs: 6_999 }), SETTINGS), null);
  assert.equal(
    triggerOf(status({ dirtyForMs: 7_000, accepted: 1000, flushedMsAgo: NOW }), SETTINGS),
    'loss_budget',
  );
});

test('what the clock makes due fills one pass; what else is due comes along', () => {
  const due = (partition: number, trigger: Trigger, accepted: number, drivers = 1_000) => ({
    status: { ...status({ partition, accepted }), drivers },
    trigger,
  });
  const all = [
    due(1, 'interval', 600),
    due(2, 'loss_budget', 5_000),
    due(3, 'interval', 0),
    // No more rows than drivers, however often these have reported.
    due(4, 'interval', 9_000),
    due(5, 'interval', 1),
    due(6, 'accepted', 9_000),
  ];
  const taken = (maxRows: number) => paced(all, maxRows).map(({ status: { partition } }) => partition);
  assert.deepEqual(taken(600), [1, 2, 6]);
  assert.deepEqual(taken(601), [1, 2, 3, 4, 6]);
  assert.deepEqual(taken(1_601), [1, 2, 3, 4, 5, 6]);
});

test('the oldest window first, then who was flushed longest ago', () => {
  const order = [
    status({ partition: 1, dirtyForMs: 100 }),
    status({ partition: 2, flushedMsAgo: 9_000 }),
    status({ partition: 3, dirtyForMs: 8_000 }),
    status({ partition: 4, flushedMsAgo: 6_000 }),
  ].sort(byUrgency);
  assert.deepEqual(
    order.map(({ partition }) => partition),
    [3, 1, 2, 4],
  );
});
