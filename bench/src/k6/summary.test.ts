import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge } from '../bench.js';
import { aggregateOf, crossedThresholds, figuresOf, type K6Summary } from './summary.js';

const round = (p99Ms: number, failedRate: number): K6Summary => ({
  metrics: {
    nacks: { count: 3, rate: 0.5 },
    http_req_failed: { passes: 0, fails: 9, value: failedRate, thresholds: { 'rate==0': failedRate > 0 } },
    'ack_latency{phase:steady}': {
      med: 8,
      'p(95)': 15,
      'p(99)': p99Ms,
      thresholds: { 'p(95)<150': false, 'p(99)<250': p99Ms >= 250 },
    },
  },
});

test("a rate's aggregate is its value, a counter's its rate a second; what is not there is no number", () => {
  assert.equal(aggregateOf(round(20, 0.25), 'http_req_failed', 'rate'), 0.25);
  assert.equal(aggregateOf(round(20, 0), 'nacks', 'rate'), 0.5);
  assert.equal(aggregateOf(round(20, 0), 'ack_latency{phase:steady}', 'med'), 8);
  assert.ok(Number.isNaN(aggregateOf(round(20, 0), 'persisted_latency', 'med')));
});

test('met thresholds are met goals, one value for each round', () => {
  const figures = figuresOf('drivers.js', [round(20, 0), round(40, 0)]).map(judge);
  assert.deepEqual(
    figures.map(({ name, measured, goal, met }) => ({ name, measured, goal, met })),
    [
      {
        name: 'drivers.js: ack_latency{phase:steady} p99',
        measured: [20, 40],
        goal: { atMost: 250 },
        met: true,
      },
      { name: 'drivers.js: http_req_failed', measured: [0, 0], goal: { atMost: 0 }, met: true },
      { name: 'drivers.js: thresholds crossed', measured: [0, 0], goal: { atMost: 0 }, met: true },
    ],
  );
});

test('crossed thresholds are goals not met, and are named', () => {
  const crossed = round(300, 0.1);
  assert.deepEqual(crossedThresholds(crossed), [
    'ack_latency{phase:steady}: p(99)<250',
    'http_req_failed: rate==0',
  ]);
  const figures = figuresOf('drivers.js', [crossed]).map(judge);
  assert.deepEqual(
    figures.map(({ met, value }) => [met, value]),
    [
      [false, 300],
      [false, 0.1],
      [false, 2],
    ],
  );
});
