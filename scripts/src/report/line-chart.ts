// A chart of lines over time as SVG. Colours come from the page (classes line-0 ... line-5); each line also has a
// distinct dash, for paper. A null sample was not taken, or is not known: there the line has a gap, not 0.

import { type Markup, markup } from './markup.js';

export interface Line {
  name: string;
  /** The main line: thick and solid. */
  isStrong?: boolean;
  /** In order of time. */
  samples: readonly { atMs: number; value: number | null }[];
}

export interface Mark {
  atMs: number;
  label: string;
}

export interface LineChart {
  title: string;
  /** Appended to the numbers of the axis, as in `120 ms`. */
  unit: string;
  lines: readonly Line[];
  marks: readonly Mark[];
  fromMs: number;
  toMs: number;
  /** The 0 of the axis of time. */
  originMs: number;
  /** The time of day, below the axis. */
  clock?: (atMs: number) => string;
}

/** Drawn once for each size, since scaled-down text cannot be read; the page shows the one that fits. */
interface Size {
  name: 'wide' | 'narrow';
  width: number;
  height: number;
  left: number;
  right: number;
  /** About this many ticks of time. */
  ticks: number;
}

const SIZES: readonly Size[] = [
  { name: 'wide', width: 900, height: 230, left: 64, right: 24, ticks: 10 },
  { name: 'narrow', width: 380, height: 230, left: 52, right: 28, ticks: 4 },
];
const TOP = 62;
const BOTTOM = 26;
const CLOCK = 14;
const DASHES = ['7 3', '2 3', '10 3 2 3', '14 4', '4 2 1 2', '1 5'];
const MARK_ROWS = 4;

/** Round numbers from 0 to at least `greatest`, about `wanted` of them. */
export function ticksUpTo(greatest: number, wanted = 4): number[] {
  if (!(greatest > 0)) return [0, 1];
  const rough = greatest / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10) * power;
  const count = Math.ceil(greatest / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}

export function lineChart(chart: LineChart): Markup {
  return markup`<figure>
<figcaption><b>${chart.title}</b>${chart.lines.map(legendOf)}</figcaption>
${SIZES.map((size) => drawing(chart, size))}
</figure>`;
}

function drawing(chart: LineChart, size: Size): Markup {
  const values = chart.lines.flatMap(({ samples }) => samples.map(({ value }) => value ?? 0));
  const ticks = ticksUpTo(Math.max(0, ...values));
  const top = ticks.at(-1) ?? 1;
  const span = Math.max(1, chart.toMs - chart.fromMs);
  const height = size.height + (chart.clock ? CLOCK : 0);
  const floor = size.height - BOTTOM;
  const x = (atMs: number) =>
    size.left + ((size.width - size.left - size.right) * (atMs - chart.fromMs)) / span;
  const y = (value: number) => floor - ((floor - TOP) * value) / top;
  const marks = chart.marks.filter(({ atMs }) => atMs >= chart.fromMs && atMs <= chart.toMs);
  return markup`<svg class="${size.name}" viewBox="0 0 ${size.width} ${height}" role="img" aria-label="${chart.title}">
${ticks.map((tick) => valueTick(tick, chart.unit, y(tick), size))}
${secondsTicks(chart, size).map((tick) => timeTick(tick, x(tick.atMs), size, chart.clock))}
${marks.map((mark, i) => markLine(mark.label, x(mark.atMs), i, size))}
${chart.lines.map((line, i) => path(line, i, x, y))}
</svg>`;
}

function legendOf(line: Line, i: number): Markup {
  return markup` <span class="legend"><svg viewBox="0 0 28 8" width="28" height="8" aria-hidden="true"><path class="${lineClass(line, i)}" stroke-dasharray="${dashOf(line, i)}" d="M0 4H28"/></svg> ${line.name}</span>`;
}

const lineClass = ({ isStrong }: Line, i: number): string =>
  `line line-${i % DASHES.length}${isStrong ? ' strong' : ''}`;
const dashOf = ({ isStrong }: Line, i: number): string =>
  isStrong ? 'none' : (DASHES[i % DASHES.length] ?? 'none');
const place = (pixels: number): string => pixels.toFixed(1);

function valueTick(tick: number, unit: string, y: number, { left, right, width }: Size): Markup {
  const label = `${tick.toLocaleString('en-GB')}${unit && ` ${unit}`}`;
  return markup`<path class="grid" d="M${left} ${place(y)}H${width - right}"/><text class="tick" x="${left - 6}" y="${place(y + 4)}" text-anchor="end">${label}</text>`;
}

/** Whole seconds from the origin, both ways. */
function secondsTicks({ fromMs, toMs, originMs }: LineChart, { ticks }: Size): Mark[] {
  const stepS = ticksUpTo((toMs - fromMs) / 1000, ticks)[1] ?? 1;
  const marks: Mark[] = [];
  for (let i = Math.ceil((fromMs - originMs) / 1000 / stepS); originMs + i * stepS * 1000 <= toMs; i++) {
    const s = Number((i * stepS).toPrecision(12));
    marks.push({ atMs: originMs + s * 1000, label: `${s > 0 ? '+' : ''}${s} s` });
  }
  return marks;
}

function timeTick({ atMs, label }: Mark, x: number, { height }: Size, clock: LineChart['clock']): Markup {
  const text = (of: string, y: number) =>
    markup`<text class="tick" x="${place(x)}" y="${y}" text-anchor="middle">${of}</text>`;
  return markup`${text(label, height - 8)}${clock ? text(clock(atMs), height - 8 + CLOCK) : ''}`;
}

/** Labels alternate between rows, so that two close marks do not cover each other. */
function markLine(label: string, x: number, i: number, { width, height }: Size): Markup {
  const atRight = x > width * (width < 500 ? 0.5 : 0.75);
  const labelX = place(x + (atRight ? -4 : 4));
  const labelY = 11 + (i % MARK_ROWS) * 14;
  return markup`<path class="mark" d="M${place(x)} ${labelY - 9}V${height - BOTTOM}"/><text class="mark-label" x="${labelX}" y="${labelY}" text-anchor="${atRight ? 'end' : 'start'}">${label}</text>`;
}

function path(line: Line, i: number, x: (atMs: number) => number, y: (value: number) => number): Markup {
  let d = '';
  let drawing = false;
  for (const { atMs, value } of line.samples) {
    // A sample between two gaps is a dot: a line of no length with round ends.
    if (value !== null)
      d += `${drawing ? 'L' : 'M'}${place(x(atMs))} ${place(y(value))}${drawing ? '' : 'h0'}`;
    drawing = value !== null;
  }
  return markup`<path class="${lineClass(line, i)}" stroke-dasharray="${dashOf(line, i)}" d="${d || 'M0 0'}"/>`;
}
