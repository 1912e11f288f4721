import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics, MetricError } from './metrics.js';

const metricsOf = () => createMetrics('query-api', { commit: 'abc1234' });

test('process metrics and one build-info metric are always there', async () => {
  const text = await metricsOf().registry.metrics();
  assert.match(text, /^process_cpu_seconds_total /m);
  assert.match(text, /^nodejs_eventloop_lag_seconds /m);
  assert.match(
    text,
    /^whereabouts_query_api_build_info\{version="\d+\.\d+\.\d+",commit="abc1234",node="v[\d.]+"\} 1$/m,
  );
});

test('only counters end in _total, the default ones too', async () => {
  const text = await metricsOf().registry.metrics();
  for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    assert.equal(name?.endsWith('_total'), type === 'counter', name);
  }
});

test('metrics get the prefix, in the registry of their service alone', async () => {
  const metrics = metricsOf();
  const answers = metrics.counter('answers_total', { help: 'Answers', labelNames: ['complete'] });
  answers.inc({ complete: 'true' }, 2);
  metrics.gauge('open_requests', {
    help: 'Requests',
    collect() {
      this.set(3);
    },
  });
  metrics.histogram('request_duration_seconds', { help: 'Time', buckets: [0.01, 0.1] }).observe(0.05);
  const text = await metrics.registry.metrics();
  assert.match(text, /^whereabouts_query_api_answers_total\{complete="true"\} 2$/m);
  assert.match(text, /^whereabouts_query_api_open_requests 3$/m);
  assert.match(text, /^whereabouts_query_api_request_duration_seconds_bucket\{le="0.1"\} 1$/m);
  assert.doesNotMatch(await metricsOf().registry.metrics(), /answers_total/);
});

test('names and labels against the rules are refused', () => {
  const metrics = metricsOf();
  const help = 'x';
  assert.throws(() => metrics.counter('answers', { help }), MetricError);
  assert.throws(() => metrics.gauge('drivers_total', { help }), MetricError);
  assert.throws(() => metrics.histogram('latency_ms', { help }), MetricError);
  assert.throws(() => metrics.gauge('openRequests', { help }), MetricError);
  assert.throws(() => metrics.counter('reports_total', { help, labelNames: ['driver_id'] }), MetricError);
  assert.throws(() => metrics.gauge('drivers', { help, labelNames: ['geohash'] }), MetricError);
});
