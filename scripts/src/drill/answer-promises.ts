// The promises for answers and for other regions while one region is broken.
import type { PromiseVerdict, RegionReport } from './report.js';
import { figureOf, ms, none } from './verdicts.js';

const ELSEWHERE_P99_FLOOR_MS = 50;
const ELSEWHERE_P99_FACTOR = 2;
/** Answers stay complete while query-api is at most this far behind. */
const COVERAGE_LAG_MS = 2_000;
/** It may last have read the region this long before the fault. */
const LAG_SLACK_MS = 500;

export function elsewhere(regions: readonly RegionReport[]): PromiseVerdict[] {
  const failures = regions.map((region) => {
    const nacked = Object.values(region.nacks).reduce((sum, count) => sum + count, 0);
    const { failed, incomplete } = region.answers;
    return { node: region.node, count: nacked + region.failedWrites + failed + incomplete };
  });
  const failed = failures.reduce((sum, { count }) => sum + count, 0);
  const where = failures.filter(({ count }) => count > 0).map(({ node, count }) => `${node}: ${count}`);
  const slowest = regions.map(({ node, ackP99BeforeMs, ackP99DuringMs }) => {
    const budget = Math.max(ELSEWHERE_P99_FACTOR * (ackP99BeforeMs ?? 0), ELSEWHERE_P99_FLOOR_MS);
    return { node, before: ackP99BeforeMs, during: ackP99DuringMs, budget };
  });
  const over = slowest.filter(({ during, budget }) => during === null || during > budget);
  const shown = [...slowest].sort((a, b) => (b.during ?? 1e9) - (a.during ?? 1e9))[0];
  return [
    none('blast radius: failed writes and questions where nothing was broken', failed, where.join(', ')),
    {
      promise: 'latency elsewhere: p99 of acknowledgements',
      passed: over.length === 0,
      measured: `${ms(shown?.during ?? null)} (${ms(shown?.before ?? null)} before)`,
      budget: `at most twice that before, or ${ELSEWHERE_P99_FLOOR_MS} ms`,
      detail: over.map(({ node, during }) => `${node}: ${ms(during)}`).join(', '),
      ...figureOf(shown?.during ?? null, 'ms'),
    },
  ];
}

/** A dead node removes no driver from the answers; a region that stays dark is named after COVERAGE_LAG_MS. */
export function answered(hit: readonly RegionReport[], darkBudgetMs: number): PromiseVerdict[] {
  const sum = (of: (region: RegionReport) => number) => hit.reduce((all, region) => all + of(region), 0);
  const failed = none(
    'questions about the region that were not answered',
    sum(({ answers }) => answers.failed),
  );
  const incomplete = sum(({ answers }) => answers.incomplete);
  if (darkBudgetMs < COVERAGE_LAG_MS)
    return [failed, none('incomplete answers about the region', incomplete)];
  const times = hit.flatMap(({ answers }) => answers.firstIncompleteMs ?? []);
  const firstMs = times.length === 0 ? null : Math.min(...times);
  const leastMs = COVERAGE_LAG_MS - LAG_SLACK_MS;
  return [
    failed,
    {
      promise: 'answers about the region are incomplete only once it has been dark for a while',
      passed: firstMs === null || firstMs >= leastMs,
      measured: firstMs === null ? 'none was incomplete' : `the first after ${ms(firstMs)}`,
      budget: `not before ${leastMs} ms`,
      detail: '',
    },
    none(
      'incomplete answers that do not name the region',
      sum(({ answers }) => answers.unnamed),
    ),
  ];
}
