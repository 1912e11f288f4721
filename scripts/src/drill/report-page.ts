// A drill's report as one page that can be attached to a ticket: no script, no remote asset, drawn from the report and
// those of earlier runs. Times count from the fault, as the page says; the time of day is shown beside them.

import { lineChart } from '../report/line-chart.js';
import { type Filling, Markup, markup } from '../report/markup.js';
import { REPORT_STYLE } from '../report/report-style.js';
import type { RunFacts } from '../report/run-facts.js';
import { sparkline } from '../report/sparkline.js';
import { dayAndTime, timeOfDay, zoneName } from '../report/wall-clock.js';
import {
  COMPARED_RUNS,
  type DrillHistory,
  HOW_JUDGED,
  type PromiseHistory,
  type Standing,
} from './history.js';
import {
  type DrillEvent,
  type DrillReport,
  faultAtMs,
  type LossAudit,
  lostText,
  type PromiseVerdict,
  type RegionReport,
} from './report.js';
import { timeline } from './report-timeline.js';

export type PageReport = DrillReport & { facts?: RunFacts };

/** Text for a cell, or text with a class. */
type Cell = Filling | { of: Filling; class: string };

/** `history`: of this drill, this run included; null: there is none. */
export function reportPage(report: PageReport, history: DrillHistory | null): string {
  const verdict = report.passed ? 'passed' : 'failed';
  const past = history !== null && history.runs.length > 1 ? history : null;
  const page = markup`<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>Drill ${report.drill}: ${verdict}</title>
<style>${new Markup(REPORT_STYLE)}</style>
</head>
<body>
${verdictOf(report, past)}
<h2>Promises</h2>
${promisesOf(report, past)}
<h2>Timeline</h2>
${timeline(report).map(lineChart)}
<h2>Regions</h2>
${table('regions', ['region', 'drivers', 'dark until', 'all found after', 'ack p99 before, during', 'failed writes', 'answers: failed, incomplete, a driver missing', 'nacks'], report.regions.map(regionRow))}
<h2>Acknowledged positions lost</h2>
${auditOf(report.audit)}
<h2>What happened</h2>
${table(
  'events',
  ['from the fault', 'time of day', '', ''],
  report.events.map((event) => eventRow(event, faultAtMs(report))),
)}
${notesOf(report.notes)}
<h2>Facts</h2>
${factList(factsOf(report))}
</body>
</html>
`;
  return `<!doctype html>\n${page.text}`;
}

function verdictOf(report: DrillReport, past: DrillHistory | null): Markup {
  const verdict = report.passed ? 'pass' : 'fail';
  const broken = report.promises.filter(({ passed }) => !passed).length;
  const worse = past?.promises.filter(({ standing }) => standing === 'worse').length ?? 0;
  const kept = report.passed
    ? `${report.promises.length} promises kept`
    : `${broken} of ${report.promises.length} promises broken`;
  const faultMs = faultAtMs(report);
  const zone = zoneName();
  return markup`<header class="verdict ${verdict}">
<h1>Drill: ${report.drill}</h1>
<strong>${verdict.toUpperCase()}</strong> ${kept}${worse === 0 ? '' : markup`, <b class="warn">${worse} worse than in the runs before</b>`}
<p>${report.about}</p>
<p class="quiet">The fault was on ${dayAndTime(faultMs)}; it was watched for ${seconds(report.toMs - report.fromMs)}. All times count from the fault.${lasts(report.faultLastsMs)} Times of day are ${zone === 'UTC' ? 'UTC' : `those of ${zone}, with UTC on hover`}.</p>
</header>`;
}

const TONE = { usual: 'pass', worse: 'warn', broken: 'fail', new: 'quiet' } as const;

function promisesOf(report: DrillReport, past: DrillHistory | null): Markup {
  const heads = ['promise', 'measured', 'budget', ...(past === null ? [] : ['runs on this machine']), ''];
  const rows = report.promises.map((verdict) => {
    const history = past?.promises.find(({ promise }) => promise === verdict.promise);
    return promiseRow(
      verdict,
      past === null ? [] : [{ of: history === undefined ? '' : pastOf(history), class: 'past' }],
    );
  });
  const note = past === null ? '' : markup`<p class="quiet">${HOW_JUDGED}</p>`;
  return markup`${table('promises', heads, rows)}${note}`;
}

function promiseRow({ promise, passed, measured, budget, detail }: PromiseVerdict, past: Cell[]): Cell[] {
  const verdict = passed ? 'pass' : 'fail';
  const more = detail ? markup`<small>${detail}</small>` : '';
  return [promise, markup`${measured}${more}`, budget, ...past, { of: verdict, class: verdict }];
}

/** For a promise that is no number: how often it was kept. */
function pastOf({ runs, unit, median, standing }: PromiseHistory): Markup {
  const shown = runs.slice(-COMPARED_RUNS - 1);
  const kept = shown.filter(({ passed }) => passed).length;
  if (unit === null) return markup`<small>kept in ${kept} of ${shown.length}</small>`;
  const known = shown.flatMap(({ value }) => value ?? []);
  if (known.every((value) => value === 0)) return markup`<small>0 in each of ${known.length}</small>`;
  const valueText = (value: number) => (unit === 'ms' ? milliseconds(value) : String(value));
  const values = shown.map(({ value }) => value);
  const said = values.map((value) => (value === null ? 'never' : valueText(value))).join(', ');
  const label = `${shown.length} runs: ${said}`;
  const usual = median === null ? '' : markup`<small class="time">median before ${valueText(median)}</small>`;
  return markup`${sparkline({ values, usual: median, label, tone: TONE[standing] })}${standingNote(standing)}${usual}`;
}

const standingNote = (standing: Standing): Markup | string =>
  standing === 'worse' ? markup`<b class="warn">worse than before</b>` : '';

function regionRow(region: RegionReport): Cell[] {
  const ranges = region.ranges.map(({ from, to }) => `${from} to ${to}`).join(', ');
  const nacks = Object.entries(region.nacks).map(([code, count]) => `${code} ${count}`);
  const { answers } = region;
  const hit = region.affected ? markup` <b class="fail">hit</b>` : '';
  return [
    markup`${region.node}${hit}<small>${region.partitions} partitions: ${ranges}</small>`,
    region.drivers,
    { of: region.affected ? duration(region.darkMs, 'to the end') : 'not hit', class: 'time' },
    { of: region.affected ? duration(region.healedMs, 'never') : 'not hit', class: 'time' },
    `${duration(region.ackP99BeforeMs)}, ${duration(region.ackP99DuringMs)}`,
    region.failedWrites,
    `${answers.failed}, ${answers.incomplete}, ${answers.lacking}`,
    nacks.join(', ') || 'none',
  ];
}

function eventRow({ atMs, kind, text }: DrillEvent, zeroMs: number): Cell[] {
  return [{ of: fromFault(atMs), class: 'time' }, timeOfDay(zeroMs + atMs), kind, text];
}

function auditOf(audit: LossAudit | null): Markup {
  if (audit === null) return markup`<p>Not audited: this drill kills no master.</p>`;
  return factList({
    'seen from outside': audit.lost === null ? 'not measured' : lostText(audit.lost),
    "counted by the drill's ingest": audit.counted,
    'at most allowed': audit.allowed ?? 'all that was not flushed',
    'how the truth was taken': audit.how,
  });
}

function notesOf(notes: readonly string[]): Markup | string {
  if (notes.length === 0) return '';
  return markup`<h2>Notes</h2><ul>${notes.map((note) => markup`<li>${note}</li>`)}</ul>`;
}

function factsOf({ stack, load, facts }: PageReport): Record<string, string | number> {
  return {
    ...(facts && { machine: facts.machine, commit: facts.commit, ...facts.versions, ...facts.settings }),
    stack: `${stack.masters} masters, replicas of each: ${stack.replicas}, ${stack.partitions} partitions, ${stack.own ? 'started for this drill' : 'found running'}`,
    promoter: stack.promoter ? 'running' : 'none',
    durability: stack.durability,
    load: `${load.drivers} drivers, a report every ${load.reportIntervalMs} ms`,
    reports: `${load.acknowledged} acknowledged, ${load.nacked} refused`,
    questions: load.questions,
  };
}

function factList(facts: Record<string, string | number>): Markup {
  const rows = Object.entries(facts).map(([name, value]) => markup`<dt>${name}</dt><dd>${value}</dd>`);
  return markup`<dl>${rows}</dl>`;
}

/** Its heads are repeated in each cell for narrow screens. */
function table(name: string, heads: readonly string[], rows: readonly Cell[][]): Markup {
  if (rows.length === 0) return markup`<p>None.</p>`;
  const head = heads.map((text) => markup`<th scope="col">${text}</th>`);
  return markup`<div class="scroll"><table class="cards ${name}"><thead><tr>${head}</tr></thead><tbody>${rows.map((cells) => tableRow(cells, heads))}</tbody></table></div>`;
}

function tableRow(cells: readonly Cell[], heads: readonly string[]): Markup {
  const filled = cells.map((cell, i) => {
    const isClassed = typeof cell === 'object' && 'of' in cell;
    const of = isClassed ? cell.of : cell;
    const classed = isClassed ? markup` class="${cell.class}"` : '';
    if (i === 0) return markup`<th scope="row"${classed}>${of}</th>`;
    const head = heads[i] ? markup` data-head="${heads[i]}"` : '';
    return markup`<td${classed}${head}>${of}</td>`;
  });
  return markup`<tr>${filled}</tr>\n`;
}

const duration = (ms: number | null, otherwise = 'none'): string =>
  ms === null ? otherwise : milliseconds(ms);
const milliseconds = (ms: number): string => (Math.abs(ms) < 10_000 ? `${Math.round(ms)} ms` : seconds(ms));
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const lasts = (ms: number): string => (ms === 0 ? '' : ` The fault lasted ${milliseconds(ms)}.`);
const fromFault = (ms: number): string => (ms < 0 ? '\u2212' : '+') + milliseconds(Math.abs(ms));
