// The files for Prometheus and Grafana: the rules pass their own tests, each alert has its chapter, and the settings of
// one stack come from the same file as those of a deployment.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../home.js';
import { DEPLOY, dashboardQueries, metricsNamedIn, metricsToldIn } from '../testing/named-metrics.js';
import { prometheusSettings } from './prometheus.js';

const PROMETHEUS = join(DEPLOY, 'prometheus');
const rules = readFileSync(join(PROMETHEUS, 'alerts.yml'), 'utf8');
const template = readFileSync(join(PROMETHEUS, 'prometheus.yml'), 'utf8');
const alerts = [...rules.matchAll(/- alert: (\w+)\n([\s\S]*?)(?=\n {6}- alert:|\n {2}- name:|$)/g)].map(
  ([, name = '', body = '']) => ({ name, body }),
);

const hasPromtool = spawnSync('promtool', ['--version']).status === 0;

function promtool(...args: string[]): void {
  const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: PROMETHEUS, encoding: 'utf8' });
  assert.equal(status, 0, `promtool ${args.join(' ')}\n${stdout}${stderr}`);
}

test('promtool: settings and rules are good, and each alert fires in its story and in no other', {
  skip: !hasPromtool && 'there is no promtool (Debian: apt-get install prometheus)',
}, () => {
  promtool('check', 'config', 'prometheus.yml');
  promtool('check', 'rules', 'alerts.yml');
  promtool('test', 'rules', 'alerts.test.yml');
});

test('every alert has a story, a severity, words, and its chapter in the runbook; no chapter is without an alert', () => {
  assert.ok(alerts.length >= 15, `${alerts.length} alerts were read`);
  const stories = readFileSync(join(PROMETHEUS, 'alerts.test.yml'), 'utf8');
  const runbook = readFileSync(join(root, 'RUNBOOK.md'), 'utf8');
  const chapters = [...runbook.matchAll(/^## (Whereabouts\w+)$/gm)].map(([, name]) => name);
  assert.deepEqual([...chapters].sort(), alerts.map(({ name }) => name).sort());
  for (const { name, body } of alerts) {
    assert.match(stories, new RegExp(`\\b${name}\\b`), `${name} has a story`);
    assert.match(body, /severity: (critical|warning)\b/, name);
    for (const word of ['summary', 'description']) assert.match(body, new RegExp(`${word}: \\S`), name);
    assert.match(body, new RegExp(`runbook_url: RUNBOOK\\.md#${name.toLowerCase()}\\n?`), name);
    const chapter = runbook.split(`\n## ${name}\n`)[1]?.split('\n## ')[0] ?? '';
    for (const part of ['**Means.**', '**Do.**', '**Rehearse.**']) {
      assert.ok(chapter.includes(part), `the chapter of ${name} has ${part}`);
    }
  }
});

test('the settings of a stack have its own addresses, and no target for what does not run', () => {
  const at = (port: number) => `http://127.0.0.1:${port}`;
  const settings = prometheusSettings(template, {
    ingest: at(19080),
    query: at(19081),
    flusher: at(19082),
    promoter: null,
  });
  for (const port of [19080, 19081, 19082]) assert.ok(settings.includes(`["127.0.0.1:${port}"]`));
  assert.match(settings, /job_name: whereabouts-promoter\n {4}static_configs:\n {6}- targets: \[\]/);
  assert.throws(() =>
    prometheusSettings('', { ingest: at(1), query: at(2), flusher: at(3), promoter: null }),
  );
});

test('every panel of a dashboard says what it shows', () => {
  assert.ok(dashboardQueries().length > 80);
  for (const name of ['drivers-and-dispatch', 'pipeline', 'loss-and-failures']) {
    const { panels } = JSON.parse(
      readFileSync(join(DEPLOY, 'grafana', 'dashboards', `${name}.json`), 'utf8'),
    ) as { panels: { type: string; title: string; description?: string }[] };
    for (const { type, title, description } of panels) {
      assert.ok(type === 'row' || description?.endsWith('.'), `${name}: ${title}`);
    }
  }
});

test('names are found in queries and in prose, and series of histograms in /metrics', () => {
  const text =
    'max({__name__=~"whereabouts_(ingest|query_api)_x_seconds"}) / process_max_fds, `whereabouts_flusher_y`';
  assert.deepEqual([...metricsNamedIn(text)].sort(), [
    'process_max_fds',
    'whereabouts_flusher_y',
    'whereabouts_ingest_x_seconds',
    'whereabouts_query_api_x_seconds',
  ]);
  assert.deepEqual(
    [...metricsToldIn('# TYPE a histogram\na_sum 1\n# TYPE b gauge\n')],
    ['a', 'a_bucket', 'a_sum', 'a_count', 'b'],
  );
});
