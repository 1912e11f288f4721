import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Goal, judge } from './bench.js';
import type { BenchResult } from './results.js';
import { resultsPage } from './results-page.js';

const figure = (name: string, value: number, goal: Goal | null) =>
  judge({ name, unit: 'drivers', measured: [value], baseline: null, goal });

function pageOf(...figures: ReturnType<typeof figure>[]): string {
  const facts = { machine: 'm', commit: 'c', versions: {}, settings: {} } as unknown as BenchResult['facts'];
  const result: BenchResult = {
    format: 1,
    bench: 'b',
    about: 'about',
    workload: 'w',
    startedAt: '2030-01-31T00:00:00.000Z',
    durationS: 1,
    facts,
    figures,
  };
  return resultsPage([result]);
}

test('goals of nothing at all are drawn, met or not', () => {
  const page = pageOf(
    figure('lost', 0, { atMost: 0 }),
    figure('closed', 3, { atMost: 0 }),
    figure('held', 0, { atLeast: 5 }),
    figure('told', 7, null),
  );
  assert.doesNotMatch(page, /NaN|Infinity/);
  assert.match(page, /none is allowed/);
});

test('a name cannot break out of the page', () => {
  assert.doesNotMatch(pageOf(figure('<script>', 1, { atMost: 2 })), /<script>/);
});
