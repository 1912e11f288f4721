import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lineChart, ticksUpTo } from '../report/line-chart.js';
import { escapeText } from '../report/markup.js';
import { gatherRunFacts, settingsTold } from '../report/run-facts.js';
import { historyOf } from './history.js';
import type { DrillReport, RegionReport, RegionSample } from './report.js';
import { SAMPLE_MS } from './report.js';
import { type PageReport, reportPage } from './report-page.js';
import { within } from './verdicts.js';

const FROM_MS = -10_000;
const TO_MS = 20_000;
const EVIL = `</svg><script>alert("1")</script> & 'x' <img src=http://evil.example/a.png> \u0000\ud800`;

function region(node: string, affected: boolean): RegionReport {
  const samples: RegionSample[] = [];
  for (let atMs = FROM_MS; atMs < TO_MS; atMs += SAMPLE_MS) {
    const isDark = affected && atMs >= 0 && atMs < 1500;
    samples.push({
      atMs,
      acks: isDark ? 0 : 18 + ((atMs / SAMPLE_MS) % 5),
      nacks: isDark && atMs >= 1000 ? 3 : 0,
      slowestAckMs: isDark ? null : 37 + ((atMs / SAMPLE_MS) % 17),
      complete: isDark ? 0 : 2,
      partial: isDark ? 2 : 0,
      failed: 0,
    });
  }
  return {
    node,
    ranges: [{ from: '000000', to: 'u3qch2' }],
    partitions: 21,
    drivers: 334,
    affected,
    lastAckAtMs: affected ? -20 : null,
    firstAckAtMs: affected ? 1500 : null,
    darkMs: affected ? 1500 : 0,
    healedMs: affected ? 3600 : 0,
    ackP99BeforeMs: 31.4,
    ackP99DuringMs: 36.2,
    nacks: affected ? { region_unavailable: 15 } : {},
    failedWrites: 0,
    answers: { failed: 0, incomplete: 0, unnamed: 0, firstIncompleteMs: null, lacking: 0 },
    samples,
  };
}

function sample(changes: Partial<PageReport> = {}): PageReport {
  return {
    format: 3,
    drill: 'freeze',
    about: 'The second master was stopped with SIGSTOP for 5 s.',
    startedAt: '2026-11-23T17:00:00.000Z',
    fromMs: FROM_MS,
    toMs: TO_MS,
    faultLastsMs: 0,
    repairedAtMs: 5000,
    passed: false,
    stack: { own: true, masters: 3, replicas: 1, partitions: 64, promoter: true, durability: 'cache' },
    load: { drivers: 1000, reportIntervalMs: 2000, acknowledged: 14_800, nacked: 15, questions: 600 },
    promises: [
      { promise: 'writes again', passed: true, measured: '1500 ms', budget: 'at most 1500 ms', detail: '' },
      {
        promise: 'errors elsewhere',
        passed: false,
        measured: '2',
        budget: '0',
        detail: 'two questions failed',
      },
    ],
    regions: ['127.0.0.1:7100', '127.0.0.1:7101', '127.0.0.1:7102'].map((node, i) => region(node, i === 1)),
    events: [
      { atMs: 0, kind: 'fault', text: 'SIGSTOP to 127.0.0.1:7101' },
      { atMs: 1100, kind: 'observed', text: 'its replica took over' },
      { atMs: 5000, kind: 'heal', text: 'SIGCONT' },
    ],
    audit: { lost: { least: 0, most: 0 }, counted: 0, allowed: 0, how: 'each driver was asked for by id' },
    notes: ['isolate was skipped: it needs root'],
    facts: {
      machine: '2 cores',
      commit: 'abc',
      versions: { node: '20.19.5', redis: '7.0.15' },
      settings: { DURABILITY: 'cache' },
    },
    ...changes,
  };
}

/** Every element is closed in its turn and every attribute is quoted, as a strict reader of SVG requires. */
function assertWellFormed(page: string): void {
  const body = page.replace('<!doctype html>', '').replace(/<style>[^<]*<\/style>/, '');
  const open: string[] = [];
  const rest = body.replace(
    /<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z-]+="[^"<]*")*)\s*(\/?)>/g,
    (_, end, name, __, empty) => {
      if (end) assert.equal(open.pop(), name);
      else if (!empty) open.push(name);
      return '';
    },
  );
  assert.deepEqual(open, []);
  assert.doesNotMatch(rest, /[<>]/);
  assert.doesNotMatch(rest, /&(?!(amp|lt|gt|quot|#39);)/);
}

test('the page says the verdict first, each promise, each fact, and draws four charts', () => {
  const page = reportPage(sample(), null);
  assertWellFormed(page);
  assert.match(page, /<title>Drill freeze: failed<\/title>/);
  assert.ok(page.indexOf('1 of 2 promises broken') < page.indexOf('<h2>Promises</h2>'));
  assert.match(
    page,
    /<td data-head="measured">2<small>two questions failed<\/small><\/td><td data-head="budget">0<\/td><td class="fail">fail<\/td>/,
  );
  assert.equal(page.match(/<figure>/g)?.length, 4);
  for (const text of ['fault', 'repaired', 'writes again after 1500 ms', 'all found again after 3600 ms']) {
    // Each for a wide screen and for a narrow one.
    assert.equal(page.split(`>${text}</text>`).length - 1, 8, text);
  }
  for (const text of [
    '+1100 ms',
    'region_unavailable 15',
    '20.19.5',
    'abc',
    'each driver was asked for by id',
  ]) {
    assert.ok(page.includes(text), text);
  }
});

test('the page has one zero: marks, numbers and events count from the fault, and it says so', () => {
  const page = reportPage(
    sample({
      faultLastsMs: 1_000,
      events: [{ atMs: -1_000, kind: 'observed', text: 'SIGSTOP of its replica' }],
    }),
    null,
  );
  assert.match(page, /All times count from the fault\. The fault lasted 1000 ms\./);
  assert.match(
    page,
    /<th scope="row" class="time">\u22121000 ms<\/th>.*<td>observed<\/td><td>SIGSTOP of its replica/,
  );
  // From -10 s at the left edge to +20 s at the right one.
  const atMs = (label: string) => {
    const place = new RegExp(
      `<path class="mark" d="M([\\d.]+) [^>]*/><text class="mark-label"[^>]*>${label}<`,
    ).exec(page);
    return Math.round(((Number(place?.[1]) - 64) / (900 - 64 - 24)) * 30_000) - 10_000;
  };
  for (const [label, expected] of [
    ['fault', 0],
    ['fault over', 1_000],
    ['writes again after 1500 ms', 1_500],
    ['all found again after 3600 ms', 3_600],
    ['repaired', 5_000],
  ] as const) {
    assert.ok(Math.abs(atMs(label) - expected) <= 10, `${label}: ${atMs(label)}`);
  }
});

test('beside each time from the fault stands the time of day, with UTC on hover', () => {
  const page = reportPage(sample(), null);
  // The fault was ten seconds after the sampling began.
  assert.match(
    page,
    /The fault was on <time datetime="2026-11-23T17:00:10\.000Z" title="2026-11-23 17:00:10\.000 UTC">/,
  );
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  assert.match(page, new RegExp(`Times of day are (those of )?${zone}`));
  assert.match(
    page,
    /\+1100 ms<\/th><td data-head="time of day"><time [^>]*title="2026-11-23 17:00:11\.100 UTC">/,
  );
  const local = new Date('2026-11-23T17:00:10Z').toLocaleTimeString('en-GB');
  assert.ok(page.includes(`>${local}</text>`), 'below the axis');
});

test('earlier runs: a small line for each promise, and a run that is worse than they were stands out', () => {
  const runs = (day: number, darkMs: number) => ({
    ...sample({ passed: true, startedAt: `2026-11-2${day}T17:00:00.000Z` }),
    promises: [within('time dark', darkMs, 500), { ...within('whole', null, 1), passed: true }],
  });
  const reports = [200, 210, 190, 400].map((darkMs, i) => runs(i, darkMs));
  const last = reports.at(-1);
  assert.ok(last);
  const page = reportPage(last, historyOf(reports));
  assertWellFormed(page);
  assert.match(page, /2 promises kept, <b class="warn">1 worse than in the runs before<\/b>/);
  assert.match(page, /aria-label="4 runs: 200 ms, 210 ms, 190 ms, 400 ms"/);
  assert.match(
    page,
    /<circle class="warn"[^>]*\/><\/svg><b class="warn">worse than before<\/b><small class="time">median before 200 ms/,
  );
  assert.match(page, /kept in 4 of 4/);
  assert.ok(page.includes('A figure is worse if'));
  const first = reportPage(last, historyOf([last]));
  assert.ok(!first.includes('runs on this machine'), 'there is nothing to compare with');
});

test('nothing is fetched, nothing runs, and whatever a report holds is text', () => {
  const [first] = sample().regions;
  assert.ok(first);
  const page = reportPage(
    sample({
      drill: EVIL,
      about: EVIL,
      startedAt: EVIL,
      promises: [{ promise: EVIL, passed: false, measured: EVIL, budget: EVIL, detail: EVIL }],
      regions: [{ ...first, node: EVIL, ranges: [{ from: EVIL, to: EVIL }], nacks: { [EVIL]: 1 } }],
      events: [{ atMs: 0, kind: 'observed', text: EVIL }],
      audit: { lost: null, counted: 0, allowed: null, how: EVIL },
      notes: [EVIL],
      facts: { machine: EVIL, commit: EVIL, versions: { [EVIL]: EVIL }, settings: { [EVIL]: EVIL } },
    }),
    null,
  );
  assertWellFormed(page);
  assert.doesNotMatch(
    page,
    /<(script|img|link|iframe|object|image|use)\b|\s(href|src|on\w+)="|url\(|@import/,
  );
  assert.ok(!page.includes('\u0000') && !/\p{Cs}/u.test(page));
});

test('what was not measured is no number', () => {
  const dark = { ...region('n', true), darkMs: null, healedMs: null, ackP99DuringMs: null };
  const nothing: DrillReport = {
    ...sample({ regions: [dark, { ...region('m', false), samples: [] }], audit: null, promises: [] }),
    fromMs: 0,
    toMs: 0,
  };
  const page = reportPage(nothing, null);
  assertWellFormed(page);
  assert.doesNotMatch(page, /NaN|Infinity|undefined|null|writes again after/);
  assert.match(
    page,
    /data-head="dark until">to the end<\/td><td class="time" data-head="all found after">never<\/td>/,
  );
});

test('a gap in a line stays a gap, and a sample between two gaps is a dot', () => {
  const values = [1, 2, null, 2, null];
  const samples = values.map((value, i) => ({ atMs: i * 100, value }));
  const times = { fromMs: 0, toMs: 400, originMs: 200 };
  const { text } = lineChart({ title: 't', unit: '', lines: [{ name: 'a', samples }], marks: [], ...times });
  assert.match(text, /d="M64\.0 133\.0h0L267.0 62.0M673.0 62.0h0"/);
});

test('ticks are round and reach the greatest value', () => {
  assert.deepEqual(ticksUpTo(0), [0, 1]);
  assert.deepEqual(ticksUpTo(37), [0, 10, 20, 30, 40]);
  assert.deepEqual(ticksUpTo(0.3), [0, 0.1, 0.2, 0.3]);
  assert.deepEqual(ticksUpTo(1700), [0, 500, 1000, 1500, 2000]);
});

test('escaped text holds no markup and no character that documents may not have', () => {
  assert.equal(escapeText(`<a b="c">&'`), '&lt;a b=&quot;c&quot;&gt;&amp;&#39;');
  assert.equal(escapeText('\u0001\ud800x\u{1f697}'), '\ufffd\ufffdx\u{1f697}');
});

test('facts of this run: known settings are told, secrets never', async () => {
  const facts = await gatherRunFacts({
    FLUSH_INTERVAL_MS: '1000',
    JWT_SECRET: 'no',
    REDIS_PASSWORD: 'no',
    HOME: '/',
  });
  assert.deepEqual(facts.settings, { FLUSH_INTERVAL_MS: '1000' });
  assert.match(facts.machine, /^\d+ cores/);
  assert.equal(facts.versions.node, process.versions.node);
  assert.deepEqual(
    settingsTold({ DURABILITY: 'replicated', REDIS_APPENDFSYNC: 'always', PGPASSWORD: 'no' }),
    {
      DURABILITY: 'replicated',
      REDIS_APPENDFSYNC: 'always',
    },
  );
});
