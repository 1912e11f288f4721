import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { QUIET } from '@whereabouts/infra/live-store/testing/store-fixture';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { flushMetrics } from './flush-metrics.js';
import { Retention } from './retention.js';
import { type ArchiveFixture, startArchive, stored } from './testing/archive-fixture.js';

const DAY_MS = 86_400_000;
const NOW = Date.now();

let fixture: ArchiveFixture;
before(async () => {
  fixture = await startArchive();
});
after(() => fixture.stop());

function newRetention() {
  const metrics = flushMetrics(createMetrics('flusher', { commit: 'test' }));
  return { metrics, retention: new Retention({ archive: fixture.archive(), days: 30, log: QUIET, metrics }) };
}

test('what is older than the days given goes, however much it is', async () => {
  const archive = fixture.archive();
  const rows = Array.from({ length: 2_500 }, (_, i) => {
    const ageDays = i % 2 === 0 ? 31 : 29;
    return { partition: 0, position: stored(`d${i}`, { recordedAtMs: NOW - ageDays * DAY_MS }) };
  });
  await archive.commit(rows, []);
  await archive.insertCheckpoints(rows.map(({ position }) => position));
  await fixture.sql(`UPDATE checkpoints SET persisted_at = recorded_at`);
  const { retention, metrics } = newRetention();
  await retention.deleteOld(NOW);
  for (const table of ['driver_positions', 'checkpoints']) {
    const [left] = await fixture.sql(
      `SELECT count(*)::integer AS n, min(recorded_at) AS oldest FROM ${table}`,
    );
    assert.deepEqual([left?.n, Number(left?.oldest)], [1_250, NOW - 29 * DAY_MS], table);
  }
  assert.deepEqual(
    (await metrics.deleted.get()).values.map(({ value }) => value),
    [1_250, 1_250],
  );
});

test('Postgres away is no harm, and a stop is obeyed', async () => {
  const { retention } = newRetention();
  const running = retention.run();
  await fixture.server.stop();
  await retention.deleteOld(NOW);
  retention.stop();
  await running;
  await fixture.server.restart();
});
