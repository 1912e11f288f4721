import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { SettingsError, SettingsReader } from '@whereabouts/infra/service/settings';
import { readIngestSettings } from './settings.js';

let dir: string;
let good: NodeJS.ProcessEnv;

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'whereabouts-ingest-settings-'));
  const map = join(dir, 'map.json');
  writeFileSync(map, '{}');
  good = { REDIS_URL: 'redis://127.0.0.1:7100', JWT_SECRET: 'x'.repeat(32), PARTITION_MAP_FILE: map };
});
after(() => rmSync(dir, { recursive: true }));

function problemsOf(env: NodeJS.ProcessEnv): readonly string[] {
  try {
    readIngestSettings(new SettingsReader({ ...good, ...env }));
  } catch (error) {
    assert.ok(error instanceof SettingsError);
    return error.problems;
  }
  return [];
}

test('the defaults', () => {
  const s = readIngestSettings(new SettingsReader(good));
  assert.equal(s.port, 8080);
  assert.equal(s.opsPort, 9080);
  assert.equal(s.tokens.audience, 'whereabouts-ingest');
  assert.equal(s.durability, 'cache');
  assert.equal(s.maxReportsPerS, 5);
  assert.equal(s.maxReportsBurst, 10);
  assert.equal(s.freshnessMs, 10_000);
  assert.ok(Object.isFrozen(s));
});

test('each number wrong on its own is one problem that names it', () => {
  const names =
    'PORT OPS_PORT FRESHNESS_MS LOSS_BUDGET_MS INGEST_PROCESSES MAX_CONNECTIONS MAX_REPORTS_PER_S ' +
    'REPORT_INTERVAL_MS OFFLINE_AFTER_MS TICK_MIN_MS TICK_MAX_MS HOLD_NACK_AFTER_MS DURABILITY';
  for (const name of names.split(' ')) {
    for (const value of ['-1', 'many', '1.5']) {
      const problems = problemsOf({ [name]: value });
      assert.equal(problems.length, 1, `${name}=${value}`);
      assert.match(problems[0] ?? '', new RegExp(`^${name} `));
    }
  }
});

test('each relation', () => {
  const cases: [NodeJS.ProcessEnv, RegExp][] = [
    [{ TICK_MIN_MS: '50', TICK_MAX_MS: '20' }, /TICK_MIN_MS/],
    [{ REPORT_INTERVAL_MS: '9900', FRESHNESS_MS: '10000' }, /REPORT_INTERVAL_MS .* FRESHNESS_MS/],
    [{ REPORT_INTERVAL_MS: '150' }, /REPORT_INTERVAL_MS .* MAX_REPORTS_PER_S/],
    [{ HOLD_NACK_AFTER_MS: '10000' }, /HOLD_NACK_AFTER_MS .* FRESHNESS_MS/],
    [{ HOLD_NACK_AFTER_MS: '100' }, /HOLD_NACK_AFTER_MS .* TICK_MAX_MS/],
    [{ PORT: '8000', OPS_PORT: '8000' }, /PORT and OPS_PORT/],
  ];
  for (const [env, expected] of cases) {
    const problems = problemsOf(env);
    assert.equal(problems.length, 1, JSON.stringify(env));
    assert.match(problems[0] ?? '', expected);
  }
});

test('all that is wrong is told at once', () => {
  assert.ok(problemsOf({ PORT: 'x', DURABILITY: 'x', REDIS_URL: '', JWT_SECRET: '' }).length >= 4);
});
