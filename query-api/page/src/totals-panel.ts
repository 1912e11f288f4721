// The figures of the whole, each with its last minutes.

import type { Partition } from './api.js';
import { element, made } from './dom.js';
import { History } from './sparkline.js';
import { count, seconds } from './units.js';

export class TotalsPanel {
  readonly #lossBudgetMs: number;
  readonly #available = new History();
  readonly #busy = new History();
  readonly #loss = new History();
  #inView = '';

  constructor(lossBudgetMs: number) {
    this.#lossBudgetMs = lossBudgetMs;
  }

  /** As of the last look, for the next showing. */
  inView(drivers: number, truncated: boolean): void {
    this.#inView = `${count(drivers)}${truncated ? ' or more' : ''}`;
  }

  show(partitions: readonly Partition[]): void {
    const known = partitions.filter(({ drivers }) => drivers !== null);
    const sum = (name: 'available' | 'busy') =>
      known.length === 0 ? null : known.reduce((total, partition) => total + (partition[name] ?? 0), 0);
    const [available, busy] = [sum('available'), sum('busy')];
    const windows = known.map(({ loss_window_ms }) => loss_window_ms ?? 0);
    const worst = windows.length === 0 ? null : Math.max(...windows);
    this.#available.add(available);
    this.#busy.add(busy);
    this.#loss.add(worst);
    const unseen = partitions.length - known.length;
    const note = unseen > 0 ? 'as far as seen' : '';
    element('totals').replaceChildren(
      row(['Available', note], shownCount(available), this.#available.drawn(), 'available'),
      row(['Busy', note], shownCount(busy), this.#busy.drawn(), 'busy'),
      row(['In view', ''], this.#inView, null),
      this.#lossRow(worst, unseen),
    );
  }

  #lossRow(worst: number | null, unseen: number): HTMLElement {
    const budget = this.#lossBudgetMs;
    const note = `of ${seconds(budget)}${unseen > 0 ? `; ${unseen} unknown` : ''}`;
    const text = worst === null ? 'unknown' : seconds(worst);
    const shown = row(['Worst loss window', note], text, this.#loss.drawn(budget));
    if (worst === null || worst > budget) shown.querySelector('dd')?.classList.add('over');
    return shown;
  }
}

const shownCount = (value: number | null) => (value === null ? 'unknown' : count(value));

function row(
  [name, note]: [string, string],
  value: string,
  chart: SVGElement | null,
  className = '',
): HTMLElement {
  const row = made('div', '', className);
  const title = made('dt', name);
  if (note !== '') title.append(made('small', note));
  const figure = made('dd');
  figure.append(made('strong', value));
  row.append(title, figure);
  const last = made('dd', '', 'chart');
  if (chart) last.append(chart);
  row.append(last);
  return row;
}
