import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { allHistories, forgetOldReports, historyOf, KEPT_REPORTS, readReports, usualOf } from './history.js';
import { historyText, sparkText } from './history-text.js';
import type { DrillReport } from './report.js';
import { none, within } from './verdicts.js';

const dir = mkdtempSync(join(tmpdir(), 'whereabouts-history-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const at = (day: number) => new Date(Date.UTC(2030, 0, day)).toISOString();
const report = (day: number, darkMs: number | null, changes: Partial<DrillReport> = {}): DrillReport =>
  ({
    format: 3,
    drill: 'kill',
    startedAt: at(day),
    passed: darkMs !== null && darkMs <= 500,
    stack: { promoter: true },
    promises: [within('time dark', darkMs, 500), none('lost', 0)],
    ...changes,
  }) as unknown as DrillReport;

const dark = (...values: (number | null)[]) =>
  historyOf(values.map((value, i) => report(i + 1, value)))?.promises[0];

test('a run is worse above what is usual of those before it, which takes three of them', () => {
  assert.equal(dark(200, 210, 490)?.standing, 'new');
  assert.equal(dark(200, 210, 190, 215)?.standing, 'usual');
  assert.equal(dark(200, 210, 190, 400)?.standing, 'worse');
  assert.equal(dark(200, 210, 190, 501)?.standing, 'broken');
  assert.equal(dark(200, 210, 190, null)?.standing, 'broken', 'it never came');
});

test('a machine that is noisy has a wide usual, and tiny steps are never worse', () => {
  assert.equal(dark(100, 300, 200, 400, 450)?.standing, 'usual');
  assert.equal(dark(10, 10, 10, 10, 29)?.standing, 'usual');
  assert.equal(dark(10, 10, 10, 10, 31)?.standing, 'worse');
  assert.equal(dark(300, 300, 300, 329)?.standing, 'usual');
  assert.equal(dark(300, 300, 300, 331)?.standing, 'worse');
});

test('one bad run among many does not make the next bad ones usual', () => {
  assert.equal(dark(200, 200, 210, 190, 480, 200, 400)?.standing, 'worse');
  assert.deepEqual(usualOf([1, 2], 'ms'), null);
  assert.equal(usualOf([...Array(30).fill(5), ...Array(20).fill(100)], 'ms')?.median, 100, 'of the last 20');
});

test('reports are read in order of time, damaged ones passed over, drills told apart', () => {
  const reports = join(dir, 'read');
  mkdirSync(reports);
  const write = (name: string, text: string) => writeFileSync(join(reports, name), text);
  write('b.json', JSON.stringify(report(1, 200)));
  write('a.json', JSON.stringify(report(2, 300)));
  write('c.json', JSON.stringify(report(3, 900, { stack: { promoter: false } as DrillReport['stack'] })));
  write('d.json', JSON.stringify(report(4, 100, { drill: 'freeze' })));
  write('e.json', '{"format":3,"dr');
  write('f.json', JSON.stringify({ format: 2 }));
  const read = readReports(reports);
  assert.deepEqual(
    read.map(({ startedAt }) => startedAt),
    [at(1), at(2), at(3), at(4)],
  );
  const told = allHistories(read).map(({ drill, promoter, runs }) => [drill, promoter, runs.length]);
  assert.deepEqual(told, [
    ['kill', true, 2],
    ['kill', false, 1],
    ['freeze', true, 1],
  ]);
  assert.deepEqual(
    allHistories(read, 'freeze').map(({ drill }) => drill),
    ['freeze'],
  );
  assert.deepEqual(readReports(join(dir, 'none')), []);
});

test('the oldest reports of a drill go, with their pages; those of another stay', () => {
  const reports = join(dir, 'bound');
  mkdirSync(reports);
  const names = Array.from({ length: KEPT_REPORTS + 2 }, (_, i) => at(i + 1).replaceAll(':', '-'));
  for (const name of names) {
    for (const end of ['json', 'html']) writeFileSync(join(reports, `kill-${name}.${end}`), '');
  }
  writeFileSync(join(reports, `kill-behind-${names[0]}.json`), '');
  forgetOldReports(reports, 'kill');
  const left = readdirSync(reports);
  assert.equal(left.length, 2 * KEPT_REPORTS + 1);
  assert.ok(left.includes(`kill-behind-${names[0]}.json`));
  assert.equal(left.includes(`kill-${names[1]}.html`), false);
});

test('in the terminal: a line for each promise, with its runs as blocks', () => {
  const history = historyOf([200, 210, 190, 400].map((value, i) => report(i + 1, value)));
  assert.ok(history);
  const lines = historyText(history, null).split('\n');
  assert.match(lines[0] ?? '', /^kill: 4 runs, 0 failed; the last at .* passed$/);
  assert.match(lines[2] ?? '', /^time dark\s+400 ms\s+200 ms\s+▅▅▄█\s+WORSE$/);
  assert.match(lines[3] ?? '', /^lost\s+0\s+0\s+▁▁▁▁\s+as usual$/);
  const never = { startedAt: at(1), passed: false, value: null };
  assert.equal(sparkText([never, { ...never, passed: true }]), '×·');
  for (const line of historyText(history, 60).split('\n').slice(1)) assert.ok(line.length <= 60);
});
