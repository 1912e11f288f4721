// A small line of the values of earlier runs; the last one is marked.
import { type Markup, markup } from './markup.js';

const WIDTH = 110;
const HEIGHT = 26;
const EDGE = 4;

export interface Sparkline {
  /** In order of time; null: none, a gap. */
  values: readonly (number | null)[];
  /** A horizontal line; null: none. */
  usual: number | null;
  /** In words, for readers who cannot see it. */
  label: string;
  /** Of the dot at its end. */
  tone: 'pass' | 'warn' | 'fail' | 'quiet';
}

export function sparkline({ values, usual, label, tone }: Sparkline): Markup {
  const most = Math.max(1, usual ?? 0, ...values.map((value) => value ?? 0));
  const step = (WIDTH - 2 * EDGE) / Math.max(1, values.length - 1);
  const x = (i: number) => (WIDTH - EDGE - (values.length - 1 - i) * step).toFixed(1);
  const y = (value: number) => (HEIGHT - EDGE - ((HEIGHT - 2 * EDGE) * value) / most).toFixed(1);
  let d = '';
  let drawing = false;
  for (const [i, value] of values.entries()) {
    if (value !== null) d += `${drawing ? 'L' : 'M'}${x(i)} ${y(value)}`;
    drawing = value !== null;
  }
  const last = values.at(-1) ?? null;
  const dot =
    last === null ? '' : markup`<circle class="${tone}" cx="${x(values.length - 1)}" cy="${y(last)}" r="3"/>`;
  const across = usual === null ? '' : markup`<path class="usual" d="M0 ${y(usual)}H${WIDTH}"/>`;
  return markup`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${label}">${across}<path class="trail" d="${d || 'M0 0'}"/>${dot}</svg>`;
}
