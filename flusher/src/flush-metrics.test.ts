import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { flushMetrics } from './flush-metrics.js';

test('a flusher that has not reached Redis yet tells no budget, no loss window and nothing of Postgres', async () => {
  const service = createMetrics('flusher', { commit: 'test' });
  const metrics = flushMetrics(service);
  const told = /^whereabouts_flusher_(loss_budget_seconds|loss_window_seconds|archive_up) \d+$/gm;
  assert.equal((await service.registry.metrics()).match(told), null);
  metrics.lossBudget.set(10);
  metrics.lossWindow.set(0);
  metrics.archiveUp.set(1);
  assert.equal((await service.registry.metrics()).match(told)?.length, 3);
});
