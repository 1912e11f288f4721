import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../service/metrics.js';
import { DarkRegions } from './dark-regions.js';

/** Twelve partitions on three nodes, and a clock. */
function newRegions(
  nodeOf = (partition: number): string | null => `10.0.0.${Math.floor(partition / 4)}:7000`,
) {
  const clock = { nowMs: 1_000 };
  const regions = new DarkRegions({ partitions: 12, nodeOf, nowMs: () => clock.nowMs });
  const look = (...dark: number[]) => regions.update((partition) => dark.includes(partition));
  return { clock, regions, look };
}

test('all is well', () => {
  const { regions, look } = newRegions();
  look();
  assert.deepEqual([regions.count, regions.byNode(), regions.detail], [0, [], '0 of 12 partitions are dark']);
});

test('told by node, the darkest first, since when the first of its partitions is dark', () => {
  const { clock, regions, look } = newRegions();
  look(4);
  clock.nowMs += 11_000;
  look(4, 5, 6, 7, 0);
  clock.nowMs += 3_000;
  assert.equal(
    regions.detail,
    '5 of 12 partitions are dark: 10.0.0.1:7000 (4), since 14 s; 10.0.0.0:7000 (1), since 3 s',
  );
  assert.deepEqual(regions.byNode([0]), [{ node: '10.0.0.0:7000', partitions: 1, forMs: 3_000 }]);
});

test('one that was back for a moment is dark since then', () => {
  const { clock, regions, look } = newRegions();
  look(4);
  clock.nowMs += 20_000;
  look();
  look(4);
  clock.nowMs += 1_000;
  assert.equal(regions.detail, '1 of 12 partitions are dark: 10.0.0.1:7000 (1), since 1 s');
});

test('slots that nobody owns, and more nodes than a line holds', () => {
  const { regions, look } = newRegions((partition) => (partition === 11 ? null : `n${partition}`));
  look(11);
  assert.match(regions.detail, /: no node \(1\), since 0 s$/);
  look(...Array.from({ length: 12 }, (_, i) => i));
  assert.match(regions.detail, /; 2 more nodes$/);
});

test('one series for each partition that is dark now, with its node and since when', async () => {
  const { clock, regions, look } = newRegions();
  const metrics = createMetrics('test', { commit: 'test' });
  regions.register(metrics);
  const series = async () => {
    const text = await metrics.registry.metrics();
    return text.split('\n').filter((line) => line.startsWith('whereabouts_test_dark_partition_seconds'));
  };
  look(5);
  clock.nowMs += 2_500;
  assert.deepEqual(await series(), [
    'whereabouts_test_dark_partition_seconds{partition="5",redis_node="10.0.0.1:7000"} 2.5',
  ]);
  look();
  assert.deepEqual(await series(), []);
});

test('one series for each node that is dark now', async () => {
  const { regions, look } = newRegions();
  const metrics = createMetrics('test', { commit: 'test' });
  regions.register(metrics);
  const series = async () => {
    const text = await metrics.registry.metrics();
    return text.split('\n').filter((line) => line.startsWith('whereabouts_test_dark_partitions_by_node'));
  };
  assert.deepEqual(await series(), []);
  look(4, 5, 0);
  assert.deepEqual(await series(), [
    'whereabouts_test_dark_partitions_by_node{redis_node="10.0.0.1:7000"} 2',
    'whereabouts_test_dark_partitions_by_node{redis_node="10.0.0.0:7000"} 1',
  ]);
  look(0);
  assert.equal((await series()).length, 1);
});
