// Compaction and sweep, on a real cluster.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { batchOf, type LogFixture, startLogStore } from '@whereabouts/infra/live-store/testing/log-fixture';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { Compaction } from './compaction.js';
import { flushMetrics } from './flush-metrics.js';
import { statusOf } from './partition-status.js';
import { Sweep } from './sweep.js';
import { stored } from './testing/archive-fixture.js';
import { until } from './testing/flusher-process.js';

let redis: LogFixture;
before(async () => {
  redis = await startLogStore();
});
after(() => redis?.stop());

const partitions = () => Array.from({ length: redis.map.partitions }, (_, i) => i);
const look = () => Promise.all(partitions().map((partition) => statusOf(redis.store, partition)));
const newMetrics = () => flushMetrics(createMetrics('flusher', { commit: 'test' }));
const totalOf = async (metric: { get(): Promise<{ values: { value: number }[] }> }) =>
  (await metric.get()).values.reduce((sum, { value }) => sum + value, 0);

function newCompaction(flusherId: string, more: { minAgeMs?: number; stopping?: AbortSignal } = {}) {
  const metrics = newMetrics();
  const stopping = new AbortController().signal;
  const compaction = new Compaction({
    store: redis.store,
    flusherId,
    minAgeMs: 0,
    metrics,
    stopping,
    ...more,
  });
  return { compaction, folded: () => totalOf(metrics.compacted) };
}

async function append(partition: number, drivers: number, recordedAtMs = Date.now()): Promise<void> {
  for (let at = 0; at < drivers; at += 512) {
    const count = Math.min(512, drivers - at);
    const batch = Array.from({ length: count }, (_, i) => stored(`c${at + i}`, { session: 1, recordedAtMs }));
    await redis.store.append(partition, batchOf(...batch), count);
  }
}

const entries = async () => (await look()).reduce((sum, status) => sum + status.entries, 0);

test('every partition has its turn, one after the other; two flushers fold nothing twice', async () => {
  for (const partition of partitions()) await append(partition, 10);
  const [one, other] = [newCompaction('one'), newCompaction('other')];
  const left: number[] = [];
  await until('all is folded', async () => {
    const known = await look();
    await Promise.all([one.compaction.run(known), other.compaction.run(known)]);
    left.push(await entries());
    return left.at(-1) === 0;
  });
  assert.ok(new Set(left).size > 5, `turns are spread: ${left.join(' ')}`);
  assert.equal((await one.folded()) + (await other.folded()), 640);
});

test('a log that is far too long: a bound for each turn, and the next one goes on at once', async () => {
  const drivers = 80_000;
  await append(9, drivers);
  const { compaction, folded } = newCompaction('long');
  await until('the first turn', async () => {
    await compaction.run(await look());
    return (await folded()) > 0;
  });
  const first = await folded();
  assert.ok(first > 20_000 && first <= 16 * 2_000, `${first} in one turn`);
  for (let turn = 1; turn < 4; turn++) await compaction.run(await look());
  assert.equal(await folded(), drivers);
  assert.equal((await statusOf(redis.store, 9)).entries, 0);
});

test('what is young stays in the log; where the flusher stops, so does compaction', async () => {
  await append(11, 10);
  const young = newCompaction('young', { minAgeMs: 60_000 });
  const stopped = newCompaction('stopped', { stopping: AbortSignal.abort() });
  for (const end = performance.now() + 6_000; performance.now() < end; await delay(100)) {
    const known = await look();
    await young.compaction.run(known);
    await stopped.compaction.run(known);
  }
  assert.deepEqual([await young.folded(), await stopped.folded()], [0, 0]);
  assert.equal((await statusOf(redis.store, 11)).entries, 1);
});

test('the sweep is through all partitions, page by page, in its time; sessions go after a day', async () => {
  const { store } = redis;
  for (const url of redis.cluster.nodes) await redis.command(partitionOn(url.port), 'FLUSHALL');
  const old = Date.now() - 3_600_000;
  for (const partition of partitions()) await append(partition, partition === 9 ? 3_000 : 10, old);
  for (const partition of partitions()) {
    await store.compact(partition, 0);
    await store.compact(partition, 0);
    const { term, revision, nowMs: asOfMs } = await store.begin(partition, 'me', 1_000);
    await store.flushed(partition, { term, revision, asOfMs, flusherId: 'me' });
    for (const [driverId, claimedMsAgo] of [
      ['a', 1_000],
      ['b', 86_500_000],
    ] as const) {
      const session = Buffer.alloc(18);
      session.writeUIntLE(Date.now() - claimedMsAgo, 12, 6);
      const key = `sessions:{${redis.map.tagOf(partition)}}`;
      await redis.command(partition, 'HSET', key, driverId, Buffer.concat([session, Buffer.from('c')]));
    }
  }
  const metrics = newMetrics();
  const sweep = new Sweep({ store, sweepAfterMs: 2_000, metrics, sessionsRoundMs: 1_000 });
  const startedMs = performance.now();
  await until('all are gone', async () => {
    await sweep.run(await look());
    const drivers = (await look()).reduce((sum, status) => sum + status.drivers, 0);
    return drivers === 0 && (await totalOf(metrics.swept)) === 63 * 10 + 3_000 + 64;
  });
  assert.ok(performance.now() - startedMs > 500, 'not all at once');
  for (const partition of partitions()) {
    const [a, b] = await store.sessions(partition, ['a', 'b']);
    assert.deepEqual([a?.connectionId, b], ['c', null]);
  }
});

function partitionOn(port: number): number {
  return partitions().find((partition) => redis.store.nodeOf(partition)?.endsWith(`:${port}`)) as number;
}
