// Answers while a part of the cache cannot be seen: "no drivers" and "region down" are different answers.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { logKeys } from '@whereabouts/infra/live-store/log-keys';
import { adminConnection } from '@whereabouts/infra/local/redis-node';
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
  running = await startRunning(map, { FRESHNESS_MS: '600000', COVERAGE_LAG_MS: '2000' });
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

test('outage: a node that dies leaves its drivers in the answers, and every one says what it cannot see', async () => {
  assert.deepEqual((await readiness()).ready, true);
  running.cluster.kill(port, 'SIGKILL');
  await whenDark();
  const [first, last] = [dark[0] as number, dark.at(-1) as number];
  const range = { from: map.range(first).from, to: map.range(last).to, reason: 'unreachable' };

  const told = await running.metrics.registry.metrics();
  assert.match(told, new RegExp(`missing_partitions\\{reason="unreachable"\\} ${dark.length}$`, 'm'));
  assert.match(told, /missing_partitions\{reason="silent"\} 0$/m);
  assert.match(told, /query_api_drivers\{status="available"\} [1-9]/);

  const partitions = await running.ask('/v1/partitions');
  assert.deepEqual(partitions.body.missing, [range]);
  const unknown = partitions.body.partitions[first];
  assert.deepEqual(
    [unknown.health, unknown.drivers, unknown.available, unknown.busy, unknown.loss_window_ms],
    ['unreachable', null, null, null, null],
  );

  const here = placeIn(dark, false);
  const narrow = await running.ask(`/v1/drivers/nearby?lat=${here.lat}&lon=${here.lon}&radius_m=1`);
  assert.deepEqual([narrow.status, narrow.body.complete, narrow.body.drivers.length], [200, false, 1]);
  assert.equal(narrow.body.missing[0].reason, 'unreachable');
  // It counts as missing once nobody has fed it for that long, which may be a little before it was last read.
  assert.ok(narrow.body.view_age_ms > running.settings.coverageLagMs / 2);
  const nobody = await running.ask(
    `/v1/drivers/nearby?lat=${here.lat}&lon=${here.lon}&radius_m=1&status=busy`,
  );
  assert.deepEqual([nobody.status, nobody.body.code], [503, 'region_unavailable']);
  assert.equal(nobody.headers.get('retry-after'), '1');
  assert.equal(nobody.body.missing[0].reason, 'unreachable');

  const around = `lat=${here.lat}&lon=${here.lon}&radius_m=50000&limit=100`;
  const wide = await running.ask(`/v1/drivers/nearby?${around}`);
  assert.deepEqual([wide.status, wide.body.complete, wide.body.drivers.length], [200, false, 100]);
  for (const { from, to, reason } of wide.body.missing) {
    assert.equal(reason, 'unreachable');
    assert.ok(from >= range.from && to <= range.to);
  }

  const there = placeIn(dark, true);
  const other = await running.ask(`/v1/drivers/nearby?lat=${there.lat}&lon=${there.lon}&radius_m=1`);
  assert.deepEqual([other.status, other.body.complete, other.body.drivers.length], [200, true, 1]);
  assert.ok(other.body.view_age_ms <= running.settings.coverageLagMs);

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
  for (const i of [lost, kept]) {
    const found = await running.ask(`/v1/drivers/d${i}`);
    assert.deepEqual([found.status, found.body.complete], [200, false]);
    assert.equal(found.body.missing[0].reason, 'unreachable');
  }
  const absent = await running.ask('/v1/drivers/nobody');
  assert.deepEqual([absent.status, absent.body.code], [503, 'region_unavailable']);
  const both = await running.ask(`/v1/drivers?ids=d${lost},d${kept},nobody`);
  assert.deepEqual([both.body.complete, both.body.absent], [false, ['nobody']]);
  const live = await running.ask('/v1/drivers/live?bbox=20,51,22,53&limit=5000');
  assert.deepEqual([live.body.complete, live.body.missing.length], [false, 1]);
  const supply = await running.ask('/v1/supply?bbox=20,51,22,53&precision=5');
  assert.deepEqual([supply.body.complete, supply.body.missing], [false, live.body.missing]);
  const elsewhere = await running.ask('/v1/supply?bbox=-180,-80,-170,-70&precision=3');
  assert.equal(elsewhere.status, 200);
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

test('outage: a node that came back is seen again, with what it held', async () => {
  await running.cluster.restartNode(port);
  await whenComplete(running);
  const { body } = await askWhole();
  assert.deepEqual([body.complete, body.drivers.length], [true, 100]);
});

test('outage: a frozen node is missing after a while, and whole when it wakes up', async () => {
  running.cluster.kill(port, 'SIGSTOP');
  try {
    await eventually(async () => {
      const { status, body } = await askWhole();
      assert.deepEqual([status, body.complete, body.drivers.length], [200, false, 100]);
      for (const { reason } of body.missing) assert.match(reason, /^(unreachable|timeout)$/);
    });
  } finally {
    running.cluster.kill(port, 'SIGCONT');
  }
  await whenComplete(running);
});

test('outage: a short one leaves every answer complete, and their age is told', async () => {
  running.cluster.kill(port, 'SIGSTOP');
  const stoppedAtMs = performance.now();
  const answers = [];
  try {
    while (performance.now() - stoppedAtMs < 1_000) {
      const askedAtMs = performance.now();
      const { body } = await askWhole();
      // A busy machine may stop us for longer than it stops the node.
      if (performance.now() - stoppedAtMs < 1_800) answers.push({ body, askedAtMs });
    }
  } finally {
    running.cluster.kill(port, 'SIGCONT');
  }
  for (const { body, askedAtMs } of answers) {
    assert.deepEqual([body.complete, body.drivers.length], [true, 100]);
    assert.ok(body.view_age_ms >= askedAtMs - stoppedAtMs - 1);
  }
  await whenComplete(running);
});

test('outage: a partition that is written under another map is missing, and the service is not ready', async () => {
  const other = placeIn(dark, true);
  const partition = map.partitionOf(other.lat, other.lon);
  const node = adminConnection(running.store.nodeOf(partition) ?? '', undefined);
  const { meta } = logKeys(map.tagOf(partition));
  const term = (await node.hget(meta, 'term')) ?? '';
  try {
    await node.hset(meta, 'term', term.replace(map.hash, 'another'));
    await eventually(async () => {
      const report = await readiness();
      assert.equal(report.ready, false);
      assert.match(
        report.checks.partition_map?.detail ?? '',
        /1 partitions are written under another map than/,
      );
      const { status, body } = await running.ask(
        `/v1/drivers/nearby?lat=${other.lat}&lon=${other.lon}&radius_m=1&status=busy`,
      );
      assert.deepEqual([status, body.missing?.[0].reason], [503, 'map_mismatch']);
    });
  } finally {
    await node.hset(meta, 'term', term);
    node.disconnect();
  }
  await eventually(async () => assert.equal((await readiness()).ready, true));
});

test('outage: a service that is given another map starts, is not ready, and says why', async () => {
  const log = createLogger('query-api', 'silent');
  const metrics = createMetrics('query-api', { commit: 'test' });
  // As many partitions, so that they have the same slots.
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

test('outage: without any master the service is not ready; what it knows it says, and that it sees nothing', async () => {
  for (const node of running.cluster.nodes) running.cluster.kill(node.port, 'SIGKILL');
  await eventually(async () => {
    assert.equal((await readiness()).ready, false);
    const { status, body } = await askWhole();
    assert.deepEqual([status, body.complete, body.drivers.length], [200, false, 100]);
    for (const { reason } of body.missing) assert.equal(reason, 'unreachable');
    assert.equal((await running.ask('/v1/partitions')).body.missing.length, 1);
  });
  assert.equal((await running.ask('/v1/drivers/nearby?lat=0&lon=0')).status, 503);
  assert.equal((await running.ask('/v1/drivers?ids=nobody')).status, 503);
  assert.equal((await running.ask('/v1/drivers/live?bbox=0,0,1,1')).status, 503);
  assert.equal((await running.ask('/v1/supply?bbox=0,0,1,1')).status, 503);
  // The map is known all the same.
  const { status, body } = await running.ask('/v1/partitions');
  assert.deepEqual([status, body.complete, body.missing.length], [200, false, 1]);
});
