// How much a loss of the cache would cost now, compared with the budget.
//
// For a partition that answers, it is the age of its oldest position that is not in Postgres. For a dark one it is
// unknown, but has an upper bound: the age of what was dirty at its last answer, or of that answer if nothing was; if it
// never answered, the time since this process began to look. Unknown is not zero: a bound beyond the budget is an alarm.

import type { Logger } from 'pino';
import type { DarkRegions } from './dark-regions.js';

export interface LossWindowOptions {
  budgetMs: number;
  partitions: number;
  regions: DarkRegions;
  log: Logger;
  /** A clock that never steps back. */
  nowMs(): number;
}

/** Both by the clock of the partition's node. */
export interface DirtySince {
  /** No position that is not in Postgres is older than this; null: all are there. */
  dirtySinceMs: number | null;
  nowMs: number;
}

export interface Answer {
  state: DirtySince;
  /** By that clock. */
  atMs: number;
}

/** When the partition answered, by its node's clock. Never too small. */
export function lossWindowMs(state: DirtySince): number {
  return state.dirtySinceMs === null ? 0 : Math.max(0, state.nowMs - state.dirtySinceMs);
}

export class LossWindow {
  readonly #o: LossWindowOptions;
  readonly #startedAtMs: number;
  /** The last one of each partition. */
  readonly #answers: Answer[] = [];
  #worstMs = 0;
  #unknown: number[] = [];
  /** Of those, the ones whose window may be beyond the budget. */
  #beyond: number[] = [];
  #unknownMs = 0;
  readonly #alarms = { known: false, unknown: false };

  constructor(o: LossWindowOptions) {
    this.#o = o;
    this.#startedAtMs = o.nowMs();
  }

  get budgetMs(): number {
    return this.#o.budgetMs;
  }

  /** Over all partitions that answered. */
  get worstMs(): number {
    return this.#worstMs;
  }

  /** Partitions that did not. */
  get unknownPartitions(): number {
    return this.#unknown.length;
  }

  /** The most that it can be there; 0 if all answered. */
  get unknownMs(): number {
    return this.#unknownMs;
  }

  get isExceeded(): boolean {
    return this.#alarms.known || this.#alarms.unknown;
  }

  get detail(): string {
    const known = `${Math.round(this.#worstMs)} ms of ${this.#o.budgetMs} ms`;
    if (this.#unknown.length === 0) return known;
    const atMostMs = Math.round(this.#unknownMs);
    if (this.#beyond.length === 0)
      return `${known}; unknown for ${this.#unknown.length} partitions, at most ${atMostMs} ms`;
    const { length } = this.#beyond;
    return `${known}; unknown beyond the budget for ${length} partitions, perhaps ${atMostMs} ms: ${this.#nodes().join(', ')}`;
  }

  /** One look at all partitions: the newest answer of each, null if it is dark. */
  update(answerOf: (partition: number) => Answer | null): void {
    const nowMs = this.#o.nowMs();
    this.#worstMs = 0;
    this.#unknownMs = 0;
    this.#unknown = [];
    this.#beyond = [];
    for (let partition = 0; partition < this.#o.partitions; partition++) {
      const answer = answerOf(partition);
      if (answer !== null) {
        this.#answers[partition] = answer;
        if (answer.state.dirtySinceMs !== null)
          this.#worstMs = Math.max(this.#worstMs, this.#atMostMs(partition, nowMs));
        continue;
      }
      const atMostMs = this.#atMostMs(partition, nowMs);
      this.#unknown.push(partition);
      this.#unknownMs = Math.max(this.#unknownMs, atMostMs);
      if (atMostMs > this.#o.budgetMs) this.#beyond.push(partition);
    }
    this.#judgeKnown();
    this.#judgeUnknown();
  }

  #atMostMs(partition: number, nowMs: number): number {
    const answer = this.#answers[partition];
    return answer === undefined
      ? nowMs - this.#startedAtMs
      : lossWindowMs(answer.state) + nowMs - answer.atMs;
  }

  #judgeKnown(): void {
    const isExceeded = this.#worstMs > this.#o.budgetMs;
    if (isExceeded === this.#alarms.known) return;
    this.#alarms.known = isExceeded;
    const figures = { loss_window_ms: this.#worstMs, budget_ms: this.#o.budgetMs };
    if (isExceeded) this.#o.log.error(figures, 'the loss window is above its budget');
    else this.#o.log.info(figures, 'the loss window is within its budget again');
  }

  #judgeUnknown(): void {
    const isExceeded = this.#beyond.length > 0;
    if (isExceeded === this.#alarms.unknown) return;
    this.#alarms.unknown = isExceeded;
    const { log, budgetMs } = this.#o;
    const figures = { partitions: this.#beyond.length, at_most_ms: this.#unknownMs, budget_ms: budgetMs };
    if (isExceeded)
      log.error(
        { ...figures, nodes: this.#nodes() },
        'the loss window of dark partitions is unknown beyond the budget',
      );
    else log.info(figures, 'no loss window is unknown beyond the budget any more');
  }

  #nodes(): string[] {
    return this.#o.regions.byNode(this.#beyond).map(({ node, partitions }) => `${node} (${partitions})`);
  }
}
