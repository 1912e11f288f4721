// What follows from what was seen.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Ack,
  ackLatencyMs,
  acknowledgedBetween,
  busiest,
  lastOfOldMaster,
  measureRegion,
  Observations,
  percentile,
  reportedAgainMs,
  takesWritesAgainMs,
} from './observations.js';

const ack = (sentAtMs: number, ackAtMs: number, partition = 1, driverId = `d${partition}`): Ack => ({
  driverId,
  sentAtMs,
  ackAtMs,
  partition,
  session: 1,
  recordedAtMs: sentAtMs,
  durability: 'cache',
});

test('the latency of an acknowledgement is without the time that it waited for the drill', () => {
  const pauses = [{ fromMs: 1_020, toMs: 1_080 }];
  assert.equal(ackLatencyMs(ack(1_000, 1_090), pauses), 30);
  assert.equal(ackLatencyMs(ack(1_050, 1_090), pauses), 10);
  assert.equal(ackLatencyMs(ack(1_000, 1_190), pauses), 190);
  assert.equal(ackLatencyMs(ack(1_000, 1_010), pauses), 10);
  const seen = new Observations(1);
  seen.acks[0]?.push(ack(1_000, 1_090));
  seen.pauses.push(...pauses);
  const measured = measureRegion(seen, 0, [1], { startAtMs: 500, faultAtMs: 900, endAtMs: 2_000 });
  assert.equal(measured.ackP99DuringMs, 30);
  assert.equal(Math.max(...measured.samples.map(({ slowestAckMs }) => slowestAckMs ?? 0)), 30);
});

test('a region takes writes again when each of its partitions does, for reports sent after the fault', () => {
  assert.equal(takesWritesAgainMs([ack(1_010, 1_200), ack(1_020, 1_300, 2)], [1, 2], 1_000), 300);
  assert.equal(takesWritesAgainMs([ack(990, 1_200), ack(1_400, 1_410)], [1], 1_000), 410);
  assert.equal(takesWritesAgainMs([ack(1_010, 1_200)], [1, 2], 1_000), null);
  assert.equal(takesWritesAgainMs([], [1], 1_000), null);
});

test('everybody has reported again when the last has', () => {
  const acks = [ack(1_010, 1_200, 1, 'a'), ack(1_020, 5_000, 1, 'b'), ack(5_010, 5_020, 1, 'b')];
  assert.equal(reportedAgainMs(acks, ['a', 'b'], 1_000), 4_000);
  assert.equal(reportedAgainMs(acks, ['a', 'b', 'c'], 1_000), null);
});

test('what may be lost: drivers acknowledged within the time, each once', () => {
  const acks = [ack(880, 890, 1, 'a'), ack(900, 910, 1, 'b'), ack(950, 960, 1, 'b'), ack(990, 1_040, 1, 'c')];
  assert.equal(acknowledgedBetween(acks, 900, 1_050), 2);
  assert.equal(acknowledgedBetween(acks, 0, 1_000), 2);
});

test('what the old master still acknowledged ends with the silence before the first of the new one', () => {
  const last = (...acks: Ack[]) => lastOfOldMaster(acks, 1_000);
  // In flight at the fault; held, and written by the new master together with what was sent after the fault.
  const usual = [ack(900, 950), ack(980, 1_020), ack(990, 1_035), ack(995, 1_205), ack(1_010, 1_210)];
  assert.deepEqual(last(...usual), { surelyMs: 1_035, possiblyMs: 1_035 });
  // The drill, or ingest, was late: longer than the old master lived, and still before the silence.
  assert.deepEqual(last(ack(980, 1_120), ack(995, 1_300), ack(1_200, 1_301)), {
    surelyMs: 1_120,
    possiblyMs: 1_120,
  });
  // Nothing was in flight.
  assert.deepEqual(last(ack(900, 950), ack(1_010, 1_210)), { surelyMs: 1_000, possiblyMs: 1_000 });
  // It never took writes again.
  assert.deepEqual(last(ack(900, 950), ack(980, 1_020)), { surelyMs: 1_020, possiblyMs: 1_020 });
  // So late that all came at once: the sender cannot be determined.
  assert.deepEqual(last(ack(980, 1_030), ack(995, 1_060), ack(1_010, 1_065)), {
    surelyMs: 1_000,
    possiblyMs: 1_065,
  });
});

test('the busiest stretch', () => {
  assert.equal(busiest([], 100), 0);
  assert.equal(busiest([500, 0, 99, 100, 150], 100), 3);
  assert.equal(busiest([7, 7, 7], 100), 3);
});

test('percentiles by the nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.equal(percentile(hundred, 0.99), 99);
  assert.equal(percentile(hundred, 1), 100);
  assert.equal(percentile([7], 0.99), 7);
  assert.equal(percentile([], 0.99), null);
});

test('a region is measured in its window alone', () => {
  const seen = new Observations(1);
  seen.acks[0]?.push(
    ack(500, 510),
    ack(1_990, 2_000),
    ack(2_500, 2_900),
    ack(3_000, 3_020),
    ack(3_160, 3_180),
  );
  seen.nacks[0]?.push({ atMs: 1_500, code: 'too_fast' }, { atMs: 2_600, code: 'region_unavailable' });
  seen.answers[0]?.push(
    { atMs: 1_500, tookMs: 3, partition: 1, answer: 'partial', isNamed: false, lacking: 2 },
    { atMs: 2_500, tookMs: 3, partition: 1, answer: 'failed', isNamed: true, lacking: 0 },
    { atMs: 2_600, tookMs: 3, partition: 1, answer: 'partial', isNamed: false, lacking: 1 },
    { atMs: 2_950, tookMs: 3, partition: 1, answer: 'complete', isNamed: true, lacking: 0 },
  );
  const measured = measureRegion(seen, 0, [1], { startAtMs: 1_000, faultAtMs: 2_000, endAtMs: 3_150 });
  assert.equal(measured.lastAckAtMs, 0);
  assert.equal(measured.firstAckAtMs, 900);
  assert.equal(measured.darkMs, 900);
  assert.equal(measured.ackP99BeforeMs, 10);
  assert.equal(measured.ackP99DuringMs, 400);
  assert.deepEqual(measured.nacks, { region_unavailable: 1 });
  assert.deepEqual(measured.answers, {
    failed: 1,
    incomplete: 1,
    unnamed: 1,
    firstIncompleteMs: 603,
    lacking: 1,
  });
  assert.equal(measured.samples.length, 21);
  assert.equal(measured.samples.at(-1)?.acks, 1);
  assert.deepEqual(measured.samples[19], {
    atMs: 900,
    acks: 1,
    nacks: 0,
    slowestAckMs: 400,
    complete: 1,
    partial: 0,
    failed: 0,
  });
});
