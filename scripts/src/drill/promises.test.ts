// The verdict: each promise is kept at its budget and broken just above it, and a missing value never counts as kept.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectationOf } from './drill-kind.js';
import { DRILLS } from './faults.js';
import { type Evidence, judge } from './promises.js';
import type { LostCount, RegionReport } from './report.js';

function region(node: string, change: Partial<RegionReport> = {}): RegionReport {
  return {
    node,
    ranges: [{ from: '000000', to: '~~~~~~' }],
    partitions: 21,
    drivers: 63,
    affected: false,
    lastAckAtMs: 3_000,
    firstAckAtMs: 3_200,
    darkMs: 200,
    healedMs: 300,
    ackP99BeforeMs: 20,
    ackP99DuringMs: 40,
    nacks: {},
    failedWrites: 0,
    answers: { failed: 0, incomplete: 0, unnamed: 0, firstIncompleteMs: null, lacking: 0 },
    samples: [],
    ...change,
  };
}

const WHOLE = region('a:1').answers;

const exactly = (count: number): LostCount => ({ least: count, most: count });

const kill = DRILLS.kill;
assert.ok(kill);

function evidence(change: Partial<Evidence> = {}): Evidence {
  return {
    expected: expectationOf(kill as NonNullable<typeof kill>, true),
    regions: [region('a:1', { affected: true }), region('b:2'), region('c:3')],
    faultLastsMs: 0,
    audit: { lost: exactly(3), counted: 3, allowed: null, how: '' },
    lostReplicated: null,
    wrongRows: { wrong: 0, of: 192, first: '' },
    wholeAgain: true,
    foundInThePast: null,
    reconnectedMs: null,
    busiestReconnect: { connections: 0, of: 192 },
    persistedMs: null,
    alarm: null,
    replicaAway: null,
    streamsTookMs: [0, 510],
    ...change,
  };
}

const broken = (change: Partial<Evidence>): string[] =>
  judge(evidence(change))
    .filter(({ passed }) => !passed)
    .map(({ promise }) => promise);

const hit = (change: Partial<RegionReport>) => ({
  regions: [region('a:1', { affected: true, ...change }), region('b:2'), region('c:3')],
});
const other = (change: Partial<RegionReport>) => ({
  regions: [region('a:1', { affected: true }), region('b:2', change), region('c:3')],
});

test('what is within every budget passes, what the hit region suffers included', () => {
  assert.deepEqual(broken({}), []);
  const suffers = { nacks: { region_unavailable: 40 }, ackP99DuringMs: 900 };
  assert.deepEqual(broken(hit(suffers)), []);
});

test('a stream shows within 2 s what a question answers; never, and not measured, is not in time', () => {
  const promise = 'streams show what questions answer, each second: the longest until one did';
  assert.deepEqual(broken({ streamsTookMs: [0, 2_000] }), []);
  for (const streamsTookMs of [[0, 2_001], [null, 0], []])
    assert.deepEqual(broken({ streamsTookMs }), [promise]);
});

test('time dark: 500 ms with the promoter, 3 s without; never is never in time', () => {
  assert.deepEqual(broken(hit({ darkMs: 500 })), []);
  assert.deepEqual(broken(hit({ darkMs: 501 })), ['time dark']);
  assert.deepEqual(broken(hit({ darkMs: null })), ['time dark']);
  const expected = expectationOf(kill as NonNullable<typeof kill>, false);
  assert.deepEqual(broken({ ...hit({ darkMs: 3_000 }), expected }), []);
  assert.deepEqual(broken({ ...hit({ darkMs: 3_001 }), expected }), ['time dark']);
});

test('healing and silence are judged where it hurts', () => {
  assert.equal(broken(hit({ healedMs: 1_501 })).length, 1);
  assert.equal(broken(hit({ healedMs: null })).length, 1);
  assert.equal(broken(hit({ failedWrites: 1 })).length, 1);
});

test('one nack, one question or one silent report elsewhere breaks the blast radius', () => {
  for (const change of [
    { nacks: { region_unavailable: 1 } },
    { answers: { ...WHOLE, failed: 1 } },
    { answers: { ...WHOLE, incomplete: 1, firstIncompleteMs: 2_500 } },
    { failedWrites: 1 },
  ]) {
    const [promise, ...more] = broken(other(change));
    assert.match(promise ?? '', /^blast radius/);
    assert.deepEqual(more, []);
  }
});

test('a dead node takes nobody out of an answer, and leaves answers complete while it is replaced in time', () => {
  assert.deepEqual(broken(hit({ answers: { ...WHOLE, lacking: 1 } })), [
    'answers that lacked a driver who reports on',
  ]);
  assert.deepEqual(broken(other({ answers: { ...WHOLE, lacking: 1 } })), [
    'answers that lacked a driver who reports on',
  ]);
  assert.equal(broken(hit({ answers: { ...WHOLE, failed: 1 } })).length, 1);
  const late = { ...WHOLE, incomplete: 9, firstIncompleteMs: 2_300 };
  assert.deepEqual(broken(hit({ answers: late })), ['incomplete answers about the region']);
});

test('a region that stays dark is named, and not at once', () => {
  const expected = expectationOf(kill as NonNullable<typeof kill>, false);
  const dark = (answers: Partial<RegionReport['answers']>) =>
    broken({ expected, ...hit({ answers: { ...WHOLE, ...answers } }) });
  assert.deepEqual(dark({ incomplete: 9, firstIncompleteMs: 2_300 }), []);
  assert.deepEqual(dark({}), [], 'it was replaced sooner');
  assert.equal(dark({ incomplete: 9, firstIncompleteMs: 1_400 }).length, 1);
  assert.equal(dark({ incomplete: 9, firstIncompleteMs: 2_300, unnamed: 1 }).length, 1);
  assert.equal(dark({ lacking: 1 }).length, 1);
});

test('latency elsewhere: twice what it was, or 50 ms, whichever is more', () => {
  assert.deepEqual(broken(other({ ackP99BeforeMs: 10, ackP99DuringMs: 50 })), []);
  assert.equal(broken(other({ ackP99BeforeMs: 10, ackP99DuringMs: 51 })).length, 1);
  assert.deepEqual(broken(other({ ackP99BeforeMs: 40, ackP99DuringMs: 80 })), []);
  assert.equal(broken(other({ ackP99BeforeMs: 40, ackP99DuringMs: 81 })).length, 1);
  assert.equal(broken(other({ ackP99DuringMs: null })).length, 1);
});

test('the loss audit must equal the truth, and what replicas had is never lost', () => {
  const audit = { lost: exactly(3), counted: 2, allowed: null, how: '' };
  assert.equal(broken({ audit }).length, 1);
  assert.equal(broken({ audit: { ...audit, lost: null } }).length, 1);
  assert.equal(broken({ audit: { ...audit, counted: 3, allowed: 2 } }).length, 1);
  assert.equal(broken({ audit: { ...audit, counted: 4 } }).length, 1);
  // If the truth is only known to lie between two numbers, the count must lie there too.
  const between = { ...audit, lost: { least: 1, most: 3 } };
  for (const [counted, verdicts] of [
    [0, 1],
    [1, 0],
    [3, 0],
    [4, 1],
  ] as const) {
    assert.equal(broken({ audit: { ...between, counted } }).length, verdicts, `${counted} counted`);
  }
  assert.deepEqual(broken({ lostReplicated: 0 }), []);
  assert.equal(broken({ lostReplicated: 1 }).length, 1);
  const behind = DRILLS['kill-behind'];
  assert.ok(behind);
  const expected = expectationOf(behind, true);
  assert.deepEqual(broken({ expected }), []);
  assert.equal(
    broken({ expected, audit: { lost: exactly(0), counted: 0, allowed: null, how: '' } }).length,
    1,
  );
});

test('Postgres and the cluster at the end', () => {
  assert.equal(broken({ wrongRows: { wrong: 1, of: 192, first: 'a row' } }).length, 1);
  assert.equal(broken({ wrongRows: null }).length, 1);
  assert.equal(broken({ wholeAgain: false }).length, 1);
});

test('drivers of a killed ingest: all of them, within 30 s', () => {
  const ingest = DRILLS['ingest-kill'];
  assert.ok(ingest);
  const change = { expected: expectationOf(ingest, true), audit: null };
  assert.deepEqual(broken({ ...change, reconnectedMs: 30_000 }), []);
  assert.equal(broken({ ...change, reconnectedMs: 30_001 }).length, 1);
  assert.deepEqual(
    broken({ ...change, reconnectedMs: 38_000, faultLastsMs: 8_000 }),
    [],
    'from its ingest on',
  );
  assert.equal(broken({ ...change, reconnectedMs: null }).length, 1);
  const herd = (connections: number) => ({
    ...change,
    reconnectedMs: 900,
    busiestReconnect: { connections, of: 192 },
  });
  assert.deepEqual(broken(herd(64)), []);
  assert.equal(broken(herd(65)).length, 1);
});

test('a replaced master that comes back may bring nothing back, and that has to be seen', () => {
  for (const name of ['freeze', 'isolate']) {
    const expected = expectationOf(DRILLS[name] as NonNullable<typeof kill>, true);
    assert.deepEqual(broken({ expected, foundInThePast: 0 }), []);
    assert.equal(broken({ expected, foundInThePast: 1 }).length, 1);
    assert.equal(broken({ expected, foundInThePast: null }).length, 1);
  }
});

test('a budget counts from the end of a fault that lasts; what is measured counts from its beginning', () => {
  const behind = { ...hit({ darkMs: 1_500, healedMs: 2_500 }), faultLastsMs: 1_000 };
  assert.deepEqual(broken(behind), []);
  assert.deepEqual(broken({ ...behind, faultLastsMs: 999 }), [
    'time dark',
    'time to heal: everybody found again in complete answers',
  ]);
  const dark = judge(evidence(behind)).find(({ promise }) => promise === 'time dark');
  assert.equal(dark?.measured, '1500 ms');
  assert.equal(dark?.budget, 'at most 1500 ms: 500 ms after the fault ended, at 1000 ms');
});

test('while Postgres is away longer than the budget: the alarm comes and goes, a checkpoint waits', () => {
  const down = DRILLS['postgres-down'];
  assert.ok(down);
  const alarm = {
    budgetMs: 10_000,
    seen: [
      { source: 'flusher' as const, raisedMs: 10_400, endedMs: 16_000 },
      { source: 'ingest' as const, raisedMs: 10_900, endedMs: 16_500 },
    ],
  };
  const kept = {
    expected: expectationOf(down, true),
    regions: [region('a:1'), region('b:2'), region('c:3')],
    audit: null,
    faultLastsMs: 15_000,
    persistedMs: 15_700,
    alarm,
  };
  assert.deepEqual(broken(kept), []);
  assert.equal(broken({ ...kept, persistedMs: null }).length, 1, 'never persisted');
  assert.equal(broken({ ...kept, persistedMs: 14_000 }).length, 1, 'persisted before Postgres was back');
  assert.equal(broken({ ...kept, persistedMs: 25_001 }).length, 1, 'persisted late');
  for (const change of [{ raisedMs: null }, { raisedMs: 13_001 }, { endedMs: null }, { endedMs: 25_001 }]) {
    const seen = [
      alarm.seen[0] as (typeof alarm.seen)[number],
      { ...alarm.seen[1], source: 'ingest' as const, ...{ raisedMs: 10_900, endedMs: 16_500 }, ...change },
    ];
    assert.equal(broken({ ...kept, alarm: { ...alarm, seen } }).length, 1, JSON.stringify(change));
  }
});

test('a frozen replica: nobody is refused or waits long, and what is acknowledged says what it is', () => {
  const frozen = DRILLS['freeze-replica'];
  assert.ok(frozen);
  const away = {
    refused: 0,
    slowestAckMs: 290,
    ackP99BeforeMs: 30,
    cache: 400,
    replicated: 0,
    replicatedAgainMs: 8_000,
  };
  const of = (change: Partial<typeof away> | { slowestAckMs: null } | { replicatedAgainMs: null }) =>
    broken({
      expected: expectationOf(frozen, true),
      ...hit({}),
      audit: null,
      faultLastsMs: 6_000,
      replicaAway: { ...away, ...change },
    }).length;
  assert.equal(of({}), 0);
  assert.equal(of({ refused: 1 }), 1);
  assert.equal(of({ slowestAckMs: 301 }), 1);
  assert.equal(of({ slowestAckMs: 399, ackP99BeforeMs: 100 }), 0, 'a busy machine');
  assert.equal(of({ slowestAckMs: null }), 1);
  assert.equal(of({ cache: 0 }), 1);
  assert.equal(of({ replicated: 1 }), 1);
  assert.equal(of({ replicatedAgainMs: 11_001 }), 1);
  assert.equal(of({ replicatedAgainMs: null }), 1);
});
