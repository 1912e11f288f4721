import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokenBy } from './knee.js';

const held = {
  drivers: 10_000,
  storedPerS: 4_950,
  sentPerS: 4_990,
  ackP99Ms: 120,
  lossWindowS: 5.2,
  nacks: 0,
  closed: 0,
  cores: {},
};

test('what is held breaks nothing', () => {
  assert.deepEqual(brokenBy(held), []);
});

test('each promise is judged by itself, and what was not measured is not kept', () => {
  for (const broken of [
    { ackP99Ms: 251 },
    { ackP99Ms: Number.NaN },
    { lossWindowS: Number.POSITIVE_INFINITY },
    { nacks: 1 },
    { closed: 1 },
    { storedPerS: 4_800 },
    { storedPerS: Number.NaN },
    { sentPerS: 4_800 },
  ]) {
    assert.equal(brokenBy({ ...held, ...broken }).length, 1, JSON.stringify(broken));
  }
});
