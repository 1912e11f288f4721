// The live line: the rate of positions, the delay of acknowledgements, how much would be lost now, and how much work
// the archive is spared. Differences between two looks at the services' /metrics.
import { figureText as shown } from '../terminal.js';
import {
  growth,
  LOOKS_OF_A_RATE,
  largest,
  orNull,
  p99Ms,
  type Sample,
  SHOWN,
  scrape,
  total,
} from './scrape.js';

export interface StatusFigures {
  positions_per_s: number | null;
  ack_p99_ms: number | null;
  /** Age of the oldest position that is not in the archive yet. */
  unflushed_s: number | null;
  drivers_connected: number | null;
  rows_written: number | null;
  /** The part of the positions that never became a row, since a newer one came before the flush. */
  writes_saved: number | null;
}

const FLUSHED = 'whereabouts_flusher_positions_accepted_total';

interface Look {
  atMs: number;
  ingest: Sample[];
  flusher: Sample[];
}

/** As much as there is room for; words are dropped before figures. */
export function statusText(f: StatusFigures, columns: number): string {
  const saved = shown(f.writes_saved === null ? null : f.writes_saved * 100, 0, ' %');
  const figures = [
    `${shown(f.drivers_connected)} drivers`,
    `${shown(f.positions_per_s)} positions/s`,
    `p99 ${shown(f.ack_p99_ms, 0, ' ms')}`,
    `unflushed ${shown(f.unflushed_s, 1, ' s')}`,
    `${shown(f.rows_written)} rows`,
    `${saved} saved`,
  ];
  const full = figures
    .join('   ')
    .replace('p99', 'acknowledged p99')
    .replace('rows', 'rows written')
    .replace(' saved', ' of writes saved');
  return full.length < columns ? full : figures.join('  ').replace('positions/s', 'pos/s');
}

export class StatusWatch {
  readonly #ops: { ingest: string; flusher: string };
  #looks: Look[] = [];
  /** Since we began to look. */
  #rows = 0;
  #flushed = 0;

  constructor(ops: { ingest: string; flusher: string }) {
    this.#ops = ops;
  }

  /** Null at the first look: there is nothing to compare with. */
  async look(): Promise<StatusFigures | null> {
    const [ingest, flusher] = await Promise.all([scrape(this.#ops.ingest), scrape(this.#ops.flusher)]);
    const look = { atMs: performance.now(), ingest, flusher };
    const last = this.#looks.at(-1);
    const oldest = this.#looks[0];
    this.#looks.push(look);
    if (this.#looks.length > LOOKS_OF_A_RATE) this.#looks.shift();
    if (last === undefined || oldest === undefined) return null;
    this.#rows += growth(last.flusher, flusher, SHOWN.rows) ?? 0;
    this.#flushed += growth(last.flusher, flusher, FLUSHED) ?? 0;
    return this.#figures(oldest, look);
  }

  #figures(before: Look, after: Look): StatusFigures {
    const accepted = growth(before.ingest, after.ingest, SHOWN.accepted);
    return {
      positions_per_s: accepted === null ? null : accepted / ((after.atMs - before.atMs) / 1000),
      ack_p99_ms: p99Ms(before.ingest, after.ingest, SHOWN.ackLatency),
      unflushed_s: orNull(largest(after.flusher, SHOWN.lossWindow)),
      drivers_connected: orNull(total(after.ingest, SHOWN.connections)),
      rows_written: this.#rows,
      writes_saved: this.#flushed === 0 ? null : Math.max(0, 1 - this.#rows / this.#flushed),
    };
  }
}
