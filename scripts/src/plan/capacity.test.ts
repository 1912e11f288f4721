import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CPU_AFTER_LOSS, CPU_TARGET, MAX_CONNECTIONS } from './assumptions.js';
import { planCapacity, TooMuch } from './capacity.js';
import type { CapacityPlan, Target } from './capacity-plan.js';
import { clusterFor } from './cluster-shape.js';
import type { Cost, Costs } from './measured-costs.js';
import { NotMeasured } from './required-costs.js';
import { wireBytes } from './wire-bytes.js';

const VALUES: Record<string, [bench: string, value: number]> = {
  ingest_us_bin_sparse: ['cost', 15],
  masters_us_bin_sparse: ['cost', 7],
  replicas_us_bin_sparse: ['cost', 4],
  query_api_us_bin_sparse: ['cost', 1],
  positions_per_call_bin_sparse: ['cost', 16],
  redis_us_per_poll: ['update', 6],
  redis_bytes_per_driver: ['memory', 230],
  query_api_bytes_per_driver: ['memory', 300],
  ingest_bytes_per_connection: ['memory', 4000],
  flusher_us_per_row: ['flush', 5],
  postgres_us_per_row: ['flush', 10],
  postgres_wal_bytes_per_row: ['flush', 183],
  postgres_rows_per_s: ['flush', 100_000],
  query_api_us_per_question: ['questions', 200],
  durability_replicated_extra_ingest_us: ['durability', 2],
  durability_replicated_extra_masters_us: ['durability', 1],
  durability_replicated_extra_replicas_us: ['durability', -0.5],
};

const costsWith = (change: Record<string, number> = {}, without: readonly string[] = []): Costs =>
  new Map(
    Object.entries(VALUES)
      .filter(([name]) => !without.includes(name))
      .map(([name, [bench, value]]) => {
        const origin = { bench, commit: 'abc', machine: 'one', measuredAt: '2026-01-01T00:00:00Z' };
        return [name, { value: change[name] ?? value, ...origin }];
      }),
  );
const COSTS = costsWith();

function costOf(name: string): Cost {
  const cost = COSTS.get(name);
  assert.ok(cost, name);
  return cost;
}

function target(drivers: number, change: Partial<Target> = {}): Target {
  return {
    drivers,
    intervalS: 2,
    flushIntervalS: 5,
    durability: 'cache',
    questionsPerS: drivers / 50,
    frames: 'bin',
    ack: 'sparse',
    ...change,
  };
}

const plan = (drivers: number, change: Partial<Target> = {}, costs = COSTS): CapacityPlan =>
  planCapacity(target(drivers, change), costs);

function assertNear(actual: number, expected: number, tolerance: number): void {
  const ratio = actual / expected;
  assert.ok(Math.abs(ratio - 1) <= tolerance, `${actual} is not near ${expected}`);
}

test('a plan by hand: what is busy is the rate times the cost', () => {
  const { load, ingest, redis, queryApi, flusher, postgres } = plan(100_000);
  assert.equal(load.positionsPerS, 50_000);
  assert.equal(load.acksPerS, 10_000);
  assert.equal(load.rowsPerS, 20_000);
  assertNear(ingest.busyCores, 0.75, 1e-9);
  // With two query-apis, the polls of one are already in the measured cost of the masters.
  assertNear(redis.busyCores, 0.35 + 64 * 10 * 6e-6 + 0.2, 1e-9);
  assertNear(queryApi.followingCores, 0.05, 1e-9);
  assertNear(queryApi.busyCores, 2 * 0.05 + 0.4, 1e-9);
  assertNear(queryApi.bytesPerProcess, 128 * 2 ** 20 + 100_000 * 300, 1e-9);
  assertNear(flusher.busyCores, 0.1, 1e-9);
  assertNear(postgres.busyCores, 0.2, 1e-9);
  assertNear(postgres.walBytesPerS, 20_000 * 183, 1e-9);
  assert.equal(redis.masters, 3);
  assert.equal(ingest.processes, 3); // two for the connections, and one that may be lost
  assert.equal(redis.callsPerMasterPerS, 22 * 10 * (3 + 2));
});

test('ten times the drivers cost about ten times as much', () => {
  const none = { questionsPerS: 0 };
  const [few, many] = [plan(1_000_000, none), plan(10_000_000, none)];
  for (const part of ['ingest', 'flusher', 'postgres'] as const) {
    assertNear(many[part].busyCores, 10 * few[part].busyCores, 1e-9);
  }
  assertNear(many.queryApi.followingCores, 10 * few.queryApi.followingCores, 1e-9);
  assertNear(many.redis.masters, 10 * few.redis.masters, 0.25);
  assertNear(many.ingest.processes, 10 * few.ingest.processes, 0.1);
  assertNear(many.network.inBytesPerS, 10 * few.network.inBytesPerS, 1e-9);
});

test('at any size each process keeps its headroom, also when one of its kind is lost', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20_000_000 }),
      fc.constantFrom('cache', 'replicated'),
      (n, durability) => {
        const { ingest, redis, queryApi, flusher } = plan(n, { durability });
        // If following alone is too much for a core, the plan says so instead.
        const follows = queryApi.followingCores <= CPU_TARGET - 0.05 ? [queryApi] : [];
        for (const part of [ingest, flusher, redis.master, ...follows]) {
          assert.ok(part.utilisation <= CPU_TARGET + 1e-9);
          assert.ok(part.utilisationAfterLoss <= CPU_AFTER_LOSS + 1e-9);
        }
        assert.ok(redis.masters >= 3 && redis.partitions >= redis.masters);
        assert.ok(n / (ingest.processes - 1) <= MAX_CONNECTIONS);
      },
    ),
  );
});

test('more drivers never need fewer masters', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 400, noNaN: true }),
      fc.double({ min: 0, max: 50, noNaN: true }),
      (busy, more) => {
        const [less, greater] = [clusterFor(busy), clusterFor(busy + more)];
        assert.ok(less !== null && greater !== null && less.masters <= greater.masters);
      },
    ),
  );
});

test('the neighbour of a lost Redis host carries two masters', () => {
  const { redis } = plan(5_000_000);
  assert.ok((2 * redis.master.utilisation) / (redis.coresPerHost - 1) <= CPU_AFTER_LOSS + 1e-9);
  assert.ok(redis.bytesPerNode > 2 * 5_000_000 * 230 * redis.greatestShareAfterLoss);
});

test('a cost that was not measured is refused, with the bench that measures it', () => {
  const lacking = costsWith({}, ['masters_us_bin_sparse', 'postgres_rows_per_s']);
  assert.throws(
    () => plan(1000, {}, lacking),
    (error: Error) => {
      assert.ok(error instanceof NotMeasured);
      assert.match(error.message, /npm run bench -- cost +masters_us_bin_sparse$/m);
      assert.match(error.message, /npm run bench -- flush +postgres_rows_per_s$/m);
      assert.match(error.message, /npm run bench -- cost flush$/m);
      return true;
    },
  );
  assert.throws(() => plan(1000, { frames: 'json' }), /masters_us_json_sparse/);
  assert.throws(() => plan(1000, {}, new Map()), NotMeasured);
});

test('only what the target needs has to be measured', () => {
  const noQuestions = costsWith({}, ['query_api_us_per_question']);
  const { queryApi } = plan(1000, { questionsPerS: 0 }, noQuestions);
  assert.equal(queryApi.busyCores, queryApi.processes * queryApi.followingCores);
  assert.throws(() => plan(1000, {}, noQuestions), /bench -- questions/);
  const noDurability = costsWith({}, ['durability_replicated_extra_masters_us']);
  assert.doesNotThrow(() => plan(1000, {}, noDurability));
  assert.throws(() => plan(1000, { durability: 'replicated' }, noDurability), /bench -- durability/);
});

test('replicated costs more, and what noise made less than nothing counts as nothing', () => {
  const [cache, replicated] = [plan(500_000), plan(500_000, { durability: 'replicated' })];
  assertNear(replicated.ingest.busyCores - cache.ingest.busyCores, 0.5, 1e-9);
  assertNear(replicated.redis.busyCores - cache.redis.busyCores, 0.25, 0.1);
  assert.ok(replicated.connections.redisPerIngestProcess > cache.connections.redisPerIngestProcess);
});

const warned = (text: RegExp, { warnings }: CapacityPlan) => warnings.some((warning) => text.test(warning));

test('more rows than one Postgres was measured to take: a longer flush interval is suggested, and enough', () => {
  const tooMuch = plan(1_000_000);
  assert.ok(warned(/200 % of the 100,000.*--flush 13.*LOSS_BUDGET_MS=19000/, tooMuch));
  assert.ok(!warned(/Postgres:/, plan(1_000_000, { flushIntervalS: 13 })));
  assert.ok(
    warned(/FLUSH_INTERVAL_MS=13000 set LOSS_BUDGET_MS=19000/, plan(1_000_000, { flushIntervalS: 13 })),
  );
  assert.ok(warned(/split by region, with a Postgres for each/, plan(10_000_000)));
  assert.deepEqual(plan(300_000).warnings, []);
});

test('each query-api follows the whole map: where that is more than a core, it is said', () => {
  assert.ok(!warned(/follow/, plan(1_000_000)));
  assert.ok(warned(/follow 750,000 positions\/s keeps each process busy for 75 %/, plan(1_500_000)));
});

test('appends and polls at a master: partitions times processes times ten, and no more than it can take', () => {
  const many = plan(4_000_000, { questionsPerS: 0 });
  const { redis, ingest, queryApi } = many;
  const onOne = redis.partitions * redis.greatestShare;
  assertNear(redis.callsPerMasterPerS, onOne * 10 * (ingest.processes + queryApi.processes), 1e-9);
  assert.equal(warned(/appends and polls/, many), redis.callsPerMasterPerS > 10_000);
  assert.ok(warned(/appends and polls/, plan(10_000_000)));
  assert.ok(!warned(/appends and polls/, plan(300_000)));
});

test('drivers who report less often than the flush are written once for each report', () => {
  assert.equal(plan(100_000, { intervalS: 10 }).load.rowsPerS, 10_000);
});

test('what leaves the measured range is said', () => {
  assert.ok(warned(/FRESHNESS_MS/, plan(100_000, { intervalS: 10 })));
  assert.ok(warned(/A call to Redis carries/, plan(10_000_000)));
  const other = { ...costOf('redis_bytes_per_driver'), commit: 'def' };
  const mixed = new Map([...COSTS, ['redis_bytes_per_driver', other]]);
  assert.ok(warned(/of 2 commits/, plan(1000, {}, mixed)));
});

test('more than any cluster carries is refused', () => {
  assert.throws(() => plan(100_000_000, {}, costsWith({ masters_us_bin_sparse: 10_000 })), TooMuch);
});

test('acknowledgements: one for each report, or one in 10 s', () => {
  const [each, sparse] = (['each', 'sparse'] as const).map((ack) => {
    const costs = new Map(COSTS);
    for (const name of ['ingest_us', 'masters_us', 'replicas_us', 'query_api_us', 'positions_per_call']) {
      costs.set(`${name}_bin_each`, costOf(`${name}_bin_sparse`));
    }
    return plan(10_000, { ack }, costs);
  }) as [CapacityPlan, CapacityPlan];
  assert.equal(each.load.acksPerS, 5000);
  assert.equal(sparse.load.acksPerS, 1000);
  assert.ok(each.network.outBytesPerS > sparse.network.outBytesPerS);
});

test('the weight of a frame: 28 bytes and 5, in a WebSocket frame, in a TCP segment', () => {
  assert.deepEqual(wireBytes('bin'), { report: 52 + 6 + 28, ack: 52 + 2 + 5, receipt: 52 });
  assert.ok(wireBytes('json').report > 52 + 8 + 125);
});
