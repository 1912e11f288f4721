import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readCosts } from './measured-costs.js';

const dir = mkdtempSync(join(tmpdir(), 'whereabouts-costs-'));
after(() => rmSync(dir, { recursive: true }));

const result = (bench: string, costs: object | undefined) => ({
  format: 1,
  bench,
  startedAt: '2026-01-01T00:00:00Z',
  facts: { machine: 'two cores', commit: 'abc' },
  costs,
});
const write = (file: string, content: unknown) => writeFileSync(join(dir, file), JSON.stringify(content));

test('the costs of every bench, each with where it is from; no number is not measured', () => {
  write('cost.json', result('cost', { ingest_us_bin_each: 12.5, masters_us_bin_each: null }));
  write('memory.json', result('memory', { redis_bytes_per_driver: 230 }));
  write('persisted.json', result('persisted', undefined));
  writeFileSync(join(dir, 'index.html'), '<p>');
  const costs = readCosts(dir);
  assert.deepEqual([...costs.keys()], ['ingest_us_bin_each', 'redis_bytes_per_driver']);
  assert.deepEqual(costs.get('redis_bytes_per_driver'), {
    value: 230,
    bench: 'memory',
    commit: 'abc',
    machine: 'two cores',
    measuredAt: '2026-01-01T00:00:00Z',
  });
});

test('where no bench has run there are none', () => {
  assert.equal(readCosts(join(dir, 'nowhere')).size, 0);
});

test('a file of another version, or none of ours, is refused by name', () => {
  write('old.json', { ...result('old', {}), format: 2 });
  assert.throws(() => readCosts(dir), /old\.json was written by another version/);
  writeFileSync(join(dir, 'old.json'), '{');
  assert.throws(() => readCosts(dir), /old\.json cannot be read/);
});
