// The recorder on a real cluster, through outages: what it holds, what it tells, what it records again.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  position,
  QUIET,
  type StoreFixture,
  startStore,
} from '@whereabouts/infra/live-store/testing/store-fixture';
import type { Position } from '@whereabouts/infra/position';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import type { Origin } from './origin.js';
import { Recorder } from './recorder.js';

const DEADLINE_MS = 15_000;
const SETTINGS = {
  freshnessMs: 10_000,
  lossBudgetMs: 10_000,
  holdNackAfterMs: 1000,
  tickMinMs: 10,
  tickMaxMs: 100,
};

let fixture: StoreFixture;
let recorder: Recorder;
const metrics = createMetrics('ingest', { commit: 'test' });

before(async () => {
  fixture = await startStore();
  recorder = new Recorder({
    store: fixture.store,
    settings: SETTINGS,
    log: QUIET,
    metrics,
  });
  recorder.start();
});
after(async () => {
  await recorder.drain(1000);
  await fixture.stop();
});

/** A connection that writes down what it is told. */
class Told implements Origin {
  readonly lines: string[] = [];
  accepted = (p: Position) => void this.lines.push(`accepted ${p.seq}`);
  refused = (p: Position, code: string) => void this.lines.push(`${code} ${p.seq}`);
  superseded = (p: Position, stored: number) => void this.lines.push(`superseded ${p.seq} by ${stored}`);
  persisted = (p: Position) => void this.lines.push(`persisted ${p.seq}`);
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = Date.now() + DEADLINE_MS;
  while (!(await holds())) {
    assert.ok(Date.now() < endMs, `not within ${DEADLINE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Places in the middle of a partition of each node. */
const LONDON = { lat: 51.5, lon: -0.12 };
const partitionOf = (p: Position) => fixture.map.partitionOf(p.latE7 / 1e7, p.lonE7 / 1e7);
const portOf = (partition: number) => Number(fixture.store.nodeOf(partition)?.split(':')[1]);
const stored = async (p: Position) =>
  (await fixture.store.get(partitionOf(p), [p.driverId])).found[0] ?? null;

function placeOfAnotherNode(port: number): { lat: number; lon: number } {
  for (let lon = -175; lon <= 175; lon += 5) {
    if (portOf(fixture.map.partitionOf(lon / 3, lon)) !== port) return { lat: lon / 3, lon };
  }
  throw new Error('one node owns the whole map');
}

async function flushAll(): Promise<void> {
  const { store, map } = fixture;
  for (let partition = 0; partition < map.partitions; partition++) {
    const { reign, revision, nowMs: asOfMs } = await store.begin(partition, 'test', 1_000);
    await store.flushed(partition, { reign, revision, asOfMs, flusherId: 'test' });
  }
}

let nextDriver = 0;
const newDriver = () => `driver-${nextDriver++}`;
const report = (driverId: string, seq: number, o: object = {}) =>
  position(driverId, { seq, recordedAtMs: Date.now() + seq, ...LONDON, ...o });

test('what is put down is written by the tick and acknowledged; what was replaced is settled by the newest', async () => {
  const told = new Told();
  const driver = newDriver();
  for (const seq of [1, 2, 3]) recorder.submit(report(driver, seq), told);
  await until('accepted', () => told.lines.length > 0);
  assert.deepEqual(told.lines, ['accepted 3']);
  assert.equal((await stored(report(driver, 3)))?.seq, 3);
  assert.equal(recorder.lastKnown(driver)?.seq, 3);
});

test('the verdicts of the store reach the connection', async () => {
  const told = new Told();
  const driver = newDriver();
  recorder.submit(report(driver, 5, { session: 9 }), null);
  await until('stored', async () => (await stored(report(driver, 5))) !== null);
  recorder.submit(report(driver, 6, { session: 8 }), told);
  recorder.submit(report(newDriver(), 7, { recordedAtMs: Date.now() + 60_000 }), told);
  await until('told', () => told.lines.length === 2);
  assert.deepEqual(told.lines.sort(), ['clock_ahead 7', 'superseded 6 by 9']);
});

test('a record that the store refuses is found by halving and told to come again; the others are written', async () => {
  const place = { lat: -33.9, lon: 18.4 };
  const drivers = Array.from({ length: 9 }, newDriver);
  const [first] = drivers.map((driver) => report(driver, 1, place));
  const partition = partitionOf(first as Position);
  await fixture.command(partition, 'SET', `checkpoints:{${fixture.map.tagOf(partition)}}`, 'not a hash');
  const told = new Told();
  for (const [index, driver] of drivers.entries()) {
    recorder.submit(
      report(driver, index + 1, {
        ...place,
        checkpoint: index === 4,
        ...(index === 4 && { checkpointId: 'trip-1' }),
      }),
      told,
    );
  }
  await until('all settled', () => told.lines.length === 9);
  assert.equal(told.lines.filter((line) => line.startsWith('accepted')).length, 8);
  assert.ok(told.lines.includes('not_ready 5'), 'retryable: it is no fault of the checkpoint');
  assert.equal(recorder.refusingPartitions, 1);
  await fixture.command(partition, 'DEL', `checkpoints:{${fixture.map.tagOf(partition)}}`);
  recorder.submit(
    report(drivers[4] as string, 5, { ...place, checkpoint: true, checkpointId: 'trip-1' }),
    told,
  );
  await until('accepted when it comes again', () => told.lines.length === 10);
  assert.equal(told.lines.at(-1), 'accepted 5');
  assert.equal(recorder.refusingPartitions, 0);
});

test('a driver who crosses a border is in both partitions for a moment, then in the new one alone', async () => {
  const told = new Told();
  const driver = newDriver();
  const here = report(driver, 1);
  const there = report(driver, 2, { lat: 40.7, lon: -74 });
  recorder.submit(here, told);
  await until('here', () => told.lines.length === 1);
  recorder.submit(there, told);
  await until('there', () => told.lines.length === 2);
  assert.equal((await stored(here))?.unlisted, false, 'a query under way must still find the driver here');
  await until('told apart', async () => (await stored(here))?.movedTo === partitionOf(there));
  await until('forgotten here', async () => (await stored(here))?.unlisted === true);
  assert.equal((await stored(there))?.unlisted, false);
});

test('a driver who crossed a border on the way from another process is no ghost there for long', async () => {
  const driver = newDriver();
  const here = report(driver, 1);
  await fixture.store.record(partitionOf(here), [here]); // by another process
  recorder.submit(report(driver, 2, { lat: 40.7, lon: -74 }), new Told());
  await until('forgotten here', async () => (await stored(here))?.unlisted === true);
});

test('a checkpoint is told as persisted when it no longer waits, not before', async () => {
  const told = new Told();
  const driver = newDriver();
  const checkpoint = report(driver, 1, { checkpoint: true, checkpointId: 'trip-1' });
  recorder.submit(checkpoint, told);
  assert.equal(recorder.waitingCheckpoints(driver, ''), 1);
  assert.equal(recorder.waitingCheckpoints(driver, 'trip-1'), 0, 'besides itself nothing waits');
  await until('accepted', () => told.lines.length === 1);
  const partition = partitionOf(checkpoint);
  const [waiting] = (await fixture.store.waitingCheckpoints(partition, 10)).waiting;
  assert.equal(recorder.waitingCheckpoints(driver, ''), 1);
  assert.deepEqual(told.lines, ['accepted 1']);
  await fixture.store.checkpointsDone(partition, [waiting?.field as string]);
  await until('persisted', () => told.lines.length === 2);
  assert.deepEqual(told.lines, ['accepted 1', 'persisted 1']);
  assert.equal(recorder.waitingCheckpoints(driver, ''), 0);
});

test('a checkpoint that is sent again over another connection is told there, a conflict as such', async () => {
  const [first, second] = [new Told(), new Told()];
  const driver = newDriver();
  const checkpoint = report(driver, 1, { checkpoint: true, checkpointId: 'trip-1' });
  recorder.submit(checkpoint, first);
  await until('accepted', () => first.lines.length === 1);
  recorder.submit({ ...checkpoint, session: checkpoint.session + 1, seq: 5 }, second);
  await until('accepted again', () => second.lines.length === 1);
  recorder.submit({ ...checkpoint, session: checkpoint.session + 1, seq: 6, latE7: 1 }, second);
  recorder.submit({ ...checkpoint, session: checkpoint.session + 1, seq: 7, speedCmps: 5 }, second);
  await until('told', () => second.lines.length >= 2);
  const partition = partitionOf(checkpoint);
  await fixture.store.checkpointsConflict(partition, [`${driver}:trip-1`]);
  await until('told of the conflict', () =>
    second.lines.some((line) => line.startsWith('checkpoint_conflict')),
  );
  assert.ok(!second.lines.some((line) => line.startsWith('persisted')));
  await until('forgotten', async () => {
    const { waiting, conflicts } = await fixture.store.waitingCheckpoints(partition, 10);
    return waiting.length + conflicts.length === 0;
  });
});

test('a driver who reports five times a second hears within about a second that its region is dark', async () => {
  const dark = new Told();
  const driver = newDriver();
  const darkPartition = partitionOf(report(driver, 1));
  fixture.cluster.kill(portOf(darkPartition), 'SIGSTOP');
  let seq = 0;
  try {
    recorder.submit(report(driver, ++seq), dark);
    await until('suspect', () => !fixture.store.reachable(darkPartition));
    await until('nacked', async () => {
      recorder.submit(report(driver, ++seq), dark);
      await new Promise((resolve) => setTimeout(resolve, 200));
      return dark.lines.some((line) => line.startsWith('region_unavailable'));
    });
  } finally {
    fixture.cluster.kill(portOf(darkPartition), 'SIGCONT');
  }
  await until('written', () => dark.lines.at(-1) === `accepted ${seq}`);
  const verdicts = dark.lines.filter((line) => line.endsWith(` ${seq}`));
  assert.ok(verdicts.length <= 2, `one nack and one acknowledgement at the most: ${dark.lines}`);
});

test('a dark region: held, newest only; a retryable nack after a second; written when it is back', async () => {
  const dark = new Told();
  const bright = new Told();
  const driver = newDriver();
  const darkPartition = partitionOf(report(driver, 1));
  const port = portOf(darkPartition);
  fixture.cluster.kill(port, 'SIGSTOP');
  try {
    recorder.submit(report(driver, 1), dark);
    await until('suspect', () => !fixture.store.reachable(darkPartition));
    recorder.submit(report(driver, 2), dark);
    recorder.submit(report(driver, 3), dark);
    await until('nacked', () => dark.lines.length === 1);
    assert.deepEqual(dark.lines, ['region_unavailable 3'], 'one for all from the last acknowledgement on');
    recorder.submit(report(driver, 4), dark);
    recorder.submit(report(newDriver(), 1, placeOfAnotherNode(port)), bright);
    await until('others are served', () => bright.lines.length === 1);
    assert.deepEqual(bright.lines, ['accepted 1']);
  } finally {
    fixture.cluster.kill(port, 'SIGCONT');
  }
  await until('written', () => dark.lines.at(-1) === 'accepted 4');
  assert.equal((await stored(report(driver, 4)))?.seq, 4);
});

test('a dark region is told by its node, and what is unknown beyond the budget is an alarm while it lasts', async () => {
  const metrics = createMetrics('ingest', { commit: 'test' });
  const settings = { ...SETTINGS, lossBudgetMs: 1_500 };
  const watching = new Recorder({ store: fixture.store, settings, log: QUIET, metrics });
  const series = async (name: string) => {
    const lines = (await metrics.registry.metrics()).split('\n');
    return lines.filter((line) => line.startsWith(`whereabouts_ingest_${name}`)).join('\n');
  };
  watching.start();
  const { regions, lossWindow } = watching;
  const partition = partitionOf(report('any', 1));
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

test('a node that comes back empty is healed by recording again, also for drivers who say nothing more', async () => {
  const told = new Told();
  const drivers = Array.from({ length: 700 }, newDriver);
  for (const driver of drivers) recorder.submit(report(driver, 1), told);
  await until('all accepted', () => told.lines.length === drivers.length);
  const partition = partitionOf(report('any', 1));
  const before = await fixture.store.status(partition);
  await fixture.command(partition, 'FLUSHALL');
  await until('found again', async () => {
    const { found } = await fixture.store.get(partition, drivers);
    return found.every((one) => one?.seq === 1);
  });
  assert.notEqual((await fixture.store.status(partition)).epoch, before.epoch);
});

async function metric(name: string): Promise<number> {
  const text = await metrics.registry.metrics();
  return Number(new RegExp(`^whereabouts_ingest_${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

/** What comes back after the node of this place was emptied, atomically with `setup` (Lua, with the keys of its partition). */
async function emptied(partition: number, setup = ''): Promise<void> {
  const tag = fixture.map.tagOf(partition);
  const keys = ['positions', 'available', 'busy', 'meta', 'checkpoints'].map((name) => `${name}:{${tag}}`);
  await fixture.command(partition, 'EVAL', `redis.call('FLUSHALL') ${setup}`, keys.length, ...keys);
}

test('a partition that refuses everything is told, and holds its reports; its neighbours are served', async () => {
  const place = { lat: -33.9, lon: 18.4 };
  const here = report(newDriver(), 1, place);
  const partition = partitionOf(here);
  const key = `positions:{${fixture.map.tagOf(partition)}}`;
  await fixture.command(partition, 'DEL', key);
  await fixture.command(partition, 'SET', key, 'not a hash');
  const told = new Told();
  recorder.submit(here, told);
  recorder.submit(report(newDriver(), 2, { ...place, checkpoint: true, checkpointId: 'trip-1' }), told);
  await until('nacked', () => told.lines.length === 2);
  assert.deepEqual(told.lines.sort(), ['region_unavailable 1', 'region_unavailable 2']);
  assert.equal(recorder.refusingPartitions, 1);
  assert.equal(await metric('refusing_partitions'), 1);
  recorder.look();
  assert.equal(recorder.regions.count, 0);
  const failures = await metric('record_failures_total');
  const neighbour = fixture.map.partitionOf(place.lat, place.lon) + 1;
  assert.equal(fixture.store.nodeOf(neighbour), fixture.store.nodeOf(partition));
  await fixture.store.touch(neighbour);
  const sinceMs = performance.now();
  await until('two more rounds', async () => (await metric('record_failures_total')) >= failures + 6);
  assert.ok(performance.now() - sinceMs > 300, 'backs off');
  await fixture.command(partition, 'DEL', key);
  await until('written', () => told.lines.length === 4);
  assert.deepEqual(told.lines.slice(2).sort(), ['accepted 1', 'accepted 2']);
  await until('no longer told', () => recorder.refusingPartitions === 0);
});

test('records that nobody can read end nobody', async () => {
  const driver = newDriver();
  const here = report(driver, 1);
  // Sought in all partitions as a stranger, and counted each time.
  const values = [
    Buffer.alloc(0),
    Buffer.from('x'),
    Buffer.alloc(43, 7),
    Buffer.alloc(45, 1),
    Buffer.alloc(9999),
  ];
  for (const [i, value] of values.entries())
    await fixture.command(5 * i, 'HSET', `positions:{${fixture.map.tagOf(5 * i)}}`, driver, value);
  const before = fixture.store.unreadable;
  const told = new Told();
  recorder.submit(here, told);
  await until('accepted', () => told.lines.length === 1);
  await until('sought everywhere', () => fixture.store.unreadable - before >= values.length);
  recorder.submit(report(driver, 2), told);
  await until('accepted', () => told.lines.length === 2);
  assert.ok((await metric('unreadable_records_total')) >= values.length);
  for (const i of values.keys())
    await fixture.command(5 * i, 'HDEL', `positions:{${fixture.map.tagOf(5 * i)}}`, driver);
});

describe('what was lost and is refused', () => {
  const place = { lat: 10, lon: 100 };
  const partition = () => partitionOf(report('any', 1, place));

  test('for its content: dropped, counted, and in the way of nobody', async () => {
    const told = new Told();
    const drivers = Array.from({ length: 40 }, newDriver);
    const reports = drivers.map((driver) => report(driver, 1, place));
    for (const one of reports) recorder.submit(one, told);
    await until('accepted', () => told.lines.length === drivers.length);
    const unhealed = await metric('unhealed_positions_total');
    // As no validation would let it through.
    for (const one of [reports[3], reports[30]]) Object.assign(one as Position, { latE7: 900_000_001 });
    await emptied(partition());
    const others = drivers.filter((_, i) => i !== 3 && i !== 30);
    await until('the others are healed', async () => {
      const { found } = await fixture.store.get(partition(), others);
      return found.every((one) => one?.seq === 1);
    });
    await until('counted', async () => (await metric('unhealed_positions_total')) === unhealed + 2);
    recorder.submit(report(newDriver(), 2, place), told);
    await until('newer ones are written', () => told.lines.at(-1) === 'accepted 2');
  });

  test('with an error that is not known: the others are healed, newer ones written, and it is tried again', async () => {
    const told = new Told();
    const drivers = Array.from({ length: 40 }, newDriver);
    const busy = drivers.filter((_, i) => i % 2 === 0);
    for (const [i, driver] of drivers.entries())
      recorder.submit(report(driver, 1, { ...place, status: i % 2 === 0 ? 'busy' : 'available' }), told);
    const ids = ['id-1', 'id-2', 'id-3'];
    for (const [i, checkpointId] of ids.entries())
      recorder.submit(
        report(busy[i] as string, 2, { ...place, checkpoint: true, checkpointId, status: 'busy' }),
        told,
      );
    await until('accepted', () => told.lines.length === drivers.length + ids.length);
    await emptied(partition(), `redis.call('SET', KEYS[3], 'not a set')`);
    const seqs = async (of: readonly string[]) =>
      (await fixture.store.get(partition(), of)).found.map((one) => one?.seq ?? null);
    await until('the others are healed', async () =>
      (await seqs(drivers.filter((driver) => !busy.includes(driver)))).every((seq) => seq === 1),
    );
    recorder.submit(report(newDriver(), 3, place), told);
    await until('newer ones are written', () => told.lines.at(-1) === 'accepted 3');
    assert.ok((await seqs(busy)).every((seq) => seq === null));
    await fixture.command(partition(), 'DEL', `busy:{${fixture.map.tagOf(partition())}}`);
    await until('they are healed too', async () => (await seqs(busy)).every((seq) => seq !== null));
    await until('and the checkpoints', async () => {
      const { waiting } = await fixture.store.waitingCheckpoints(partition(), 100);
      const found = waiting.map(({ position }) => position.checkpointId);
      return ids.every((id) => found.includes(id));
    });
  });

  test('a checkpoint that finds no room is not told as persisted, and taken when there is some', async () => {
    const told = new Told();
    const driver = newDriver();
    recorder.submit(report(driver, 1, { ...place, checkpoint: true, checkpointId: 'trip-1' }), told);
    recorder.submit(report(newDriver(), 1, { ...place, checkpoint: true, checkpointId: 'trip-1' }), told);
    await until('accepted', () => told.lines.length === 2);
    await emptied(partition(), `redis.call('HSET', KEYS[5], '${driver}', '10', '*', '10')`);
    const waiting = async () =>
      (await fixture.store.waitingCheckpoints(partition(), 100)).waiting.map(({ field }) => field);
    await until('the other one is healed', async () => (await waiting()).length >= 1);
    recorder.submit(report(newDriver(), 2, place), told);
    await until('newer ones are written', () => told.lines.at(-1) === 'accepted 2');
    assert.ok(!(await waiting()).includes(`${driver}:trip-1`));
    assert.ok(!told.lines.includes('persisted 1'));
    await fixture.command(partition(), 'HDEL', `checkpoints:{${fixture.map.tagOf(partition())}}`, driver);
    await until('it waits', async () => (await waiting()).includes(`${driver}:trip-1`));
    await fixture.store.checkpointsDone(partition(), await waiting());
    await until('persisted', () => told.lines.filter((line) => line === 'persisted 1').length === 2);
  });
});
