import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVEN_PACE, type Load, maxPaceFactor, nextPace, type Pace } from './pace.js';

const CALM: Load = { lagMs: 2, pendingReports: 100, connections: 10_000 };
const MIDDLING: Load = { lagMs: 100, pendingReports: 100, connections: 10_000 };
const LATE: Load = { lagMs: 500, pendingReports: 100, connections: 10_000 };
const FLOODED: Load = { lagMs: 2, pendingReports: 9000, connections: 10_000 };

function look(pace: Pace, load: Load, times: number): Pace {
  for (let i = 0; i < times; i++) pace = nextPace(pace, load, 8);
  return pace;
}

test('one late look changes nothing, two double, and no further than eight', () => {
  assert.equal(look(EVEN_PACE, LATE, 1).factor, 1);
  assert.equal(look(EVEN_PACE, LATE, 2).factor, 2);
  assert.equal(look(EVEN_PACE, LATE, 3).factor, 2);
  assert.equal(look(EVEN_PACE, LATE, 4).factor, 4);
  assert.equal(look(EVEN_PACE, LATE, 60).factor, 8);
});

test('pending reports count as load as well', () => {
  assert.equal(look(EVEN_PACE, FLOODED, 2).factor, 2);
});

test('a dark third of the map is no load', () => {
  assert.equal(look(EVEN_PACE, { lagMs: 2, pendingReports: 3400, connections: 10_000 }, 60).factor, 1);
});

test('few drivers, all of them pending, are no load', () => {
  assert.equal(look(EVEN_PACE, { lagMs: 2, pendingReports: 300, connections: 300 }, 60).factor, 1);
});

test('ten calm looks in a row halve', () => {
  const loaded = look(EVEN_PACE, LATE, 6);
  assert.equal(loaded.factor, 8);
  assert.equal(look(loaded, CALM, 9).factor, 8);
  assert.equal(look(loaded, CALM, 10).factor, 4);
  assert.equal(look(loaded, CALM, 100).factor, 1);
});

test('between late and calm the pace stays, and neither streak goes on', () => {
  const loaded = look(EVEN_PACE, LATE, 2);
  assert.equal(look(loaded, MIDDLING, 100).factor, 2);
  assert.equal(look(look(look(loaded, CALM, 9), MIDDLING, 1), CALM, 9).factor, 2);
  assert.equal(look(look(look(EVEN_PACE, LATE, 1), MIDDLING, 1), LATE, 1).factor, 1);
});

test('the longest interval stays within the freshness limit', () => {
  assert.equal(maxPaceFactor(2000, 10_000), 4);
  assert.equal(maxPaceFactor(2000, 60_000), 8);
  assert.equal(maxPaceFactor(5000, 10_000), 1);
});
