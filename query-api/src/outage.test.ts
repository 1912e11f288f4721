// What is said while a part of the cache cannot be seen: "no drivers" and "region down" are different answers.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { adminConnection } from '@whereabouts/infra/dev/redis-node';
import { partitionKeys } from '@whereabouts/infra/live-store/keys';
import { buildPartitionMap, type PartitionMap } from '@whereabouts/infra/partition-map';
import { createLogger } from '@whereabouts/infra/service/log';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import {
  eventually,
  type Running,
  reported,
  startRunning,
  whenComplete,
} from './fixtures/running-service.js';
import { startQueryService } from './service.js';

// A grid over one city, so that each of the three nodes owns a part of it.
const GRID = Array.from({ length: 900 }, (_, i) => ({
  lat: 52 + Math.floor(i / 30) * 0.01,
  lon: 21 + (i % 30) * 0.01,
}));

let map: PartitionMap;
let running: Running;
let port: number;
/** Partitions of the node that the tests stop. */
let dark: number[];

before(async () => {
  map = buildPartitionMap(GRID, 48);
  running = await startRunning(map, { FRESHNESS_MS: '600000' });
  await running.record(...GRID.map((at, i) => reported(`d${i}`, at)));
  await whenComplete(running);
  const node = running.store.nodeOf(20) as string;
  port = Number(node.split(':')[1]);
  dark = Array.from({ length: 48 }, (_, i) => i).filter((i) => running.store.nodeOf(i) === node);
});
after(() => running.stop());

const placeIn = (partitions: readonly number[], others: boolean) =>
  GRID.find(({ lat, lon }) => partitions.includes(map.partitionOf(lat, lon)) !== others) as (typeof GRID)[0];

async function readiness() {
  const { ready, checks } = await running.service.readiness();
  return { ready, checks: Object.fromEntries(checks.map(({ name, ok, detail }) => [name, { ok, detail }])) };
}

async function askWhole() {
  return running.ask('/v1/drivers/nearby?lat=52.15&lon=21.15&radius_m=50000&limit=100');
}

async function whenDark(): Promise<void> {
  await eventually(async () => {
    const { body } = await running.ask('/v1/partitions');
    const seen = body.partitions.filter((p: { health: string }) => p.health !== 'ok');
    assert.deepEqual(
      seen.map((p: { partition: number }) => p.partition),
      dark,
    );
  });
}

test('outage: a node that dies blanks its region, and every answer says so', async () => {
  assert.deepEqual((await readiness()).ready, true);
  running.cluster.kill(port, 'SIGKILL');
  await whenDark();
  const [first, last] = [dark[0] as number, dark.at(-1) as number];
  const range = { from: map.range(first).from, to: map.range(last).to, reason: 'unreachable' };

  const partitions = await running.ask('/v1/partitions');
  assert.deepEqual(partitions.body.missing, [range]);
  const unknown = partitions.body.partitions[first];
  assert.deepEqual(
    [unknown.health, unknown.drivers, unknown.available, unknown.busy, unknown.loss_window_ms],
    ['unreachable', null, null, null, null],
  );

  const here = placeIn(dark, false);
  const narrow = await running.ask(`/v1/drivers/nearby?lat=${here.lat}&lon=${here.lon}&radius_m=1`);
  assert.deepEqual([narrow.status, narrow.body.code], [503, 'region_unavailable']);
  assert.equal(narrow.headers.get('retry-after'), '1');
  assert.equal(narrow.body.missing[0].reason, 'unreachable');

  // On a busy machine the deadline may pass before the last widening, and more is missing than the dark region.
  await eventually(async () => {
    const wide = await running.ask(
      `/v1/drivers/nearby?lat=${here.lat}&lon=${here.lon}&radius_m=50000&limit=100`,
    );
    assert.deepEqual([wide.status, wide.body.complete, wide.body.drivers.length], [200, false, 100]);
    for (const { from, to, reason } of wide.body.missing) {
      assert.equal(reason, 'unreachable');
      assert.ok(from >= range.from && to <= range.to);
    }
  });

  const there = placeIn(dark, true);
  const other = await running.ask(`/v1/drivers/nearby?lat=${there.lat}&lon=${there.lon}&radius_m=1`);
  assert.deepEqual([other.status, other.body.complete, other.body.drivers.length], [200, true, 1]);

  const batch = await running.post('/v1/drivers/nearby:batch', {
    points: [
      { ...here, radius_m: 1 },
      { ...there, radius_m: 1 },
    ],
  });
  assert.equal(batch.status, 200);
  assert.deepEqual(
    batch.body.answers.map((answer: { complete: boolean }) => answer.complete),
    [false, true],
  );
});

test('outage: by id, missing is not the same as absent', async () => {
  const lost = GRID.findIndex(({ lat, lon }) => dark.includes(map.partitionOf(lat, lon)));
  const kept = GRID.findIndex(({ lat, lon }) => !dark.includes(map.partitionOf(lat, lon)));
  const absent = await running.ask(`/v1/drivers/d${lost}`);
  assert.deepEqual([absent.status, absent.body.code], [503, 'region_unavailable']);
  const found = await running.ask(`/v1/drivers/d${kept}`);
  assert.deepEqual([found.status, found.body.complete], [200, false]);
  assert.equal(found.body.missing[0].reason, 'unreachable');
  const both = await running.ask(`/v1/drivers?ids=d${lost},d${kept}`);
  assert.deepEqual([both.body.complete, both.body.absent], [false, [`d${lost}`]]);
  const live = await running.ask('/v1/drivers/live?bbox=20,51,22,53&limit=5000');
  assert.deepEqual([live.body.complete, live.body.missing.length], [false, 1]);
});

test('outage: one dark region leaves the service ready, and its report says which', async () => {
  const { ready, checks } = await readiness();
  assert.equal(ready, true);
  assert.deepEqual(checks.masters, { ok: true, detail: '2 reachable' });
  assert.equal(checks.partitions?.ok, false);
  assert.match(checks.partitions?.detail ?? '', new RegExp(`${dark.length} unreachable`));
  const metrics = await running.metrics.registry.metrics();
  assert.match(metrics, /incomplete_answers_total\{reason="unreachable"\} [1-9]/);
});

test('outage: a node that came back is warming, then whole again', async () => {
  await running.cluster.restartNode(port);
  await eventually(async () => {
    const { body } = await askWhole();
    assert.deepEqual([...new Set(body.missing.map(({ reason }: { reason: string }) => reason))], ['warming']);
  });
  await whenComplete(running);
});

test('outage: a frozen node costs no more than the deadline', async () => {
  running.cluster.kill(port, 'SIGSTOP');
  try {
    // Without its deadline an answer would wait for the node, which wakes up only below. A busy machine may be late
    // with all of them: then the next one tells.
    await eventually(async () => {
      const { status, body } = await askWhole();
      assert.deepEqual([status, body.complete], [200, false]);
      for (const { reason } of body.missing) assert.match(reason, /^(unreachable|timeout)$/);
    });
  } finally {
    running.cluster.kill(port, 'SIGCONT');
  }
  await whenComplete(running);
});

test('outage: a partition written under another map is not answered from, and the service is not ready', async () => {
  const other = placeIn(dark, true);
  const partition = map.partitionOf(other.lat, other.lon);
  const node = adminConnection(running.store.nodeOf(partition) ?? '', undefined);
  const { meta } = partitionKeys(map.tagOf(partition));
  const reign = (await node.hget(meta, 'reign')) ?? '';
  try {
    await node.hset(meta, 'reign', reign.replace(map.hash, 'another'));
    const report = await readiness();
    assert.equal(report.ready, false);
    assert.match(
      report.checks.partition_map?.detail ?? '',
      /1 partitions are written under another map than/,
    );
    const { status, body } = await running.ask(
      `/v1/drivers/nearby?lat=${other.lat}&lon=${other.lon}&radius_m=1`,
    );
    assert.deepEqual([status, body.missing[0].reason], [503, 'map_mismatch']);
  } finally {
    await node.hset(meta, 'reign', reign);
    node.disconnect();
  }
  assert.equal((await readiness()).ready, true);
});

test('outage: a service that is given another map starts, is not ready, and says why', async () => {
  const log = createLogger('query-api', 'silent');
  const metrics = createMetrics('query-api', { commit: 'test' });
  // As many partitions, so that they stand in the same slots.
  const shifted = GRID.map(({ lat, lon }) => ({ lat: lat + 0.1, lon }));
  const other = buildPartitionMap(shifted, map.partitions);
  const service = await startQueryService({ settings: running.settings, map: other, metrics, log });
  try {
    await eventually(async () => {
      const { ready, checks } = await service.readiness();
      assert.equal(ready, false);
      assert.match(JSON.stringify(checks), /written under another map than/);
    });
  } finally {
    service.close();
  }
});

test('outage: without any master nothing is answered, and the service is not ready', async () => {
  for (const node of running.cluster.nodes) running.cluster.kill(node.port, 'SIGKILL');
  await eventually(async () => {
    assert.equal((await readiness()).ready, false);
    assert.equal((await askWhole()).status, 503);
  });
  assert.equal((await running.ask('/v1/drivers?ids=d1')).status, 503);
  assert.equal((await running.ask('/v1/drivers/live?bbox=20,51,22,53')).status, 503);
  // The map is known all the same.
  const { status, body } = await running.ask('/v1/partitions');
  assert.deepEqual([status, body.complete, body.missing.length], [200, false, 1]);
});
