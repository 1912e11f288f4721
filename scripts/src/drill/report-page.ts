// A drill's report as one page that can be attached to a ticket: no script, no remote asset, drawn from the report
// alone. All times on it count from the fault, and it says so.

import { lineChart } from '../report/line-chart.js';
import { Markup, markup } from '../report/markup.js';
import { REPORT_STYLE } from '../report/report-style.js';
import type { RunFacts } from '../report/run-facts.js';
import {
  type DrillEvent,
  type DrillReport,
  type LossAudit,
  lostText,
  type PromiseVerdict,
  type RegionReport,
} from './report.js';
import { timeline } from './report-timeline.js';

export type PageReport = DrillReport & { facts?: RunFacts };

export function reportPage(report: PageReport): string {
  const verdict = report.passed ? 'passed' : 'failed';
  const page = markup`<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>Drill ${report.drill}: ${verdict}</title>
<style>${new Markup(REPORT_STYLE)}</style>
</head>
<body>
${verdictOf(report)}
<h2>Promises</h2>
${table(['promise', 'measured', 'budget', ''], report.promises.map(promiseRow))}
<h2>Timeline</h2>
${timeline(report).map(lineChart)}
<h2>Regions</h2>
${table(['region', 'drivers', 'dark until', 'all found after', 'ack p99 before, during', 'failed writes', 'answers: failed, incomplete, a driver missing', 'nacks'], report.regions.map(regionRow))}
<h2>Acknowledged positions lost</h2>
${auditOf(report.audit)}
<h2>What happened</h2>
${table(['from the fault', '', ''], report.events.map(eventRow))}
${notesOf(report.notes)}
<h2>Facts</h2>
${factList(factsOf(report))}
</body>
</html>
`;
  return `<!doctype html>\n${page.text}`;
}

function verdictOf(report: DrillReport): Markup {
  const verdict = report.passed ? 'pass' : 'fail';
  const broken = report.promises.filter(({ passed }) => !passed).length;
  const kept = report.passed
    ? `${report.promises.length} promises kept`
    : `${broken} of ${report.promises.length} promises broken`;
  return markup`<header class="verdict ${verdict}">
<h1>Drill: ${report.drill}</h1>
<strong>${verdict.toUpperCase()}</strong> ${kept}
<p>${report.about}</p>
<p class="quiet">${report.startedAt}, ${seconds(report.toMs - report.fromMs)}. All times count from the fault.${lasts(report.faultLastsMs)}</p>
</header>`;
}

function promiseRow({ promise, passed, measured, budget, detail }: PromiseVerdict): Markup {
  const verdict = passed ? 'pass' : 'fail';
  const more = detail ? markup`<small>${detail}</small>` : '';
  return markup`<tr><th scope="row">${promise}</th><td>${measured}${more}</td><td>${budget}</td><td class="${verdict}">${verdict}</td></tr>`;
}

function regionRow(region: RegionReport): Markup {
  const ranges = region.ranges.map(({ from, to }) => `${from} to ${to}`).join(', ');
  const nacks = Object.entries(region.nacks).map(([code, count]) => `${code} ${count}`);
  const { answers } = region;
  const hit = region.affected ? markup` <b class="fail">hit</b>` : '';
  return markup`<tr><th scope="row">${region.node}${hit}<small>${region.partitions} partitions: ${ranges}</small></th>
<td>${region.drivers}</td><td>${region.affected ? duration(region.darkMs, 'to the end') : 'not hit'}</td><td>${region.affected ? duration(region.healedMs, 'never') : 'not hit'}</td>
<td>${duration(region.ackP99BeforeMs)}, ${duration(region.ackP99DuringMs)}</td>
<td>${region.failedWrites}</td><td>${answers.failed}, ${answers.incomplete}, ${answers.lacking}</td><td>${nacks.join(', ') || 'none'}</td></tr>`;
}

function eventRow({ atMs, kind, text }: DrillEvent): Markup {
  return markup`<tr><td class="time">${fromFault(atMs)}</td><td>${kind}</td><td>${text}</td></tr>`;
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

function table(heads: readonly string[], rows: readonly Markup[]): Markup {
  if (rows.length === 0) return markup`<p>None.</p>`;
  const head = heads.map((text) => markup`<th scope="col">${text}</th>`);
  return markup`<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

const duration = (ms: number | null, otherwise = 'none'): string =>
  ms === null ? otherwise : milliseconds(ms);
const milliseconds = (ms: number): string => (Math.abs(ms) < 10_000 ? `${Math.round(ms)} ms` : seconds(ms));
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const lasts = (ms: number): string => (ms === 0 ? '' : ` The fault lasted ${milliseconds(ms)}.`);
const fromFault = (ms: number): string => (ms < 0 ? '\u2212' : '+') + milliseconds(Math.abs(ms));
