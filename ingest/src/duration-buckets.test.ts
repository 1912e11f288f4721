import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { DurationBuckets } from './duration-buckets.js';

test('cumulative buckets, bounds included, with the labels of all', async () => {
  const metrics = createMetrics('test', { commit: 'test' });
  const buckets = new DurationBuckets([0.01, 0.1]);
  buckets.register(metrics, { name: 'work_seconds', help: 'Work', labels: { process: '2' } });
  for (const ms of [5, 10, 50, 1_000]) buckets.observe(ms);
  const text = await metrics.registry.metrics();
  const lines = text.split('\n').filter((line) => line.includes('whereabouts_test_work_seconds'));
  assert.deepEqual(lines, [
    '# HELP whereabouts_test_work_seconds Work',
    '# TYPE whereabouts_test_work_seconds histogram',
    'whereabouts_test_work_seconds_bucket{le="0.01",process="2"} 2',
    'whereabouts_test_work_seconds_bucket{le="0.1",process="2"} 3',
    'whereabouts_test_work_seconds_bucket{le="+Inf",process="2"} 4',
    'whereabouts_test_work_seconds_sum{process="2"} 1.065',
    'whereabouts_test_work_seconds_count{process="2"} 4',
  ]);
});
