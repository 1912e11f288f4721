// The recorder on a real cluster, through outages: what it holds, what it tells, what it writes again.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LogFixture, startLogStore } from '@whereabouts/infra/live-store/testing/log-fixture';
import { QUIET } from '@whereabouts/infra/live-store/testing/store-fixture';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { Recorder } from './recorder.js';
import { newestOf } from './testing/log-reader.js';
import { LONDON, type Place, Told } from './testing/told.js';

const DEADLINE_MS = 15_000;
const SETTINGS = {
  lossBudgetMs: 10_000,
  holdNackAfterMs: 1000,
  tickMinMs: 10,
  tickMaxMs: 100,
  logMaxBytes: 1 << 23,
};

let fixture: LogFixture;
let recorder: Recorder;
const metrics = createMetrics('ingest', { commit: 'test' });

before(async () => {
  fixture = await startLogStore();
  const { store } = fixture;
  recorder = new Recorder({ store, settings: SETTINGS, log: QUIET, metrics, processId: 'one' });
  recorder.start();
});
after(async () => {
  await recorder.drain(1000);
  await fixture.stop();
});

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = Date.now() + DEADLINE_MS;
  while (!(await holds())) {
    assert.ok(Date.now() < endMs, `not within ${DEADLINE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const newDriver = () => new Told(recorder);
const partitionOf = ({ lat, lon }: Place) => fixture.map.partitionOf(lat, lon);
const portOf = (partition: number) => Number(fixture.store.nodeOf(partition)?.split(':')[1]);
/** What a follower that reads the partition now knows of the driver. */
const stored = async (place: Place, { driverId }: Told) =>
  (await newestOf(fixture.store, partitionOf(place))).get(driverId) ?? null;

function placeOfAnotherNode(port: number): Place {
  for (let lon = -175; lon <= 175; lon += 5) {
    const place = { lat: lon / 3, lon };
    if (portOf(partitionOf(place)) !== port) return place;
  }
  throw new Error('one node owns the whole map');
}

async function metric(name: string): Promise<number> {
  const text = await metrics.registry.metrics();
  return Number(new RegExp(`^whereabouts_ingest_${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

async function flushAll(): Promise<void> {
  const { store, map } = fixture;
  for (let partition = 0; partition < map.partitions; partition++) {
    const { term, revision, nowMs: asOfMs } = await store.begin(partition, 'test', 1_000);
    await store.flushed(partition, { term, revision, asOfMs, flusherId: 'test' });
  }
}

/** The node of this partition loses everything, and `commands` (Lua, with the partition's keys) come after that. */
async function emptied(partition: number, commands = ''): Promise<void> {
  const tag = fixture.map.tagOf(partition);
  const keys = ['meta', 'log', 'checkpoints'].map((name) => `${name}:{${tag}}`);
  await fixture.command(partition, 'EVAL', `redis.call('FLUSHALL') ${commands}`, keys.length, ...keys);
}

test('what is put down is written by the tick and acknowledged; what was replaced is settled by the newest', async () => {
  const driver = newDriver();
  for (const seq of [1, 2, 3]) driver.report(seq);
  await until('accepted', () => driver.lines.length > 0);
  assert.deepEqual(driver.lines, ['accepted 3']);
  assert.equal((await stored(LONDON, driver))?.seq, 3);
});

test('a driver who crosses a border waits in the new partition alone', async () => {
  const driver = newDriver();
  driver.report(1);
  await until('here', () => driver.lines.length === 1);
  const there = { lat: 40.7, lon: -74 };
  driver.report(2);
  driver.report(3, there);
  await until('there', () => driver.lines.length === 2);
  assert.deepEqual(driver.lines, ['accepted 1', 'accepted 3']);
  assert.equal((await stored(LONDON, driver))?.seq, 1);
  assert.equal((await stored(there, driver))?.seq, 3);
});

test('an answer for a connection that was replaced in this process reaches nobody, and is noted', async () => {
  const older = newDriver();
  older.report(7);
  // Under way by now or soon; the new connection's seqs start anew.
  const newer = new Told(recorder, older.driverId);
  await until('it stands there', async () => (await stored(LONDON, older))?.seq === 7);
  newer.report(1);
  await until('accepted', () => newer.lines.length > 0);
  assert.deepEqual([older.lines, newer.lines], [[], ['accepted 1']]);
  assert.equal((await stored(LONDON, newer))?.session, newer.session);
});

test('a session with another number: its newest report is written again under that', async () => {
  const driver = newDriver();
  driver.report(1);
  await until('accepted', () => driver.lines.length === 1);
  driver.session += 1_000;
  assert.equal(recorder.drivers.renumber(driver.slot, driver), true);
  recorder.submit(driver.slot);
  await until('written again', async () => (await stored(LONDON, driver))?.session === driver.session);
  assert.equal(recorder.drivers.renumber(driver.slot, driver), false);
});

test('a checkpoint is told as persisted when it no longer waits, not before', async () => {
  const driver = newDriver();
  driver.checkpoint(1, 'trip-1');
  assert.equal(recorder.waitingCheckpoints(driver.driverId, ''), 1);
  assert.equal(recorder.waitingCheckpoints(driver.driverId, 'trip-1'), 0, 'besides itself nothing waits');
  await until('kept', () => driver.lines.length === 1);
  const partition = partitionOf(LONDON);
  assert.equal((await fixture.store.counts(partition)).checkpointsWaiting, 1);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual(driver.lines, ['kept 1']);
  await fixture.store.checkpointsDone(partition, [`${driver.driverId}:trip-1`]);
  await until('persisted', () => driver.lines.length === 2);
  assert.deepEqual(driver.lines, ['kept 1', 'persisted 1']);
  assert.equal(recorder.waitingCheckpoints(driver.driverId, ''), 0);
  assert.equal(await stored(LONDON, driver), null, 'whether it moves its driver is the connection’s to say');
});

test('a checkpoint that is sent again over another connection is told there, a conflict as such', async () => {
  const first = newDriver();
  const at = { recordedAtMs: Date.now() };
  first.checkpoint(1, 'trip-1', at);
  await until('kept', () => first.lines.length === 1);
  const second = new Told(recorder, first.driverId);
  assert.equal(second.checkpoint(5, 'trip-1', at), true);
  await until('kept again', () => second.lines.length === 1);
  assert.equal(second.checkpoint(6, 'trip-1', { ...at, lat: 1 }), false);
  assert.equal(second.last, 'checkpoint_conflict 6');
  await fixture.store.checkpointsConflict(partitionOf(LONDON), [`${first.driverId}:trip-1`]);
  await until('told of the conflict', () => second.lines.length === 3);
  assert.deepEqual([first.lines, second.last], [['kept 1'], 'checkpoint_conflict 5']);
  await until('forgotten', async () => {
    const o = { cursor: null, place: null, pageSize: 100 };
    const { waiting, conflicts } = await fixture.store.waitingCheckpoints(partitionOf(LONDON), o);
    return waiting.length + conflicts.length === 0;
  });
});

test('checkpoints that the store refuses for good: too many, or another of that id', async () => {
  const driver = newDriver();
  const partition = partitionOf(LONDON);
  const others = Array.from({ length: 10 }, (_, i) =>
    driver.position(100 + i, { checkpoint: true, checkpointId: `other-${i}` }),
  );
  await fixture.store.checkpoint(partition, others);
  driver.checkpoint(1, 'one-too-many');
  driver.checkpoint(2, 'other-3');
  await until('told', () => driver.lines.length === 2);
  assert.deepEqual(driver.lines.sort(), ['checkpoint_conflict 2', 'too_many_checkpoints 1']);
  assert.equal(recorder.waitingCheckpoints(driver.driverId, ''), 0);
  const fields = others.map(({ checkpointId }) => `${driver.driverId}:${checkpointId}`);
  await fixture.store.checkpointsDone(partition, fields);
});

test('more kept checkpoints than one look takes: all are found when they are in Postgres', async () => {
  const place = { lat: -10, lon: 20 };
  const drivers = Array.from({ length: 70 }, newDriver);
  for (const driver of drivers) for (let i = 1; i <= 10; i++) driver.checkpoint(i, `trip-${i}`, place);
  await until('all kept', () => drivers.every(({ lines }) => lines.length === 10));
  const last = drivers.at(-1) as Told;
  await fixture.store.checkpointsDone(partitionOf(place), [`${last.driverId}:trip-10`]);
  await until('persisted', () => last.last === 'persisted 10');
});

test('a driver who reports five times a second hears within about a second that its region is dark', async () => {
  const driver = newDriver();
  const partition = partitionOf(LONDON);
  fixture.cluster.kill(portOf(partition), 'SIGSTOP');
  let seq = 0;
  try {
    driver.report(++seq);
    await until('suspect', () => !fixture.store.reachable(partition));
    const sinceMs = performance.now();
    await until('nacked', async () => {
      driver.report(++seq);
      await new Promise((resolve) => setTimeout(resolve, 200));
      return driver.lines.some((line) => line.startsWith('region_unavailable'));
    });
    assert.ok(performance.now() - sinceMs < 5_000);
  } finally {
    fixture.cluster.kill(portOf(partition), 'SIGCONT');
  }
  await until('written', () => driver.last === `accepted ${seq}`);
  const verdicts = driver.lines.filter((line) => line.endsWith(` ${seq}`));
  assert.ok(verdicts.length <= 2, `one nack and one acknowledgement at the most: ${driver.lines}`);
});

test('a dark region: held, newest only; a retryable nack after a second; written when it is back', async () => {
  const dark = newDriver();
  const bright = newDriver();
  const partition = partitionOf(LONDON);
  const port = portOf(partition);
  fixture.cluster.kill(port, 'SIGSTOP');
  try {
    dark.report(1);
    dark.checkpoint(2, 'trip-2');
    await until('suspect', () => !fixture.store.reachable(partition));
    dark.report(3);
    dark.report(4);
    await until('nacked', () => dark.lines.length === 2);
    // One for all reports from the last acknowledgement on, and one for the checkpoint.
    assert.deepEqual(dark.lines.sort(), ['region_unavailable 2', 'region_unavailable 4']);
    dark.report(5);
    bright.report(1, placeOfAnotherNode(port));
    await until('others are served', () => bright.lines.length === 1);
    assert.deepEqual(bright.lines, ['accepted 1']);
  } finally {
    fixture.cluster.kill(port, 'SIGCONT');
  }
  await until('written', () => dark.lines.includes('accepted 5') && dark.lines.includes('kept 2'));
  assert.equal((await stored(LONDON, dark))?.seq, 5);
});

test('a dark region is told by its node, and what is unknown beyond the budget is an alarm while it lasts', async () => {
  const metrics = createMetrics('ingest', { commit: 'test' });
  const settings = { ...SETTINGS, lossBudgetMs: 1_500 };
  const { store } = fixture;
  const watching = new Recorder({ store, settings, log: QUIET, metrics, processId: 'two' });
  const series = async (name: string) => {
    const lines = (await metrics.registry.metrics()).split('\n');
    return lines.filter((line) => line.startsWith(`whereabouts_ingest_${name}`)).join('\n');
  };
  watching.start();
  const { regions, lossWindow } = watching;
  const partition = partitionOf(LONDON);
  const node = fixture.store.nodeOf(partition) as string;
  try {
    await flushAll();
    await until('all answer, and nothing is dirty', () => {
      watching.look();
      return lossWindow.unknownPartitions === 0 && lossWindow.worstMs === 0;
    });
    assert.equal(await series('dark_partitions_by_node'), '');
    fixture.cluster.kill(portOf(partition), 'SIGSTOP');
    try {
      await until('it is dark', () => regions.count > 0);
      assert.match(
        regions.detail,
        new RegExp(`^2\\d of 64 partitions are dark: ${node} \\(2\\d\\), since \\d+ s$`),
      );
      await until('the alarm', () => lossWindow.isExceeded);
      assert.ok(lossWindow.unknownMs > settings.lossBudgetMs);
      assert.match(lossWindow.detail, new RegExp(`unknown beyond the budget for \\d+ partitions.*${node}`));
      assert.match(await series('loss_budget_exceeded'), / 1$/);
      assert.match(
        await series('dark_partitions_by_node'),
        new RegExp(`^.*\\{redis_node="${node}"\\} 2\\d$`),
      );
    } finally {
      fixture.cluster.kill(portOf(partition), 'SIGCONT');
    }
    await until('the alarm ends', () => !lossWindow.isExceeded);
    await until('no partition is dark', () => regions.count === 0);
    assert.equal(await series('dark_partitions_by_node'), '');
  } finally {
    await watching.drain(0);
  }
});

test('a node that comes back empty is healed, also for drivers who say nothing more', async () => {
  const drivers = Array.from({ length: 700 }, newDriver);
  for (const driver of drivers) driver.report(1);
  await until('all accepted', () => drivers.every(({ lines }) => lines.length === 1));
  const partition = partitionOf(LONDON);
  const lost = await metric('lost_positions_total');
  await emptied(partition);
  await until('found again', async () => {
    const newest = await newestOf(fixture.store, partition);
    return drivers.every(({ driverId }) => newest.get(driverId)?.seq === 1);
  });
  assert.ok((await metric('lost_positions_total')) >= lost + 700);
  await until('all of them are counted', async () => {
    const [all, healed, overtaken] = await Promise.all(
      ['lost', 'healed', 'overtaken_lost'].map((name) => metric(`${name}_positions_total`)),
    );
    return all === (healed as number) + (overtaken as number);
  });
  assert.ok(drivers.every(({ lines }) => lines.every((line) => line === 'accepted 1')));
});

test('a newer report that is held elsewhere stands in for one that was lost here', async () => {
  const port = portOf(partitionOf(LONDON));
  const here = placeOfAnotherNode(port);
  const driver = newDriver();
  driver.report(1, here);
  await until('accepted', () => driver.lines.length === 1);
  const overtaken = await metric('overtaken_lost_positions_total');
  fixture.cluster.kill(port, 'SIGSTOP');
  try {
    driver.report(2);
    await until('held', () => driver.last === 'region_unavailable 2');
    await emptied(partitionOf(here));
    await until('counted', async () => (await metric('overtaken_lost_positions_total')) > overtaken);
    assert.equal(await stored(here, driver), null);
  } finally {
    fixture.cluster.kill(port, 'SIGCONT');
  }
  await until('written', () => driver.last === 'accepted 2');
});

test('a partition that refuses everything is told, and holds its reports; its neighbours are served', async () => {
  const place = { lat: -33.9, lon: 18.4 };
  const partition = partitionOf(place);
  const key = `log:{${fixture.map.tagOf(partition)}}`;
  await fixture.command(partition, 'DEL', key);
  await fixture.command(partition, 'SET', key, 'not a stream');
  const driver = newDriver();
  driver.report(1, place);
  await until('nacked', () => driver.lines.length === 1);
  assert.deepEqual(driver.lines, ['region_unavailable 1']);
  recorder.look();
  assert.equal(recorder.regions.count, 0);
  assert.equal(fixture.store.nodeOf(partition + 1), fixture.store.nodeOf(partition));
  await fixture.store.touch(partition + 1);
  const failures = await metric('record_failures_total');
  const sinceMs = performance.now();
  await until('tried again', async () => (await metric('record_failures_total')) >= failures + 3);
  assert.ok(performance.now() - sinceMs > 300, 'backs off');
  await fixture.command(partition, 'DEL', key);
  await until('written', () => driver.last === 'accepted 1');
  await until('no longer told', () => recorder.refusingPartitions === 0);
});

test('checkpoints that are refused hold up no report, and are taken when that is over', async () => {
  const place = { lat: -33.9, lon: 18.4 };
  const partition = partitionOf(place);
  const key = `checkpoints:{${fixture.map.tagOf(partition)}}`;
  await fixture.command(partition, 'SET', key, 'not a hash');
  const driver = newDriver();
  driver.checkpoint(1, 'trip-1', place);
  driver.report(2, place);
  await until('the report is accepted', () => driver.lines.includes('accepted 2'));
  await until('told', () => recorder.refusingPartitions === 1);
  assert.equal(await metric('refusing_partitions'), 1);
  await until('nacked', () => driver.last === 'region_unavailable 1');
  await fixture.command(partition, 'DEL', key);
  await until('kept', () => driver.last === 'kept 1');
  assert.equal(recorder.refusingPartitions, 0);
});

test('a lost checkpoint that finds no room is not told as persisted, and taken when there is some', async () => {
  const place = { lat: 10, lon: 100 };
  const partition = partitionOf(place);
  const [full, other] = [newDriver(), newDriver()];
  full.checkpoint(1, 'trip-1', place);
  other.checkpoint(1, 'trip-1', place);
  await until('kept', () => full.lines.length + other.lines.length === 2);
  await emptied(partition, `redis.call('HSET', KEYS[3], '${full.driverId}', '10', '*', '10')`);
  const waiting = async () => {
    const o = { cursor: null, place: null, pageSize: 100 };
    return (await fixture.store.waitingCheckpoints(partition, o)).waiting.map(({ field }) => field);
  };
  await until('the other one is kept again', async () => (await waiting()).length >= 1);
  assert.deepEqual(await waiting(), [`${other.driverId}:trip-1`]);
  await fixture.command(partition, 'HDEL', `checkpoints:{${fixture.map.tagOf(partition)}}`, full.driverId);
  await until('it waits', async () => (await waiting()).length === 2);
  assert.ok(!full.lines.includes('persisted 1'));
  await fixture.store.checkpointsDone(partition, await waiting());
  await until('persisted', () => full.last === 'persisted 1' && other.last === 'persisted 1');
});

test('a log that nobody compacts is compacted, by one process', async () => {
  const settings = { ...SETTINGS, logMaxBytes: 1_000 };
  const metrics = createMetrics('ingest', { commit: 'test' });
  const { store } = fixture;
  const o = { store, settings, log: QUIET, metrics, processId: 'compacts' };
  const small = new Recorder(o);
  const place = { lat: 30, lon: -150 };
  const drivers = Array.from({ length: 40 }, () => new Told(small));
  for (const driver of drivers) driver.report(1, place);
  small.start();
  await until('accepted', () => drivers.every(({ lines }) => lines.length === 1));
  const bytes = async () => (await store.touch(partitionOf(place))).logBytes;
  assert.ok((await bytes()) > settings.logMaxBytes);
  await until('it is small again', async () => (await bytes()) === 0);
  const newest = await newestOf(store, partitionOf(place));
  assert.ok(drivers.every(({ driverId }) => newest.get(driverId)?.seq === 1));
  await small.drain(0);
});
