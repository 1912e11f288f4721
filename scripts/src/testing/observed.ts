// Checks a running stack with --observe: every metric that is named anywhere exists, and Prometheus, if there is one,
// reaches all services, has all rules, and can answer every query of the dashboards.
import assert from 'node:assert/strict';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { IssuerKeys } from '@whereabouts/infra/service/issuer-keys';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import type { Stack } from '../stack-file.js';
import { dashboardQueries, filesWithMetrics, metricsNamedIn, metricsToldIn } from './named-metrics.js';

const DEADLINE_MS = 60_000;

export async function assertAllNamedMetricsAreTold(stack: Stack): Promise<void> {
  const told = new Set<string>();
  const { ingest, query, flusher, promoter } = stack;
  assert.ok(promoter, 'the promoter runs');
  for (const { ops } of [ingest, query, flusher, promoter]) {
    const text = await (await fetch(`${ops}/metrics`)).text();
    for (const name of metricsToldIn(text)) told.add(name);
  }
  // Exported with JWT_JWKS_URL only.
  for (const service of ['ingest', 'query-api']) {
    for (const name of metricsToldIn(await withIssuer(service))) told.add(name);
  }
  for (const { file, text } of filesWithMetrics()) {
    const unknown = [...metricsNamedIn(text)].filter((name) => !told.has(name));
    assert.deepEqual(unknown, [], `${file} names metrics that no service exports`);
  }
}

async function withIssuer(service: string): Promise<string> {
  const metrics = createMetrics(service, { commit: 'test' });
  const keys = new IssuerKeys(new URL('http://127.0.0.1:9/'), 1_000);
  keys.register(metrics);
  keys.close();
  return metrics.registry.metrics();
}

/** The data of an answer from Prometheus. */
async function asked<Data>(url: string, path: string, query: Record<string, string> = {}): Promise<Data> {
  const answer = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(query)}`);
  const { status, data, error } = (await answer.json()) as { status: string; data: Data; error?: string };
  assert.equal(status, 'success', `${path} ${JSON.stringify(query)}: ${error}`);
  return data;
}

export async function assertPrometheusSees(url: string): Promise<void> {
  await waitFor('Prometheus reaches all services', DEADLINE_MS, async () => {
    const { activeTargets } = await asked<{ activeTargets: { health: string }[] }>(url, 'targets');
    return (activeTargets.length === 4 && activeTargets.every(({ health }) => health === 'up')) || undefined;
  });
  const { groups } = await asked<{ groups: { rules: { health: string; lastError?: string }[] }[] }>(
    url,
    'rules',
  );
  const rules = groups.flatMap((group) => group.rules);
  assert.ok(rules.length >= 15);
  assert.deepEqual(
    rules.filter(({ health }) => health === 'err'),
    [],
  );
  for (const { dashboard, panel, expr } of dashboardQueries()) {
    await asked(url, 'query', { query: expr }).catch((cause) => {
      throw new Error(`${dashboard}, ${panel}: ${expr}`, { cause });
    });
  }
}
