// If Postgres refuses rows: decides whether the rows are wrong, or the table.
//
//   few among many                 the rows: they are noted, and the others are written
//   more than `mayRefuse` of one   the table: nothing is noted, no watermark moves
//   batch
//   within a minute more than 10   the table too: a wrong constraint that affects a few rows in each batch
//   drivers, and 5 % of all rows
//   all, and nothing was taken     the table: nothing proves that any row would be taken
//   since the first refusal
//
// Memory: the seconds of a minute, and MAX_DRIVERS ids.

const FEW = 10;
const SHARE = 0.05;
/** To find so many among 5,000 rows takes about 430 small transactions. */
const MOST = 25;
const WINDOW_MS = 60_000;
const MAX_DRIVERS = 1_000;

/** How many rows of a batch may be refused. */
export const mayRefuse = (rows: number): number => Math.min(MOST, Math.max(FEW, Math.floor(SHARE * rows)));

interface Second {
  atMs: number;
  rows: number;
  refused: number;
}

export class RefusalJudge {
  /** Since the first refusal of the last minute; empty while there was none. */
  #seconds: Second[] = [];
  /** Refused drivers, by when they last were; the oldest first. */
  readonly #drivers = new Map<string, number>();

  /** Of a whole batch, before it is noted: whether the tables must be wrong. */
  areTablesWrong(refused: readonly string[], rows: number, nowMs: number): boolean {
    if (refused.length === 0) return false;
    if (refused.length > mayRefuse(rows)) return true;
    this.#forget(nowMs);
    const sum = (of: (second: Second) => number) =>
      this.#seconds.reduce((all, second) => all + of(second), 0);
    const allRows = rows + sum((second) => second.rows);
    const allRefused = refused.length + sum((second) => second.refused);
    if (allRefused === allRows) return true;
    const drivers = this.#drivers.size + refused.filter((id) => !this.#drivers.has(id)).length;
    return drivers > FEW && allRefused > SHARE * allRows;
  }

  note(refused: readonly string[], rows: number, nowMs: number): void {
    this.#forget(nowMs);
    if (refused.length === 0 && this.#seconds.length === 0) return;
    const last = this.#seconds.at(-1);
    if (last !== undefined && nowMs - last.atMs < 1_000) {
      last.rows += rows;
      last.refused += refused.length;
    } else {
      this.#seconds.push({ atMs: nowMs, rows, refused: refused.length });
    }
    for (const id of refused) {
      this.#drivers.delete(id);
      if (this.#drivers.size < MAX_DRIVERS) this.#drivers.set(id, nowMs);
    }
  }

  #forget(nowMs: number): void {
    const sinceMs = nowMs - WINDOW_MS;
    const first = this.#seconds.findIndex(({ atMs, refused }) => atMs >= sinceMs && refused > 0);
    this.#seconds = first === -1 ? [] : this.#seconds.slice(first);
    for (const [id, atMs] of this.#drivers) {
      if (atMs >= sinceMs) break;
      this.#drivers.delete(id);
    }
  }
}
