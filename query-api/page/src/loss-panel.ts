// Each partition's loss window against its budget: what would be lost if the partition's cache were lost now.

import type { Partition } from './api.js';
import type { Cities } from './cities.js';
import { drawn, element, made, setText } from './dom.js';
import { centreOf, END, FIRST } from './geohash.js';
import { count, seconds } from './units.js';

const WIDTH = 320;
const HEIGHT = 64;
/** The budget's line is drawn here; a higher bar is over budget. */
const BUDGET_Y = 16;

export class LossPanel {
  readonly #lossBudgetMs: number;
  readonly #cities: Cities;
  #near: string[] = [];

  constructor(lossBudgetMs: number, cities: Cities) {
    this.#lossBudgetMs = lossBudgetMs;
    this.#cities = cities;
  }

  show(partitions: readonly Partition[]): void {
    const budget = this.#lossBudgetMs;
    const over = partitions.filter(({ loss_window_ms }) => (loss_window_ms ?? 0) > budget).length;
    const unknown = partitions.filter(({ loss_window_ms }) => loss_window_ms === null).length;
    const verdict = over === 0 && unknown === 0 ? 'all within it' : `${over} over it, ${unknown} unknown`;
    setText(
      element('loss-hint'),
      `Age of the oldest position that is not archived. The line is the budget, ${seconds(budget)}: ${verdict}.`,
    );
    this.#drawBars(partitions);
    if (element<HTMLDetailsElement>('loss-details').open) this.#listAll(partitions);
  }

  #drawBars(partitions: readonly Partition[]): void {
    const step = WIDTH / Math.max(1, partitions.length);
    const bars = partitions.map(({ loss_window_ms }, i) => {
      const place = { x: i * step + step * 0.12, width: step * 0.76 };
      if (loss_window_ms === null)
        return drawn('rect', { ...place, y: 1, height: HEIGHT - 1, class: 'unknown' });
      const share = Math.min(loss_window_ms / this.#lossBudgetMs, HEIGHT / (HEIGHT - BUDGET_Y));
      const height = Math.max(1, share * (HEIGHT - BUDGET_Y));
      const className = loss_window_ms > this.#lossBudgetMs ? 'bar over' : 'bar';
      return drawn('rect', { ...place, y: HEIGHT - height, height, class: className });
    });
    const line = drawn('line', { x1: 0, x2: WIDTH, y1: BUDGET_Y, y2: BUDGET_Y });
    element('loss-bars').replaceChildren(...bars, line);
  }

  /** The worst first. */
  #listAll(partitions: readonly Partition[]): void {
    if (this.#near.length !== partitions.length) this.#near = partitions.map((each) => this.#nearOf(each));
    const order = (window: number | null) => window ?? Number.POSITIVE_INFINITY;
    const worstFirst = [...partitions].sort((a, b) => order(b.loss_window_ms) - order(a.loss_window_ms));
    const rows = worstFirst.map(({ partition, drivers, loss_window_ms, node }) => {
      const row = made('tr');
      const name = made('th', String(partition));
      name.scope = 'row';
      name.title = node ?? '';
      const window = made('td', loss_window_ms === null ? 'unknown' : seconds(loss_window_ms));
      if (loss_window_ms === null || loss_window_ms > this.#lossBudgetMs) window.className = 'over';
      row.append(
        name,
        made('td', this.#near[partition] ?? ''),
        made('td', drivers === null ? 'unknown' : count(drivers)),
        window,
      );
      return row;
    });
    element('loss-rows').replaceChildren(...rows);
  }

  #nearOf({ from, to }: Partition): string {
    const border = from === FIRST ? to : from;
    return border === END ? '' : (this.#cities.near(centreOf(border))?.name ?? '');
  }
}
