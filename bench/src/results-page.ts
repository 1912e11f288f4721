// All results as one page: no script, no remote asset, drawn from the files of results alone.
import { Markup, markup } from '@whereabouts/scripts/report/markup';
import { REPORT_STYLE } from '@whereabouts/scripts/report/report-style';
import type { BarChart, Judged, Table } from './bench.js';
import { type BenchResult, FIGURE_HEADS, figureCells, shown } from './results.js';

const STYLE = `${REPORT_STYLE}
body { max-width: 72rem }
.bar { fill: var(--line-0) } .bar.fail { fill: var(--fail) } .bar.pass { fill: var(--pass) } .goal { stroke: var(--mark); stroke-width: 2 }
svg .label { fill: var(--text) }`;

const WIDTH = 1040;
const LABEL_WIDTH = 560;
const ROW = 24;
const VALUE_WIDTH = 110;

export function resultsPage(results: readonly BenchResult[]): string {
  const figures = results.flatMap((result) => result.figures);
  const page = markup`<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>Whereabouts: measured</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<h1>Whereabouts: measured</h1>
<p>Ratios are to a baseline of the same run. Times are of one shared machine: trust the ratios.</p>
<h2>Figures with a goal</h2>
${figureTable(figures.filter(({ goal }) => goal !== null))}
${goalChart(figures)}
${results.map(section)}
</body>
</html>
`;
  return `<!doctype html>\n${page.text}`;
}

function section(result: BenchResult): Markup {
  const { bench, about, workload, startedAt, durationS, facts, figures, tables, charts, notes } = result;
  const versions = Object.entries({ ...facts.versions, ...facts.settings });
  return markup`<h2>${bench}: ${about}</h2>
<p>${workload}</p>
<p class="quiet">${startedAt}, ${Math.round(durationS)} s; ${facts.machine}; commit ${facts.commit}; ${versions.map(([name, value]) => `${name} ${value}`).join(', ')}</p>
${figureTable(figures)}
${(tables ?? []).map(plainTable)}
${(charts ?? []).map(barChart)}
${notes?.length ? markup`<ul>${notes.map((note) => markup`<li>${note}</li>`)}</ul>` : ''}`;
}

function figureTable(figures: readonly Judged[]): Markup | string {
  if (figures.length === 0) return '';
  const rows = figures.map((figure) => {
    const verdict = figure.met === null ? '' : figure.met ? 'pass' : 'fail';
    const [name = '', ...cells] = figureCells(figure);
    const last = cells.pop() ?? '';
    return markup`<tr><th scope="row">${name}</th>${cells.map((cell) => markup`<td>${cell}</td>`)}<td class="${verdict}">${last}</td></tr>`;
  });
  return markup`<div class="scroll"><table><thead><tr>${FIGURE_HEADS.map(headOf)}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

const headOf = (text: string): Markup => markup`<th scope="col">${text}</th>`;

function plainTable({ title, heads, rows }: Table): Markup {
  const body = rows.map(
    (row) =>
      markup`<tr>${row.map((cell) => markup`<td>${typeof cell === 'number' ? shown(cell) : cell}</td>`)}</tr>`,
  );
  return markup`<figure><figcaption><b>${title}</b></figcaption><div class="scroll"><table><thead><tr>${heads.map(headOf)}</tr></thead><tbody>${body}</tbody></table></div></figure>`;
}

function barRow(name: string, value: number, greatest: number, i: number, text: string, kind = ''): Markup {
  const room = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
  const width = Math.max(1, (room * value) / greatest);
  const y = i * ROW;
  return markup`<text class="label" x="${LABEL_WIDTH - 8}" y="${y + 15}" text-anchor="end">${name}</text><rect class="bar ${kind}" x="${LABEL_WIDTH}" y="${y + 4}" width="${width.toFixed(1)}" height="${ROW - 9}"/><text x="${(LABEL_WIDTH + width + 6).toFixed(1)}" y="${y + 15}">${text}</text>`;
}

function barChart({ title, unit, bars }: BarChart): Markup {
  const greatest = Math.max(...bars.map(({ value }) => value), 1e-9);
  const rows = bars.map(({ name, value }, i) =>
    barRow(name, value, greatest, i, `${shown(value)} ${unit}`.trimEnd()),
  );
  return markup`<figure><figcaption><b>${title}</b></figcaption><svg viewBox="0 0 ${WIDTH} ${bars.length * ROW + 4}" role="img" aria-label="${title}">${rows}</svg></figure>`;
}

/** How far each figure is from its goal, so that figures of any unit are comparable: up to the line the goal is met. */
function goalChart(figures: readonly Judged[]): Markup | string {
  const bars = figures.flatMap((figure) => {
    const { name, goal, ratio, value, met } = figure;
    if (goal === null) return [];
    const judged = ratio ?? value;
    const part = 'atMost' in goal ? judged / goal.atMost : goal.atLeast / judged;
    // If nothing is allowed there is no share.
    return [{ name, part: Number.isFinite(part) ? part : met ? 0 : Number.POSITIVE_INFINITY, met }];
  });
  if (bars.length === 0) return '';
  const greatest = Math.max(1, ...bars.map(({ part }) => Math.min(part, 4)));
  const lineX = LABEL_WIDTH + (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / greatest;
  const title = 'Share of what the goal allows (the line; beyond it is not met)';
  const rows = bars.map(({ name, part, met }, i) =>
    barRow(
      name,
      Math.min(part, greatest),
      greatest,
      i,
      part === Number.POSITIVE_INFINITY ? 'none is allowed' : `${shown(100 * part)} %`,
      met ? 'pass' : 'fail',
    ),
  );
  const height = bars.length * ROW + 4;
  return markup`<figure><figcaption><b>${title}</b></figcaption><svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${title}">${rows}<path class="goal" d="M${lineX.toFixed(1)} 0V${height}"/></svg></figure>`;
}
