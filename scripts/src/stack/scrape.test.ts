import assert from 'node:assert/strict';
import { test } from 'node:test';
import { largest, parseMetrics, quantile, total } from './scrape.js';

const TEXT = `# HELP reports_total Reports
# TYPE reports_total counter
reports_total{kind="a"} 3
reports_total{kind="b \\"quoted\\", with a comma"} 4
window_seconds 1.5e-1
`;

function histogram(...counts: [number, number, number]): ReturnType<typeof parseMetrics> {
  const [tenth, one, all] = counts;
  return parseMetrics(
    `lag_seconds_bucket{le="0.1"} ${tenth}\nlag_seconds_bucket{le="1"} ${one}\nlag_seconds_bucket{le="+Inf"} ${all}\n`,
  );
}

test('sums over labels, or one of them; nothing where there is none', () => {
  const samples = parseMetrics(TEXT);
  assert.equal(total(samples, 'reports_total'), 7);
  assert.equal(total(samples, 'reports_total', { kind: 'a' }), 3);
  assert.equal(total(samples, 'absent_total'), undefined);
  assert.equal(largest(samples, 'window_seconds'), 0.15);
});

test('a quantile of what came between two looks', () => {
  const before = histogram(100, 100, 100);
  assert.equal(quantile(before, histogram(150, 200, 200), 'lag_seconds', 0.5), 0.1);
  assert.equal(quantile(before, histogram(100, 200, 200), 'lag_seconds', 0.5), 0.55);
  assert.equal(quantile(before, histogram(100, 100, 200), 'lag_seconds', 0.99), 1);
  assert.equal(quantile(before, before, 'lag_seconds', 0.99), undefined);
});
