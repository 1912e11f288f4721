// What is missing from an answer, and how old the answer is, given what a follower knows of its partitions.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FollowedPartition } from '@whereabouts/infra/follower/followed-partition';
import { StoreError, type StoreErrorCode } from '@whereabouts/infra/live-store/store-error';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import { PartitionViews } from './coverage.js';

const NODE_NOW_MS = 1_700_000_000_000;
const LAG_MS = 2_000;
/** Views are re-examined after 10 ms; each test looks once. */
type Facts = Partial<Record<'behindMs' | 'unfedMs' | 'termAgeMs', number>> & {
  isRead?: boolean;
  error?: StoreErrorCode;
};

function viewsOf(...facts: Facts[]) {
  const nowMs = performance.now();
  const partitions = facts.map((fact, partition) => {
    const { behindMs = 50, unfedMs = 100, termAgeMs = 60_000, isRead = true, error } = fact;
    return {
      partition,
      viewAtMs: isRead ? nowMs - behindMs : null,
      seenChangedAtMs: nowMs - unfedMs,
      firstTermBeganAtMs: isRead ? NODE_NOW_MS - termAgeMs : null,
      error: error === undefined ? null : new StoreError(error, 'for a test'),
    } as FollowedPartition;
  });
  const reasons: string[] = [];
  const views = new PartitionViews({
    ...{ partitions, map: evenPartitionMap(Math.max(1, facts.length)), lagMs: LAG_MS },
    nowMs: () => NODE_NOW_MS,
    incomplete: (reason) => reasons.push(reason),
  });
  return { views, reasons };
}

const reasonOf = (fact: Facts) => viewsOf(fact).views.reasonOf(0);

test('coverage: a failover that takes less than the lag leaves a partition seen', () => {
  assert.equal(reasonOf({}), null);
  assert.equal(reasonOf({ behindMs: 1_900, unfedMs: 1_950, error: 'region_unavailable' }), null);
  assert.equal(reasonOf({ behindMs: 1_000, termAgeMs: 60_000 }), null);
});

test('coverage: why a partition is missing', () => {
  assert.equal(reasonOf({ behindMs: 2_100, error: 'region_unavailable' }), 'unreachable');
  assert.equal(reasonOf({ behindMs: 2_100, error: 'not_ready' }), 'not_ready');
  assert.equal(reasonOf({ behindMs: 2_100, error: 'map_mismatch' }), 'map_mismatch');
  assert.equal(reasonOf({ behindMs: 2_100 }), 'timeout');
  assert.equal(reasonOf({ isRead: false }), 'not_ready');
  assert.equal(reasonOf({ isRead: false, error: 'region_unavailable' }), 'unreachable');
  assert.equal(reasonOf({ unfedMs: 2_100 }), 'silent');
  assert.equal(reasonOf({ behindMs: 1_900, unfedMs: 2_100, error: 'region_unavailable' }), 'unreachable');
  assert.equal(reasonOf({ termAgeMs: 1_900 }), 'warming');
});

test('coverage: an answer is as old as the oldest view that it rests on, and each reason counts once', () => {
  const { views, reasons } = viewsOf(
    {},
    { behindMs: 1_500 },
    { unfedMs: 3_000 },
    { unfedMs: 3_000 },
    {
      isRead: false,
    },
  );
  const within = (ageMs: number | null, fromMs: number) =>
    assert.ok(ageMs !== null && ageMs >= fromMs && ageMs < fromMs + 500, `${ageMs} ms`);
  const young = views.coverageOf([0]);
  assert.deepEqual([young.complete, young.missing], [true, []]);
  within(young.view_age_ms, 50);
  within(views.coverageOf([0, 1]).view_age_ms, 1_500);
  assert.equal(views.coverageOf([4]).view_age_ms, null);
  const all = views.coverageOf();
  assert.equal(all.complete, false);
  assert.deepEqual(
    all.missing.map(({ reason }) => reason),
    ['silent', 'not_ready'],
  );
  within(all.view_age_ms, 1_500);
  assert.deepEqual(reasons, ['not_ready', 'silent', 'not_ready']);
  assert.deepEqual(
    [0, 1, 2, 4].map((partition) => views.isSeen(partition)),
    [true, true, true, false],
  );
});

test('coverage: views are even while all are seen and young', () => {
  assert.equal(viewsOf({}, {}).views.areEven, true);
  assert.equal(viewsOf({}, { behindMs: 800 }).views.areEven, false);
  assert.equal(viewsOf({}, { unfedMs: 3_000 }).views.areEven, false);
});
