// The last minutes of a figure, as a line.

import { drawn } from './dom.js';

const POINTS = 90;
const WIDTH = 84;
const HEIGHT = 24;

/** Null: it was not known then, and the line has a gap. */
export class History {
  readonly #values: (number | null)[] = [];

  add(value: number | null): void {
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
  }

  /** `limit` is drawn as a separate line. */
  drawn(limit: number | null = null): SVGElement {
    const known = this.#values.filter((value) => value !== null);
    const most = Math.max(limit ?? 0, 1, ...known) * 1.08;
    const least = limit === null ? Math.min(...known, most) * 0.92 : 0;
    const y = (value: number) => HEIGHT - ((value - least) / (most - least)) * HEIGHT;
    const x = (i: number) => ((i + POINTS - this.#values.length) / (POINTS - 1)) * WIDTH;
    const chart = drawn('svg', { class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, 'aria-hidden': 'true' });
    for (const stretch of this.#stretches()) {
      const points = stretch.map(([i, value]) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`);
      chart.append(drawn('polyline', { points: points.join(' ') }));
    }
    if (limit !== null) chart.append(drawn('line', { x1: 0, x2: WIDTH, y1: y(limit), y2: y(limit) }));
    return chart;
  }

  #stretches(): [number, number][][] {
    const stretches: [number, number][][] = [[]];
    this.#values.forEach((value, i) => {
      if (value === null) stretches.push([]);
      else stretches.at(-1)?.push([i, value]);
    });
    return stretches.filter(({ length }) => length > 1);
  }
}
