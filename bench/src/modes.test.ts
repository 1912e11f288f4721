import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lossOf, type ModeCost } from './modes/mode-load.js';
import { heldRate } from './modes.js';

const cost = (ackedPerS: number, p99Ms: number): ModeCost => ({
  askedPerS: 100,
  ackedPerS,
  p50Ms: 1,
  p99Ms,
  stalenessP50Ms: 0,
  stalenessP99Ms: 0,
  readP99Ms: 1,
  failedReads: 0,
  cacheHitShare: null,
  statements: 1,
  commits: 1,
  rows: 1,
  walBytes: 1,
  serverUs: 1,
  redisUs: 1,
  postgresUs: 1,
});

test('a rate is held where nearly all is acknowledged within a second, in every round', () => {
  const good = cost(98, 20);
  assert.equal(
    heldRate([
      { ratePerS: 500, costs: [good] },
      { ratePerS: 2000, costs: [good, good] },
    ]),
    2000,
  );
  assert.equal(
    heldRate([
      { ratePerS: 500, costs: [good] },
      { ratePerS: 2000, costs: [good, cost(96, 20)] },
    ]),
    500,
  );
  assert.equal(
    heldRate([
      { ratePerS: 500, costs: [cost(98, 1000)] },
      { ratePerS: 2000, costs: [good] },
    ]),
    0,
  );
  // Nothing was acknowledged at all, so no latency is known.
  assert.equal(heldRate([{ ratePerS: 500, costs: [cost(98, Number.NaN)] }]), 0);
});

test('lost is what was acknowledged and has no row as new', () => {
  const acked = { a: 1000, b: 2000, c: 3000, silent: 0 };
  const row = (driver_id: string, ms: number) => ({ driver_id, recorded_at: new Date(ms) });
  const all = [row('a', 1000), row('b', 2500), row('c', 3000)];
  assert.deepEqual(lossOf(acked, all), { watched: 4, behind: 0, worstMs: 0 });
  assert.deepEqual(lossOf(acked, [row('a', 400), row('b', 2000)]), { watched: 4, behind: 2, worstMs: 600 });
});
