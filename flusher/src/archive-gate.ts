// Whether positions, or checkpoints, may be sent to Postgres. Each table has its own gate, since one can be wrong while
// the other is right.
//
//   up ── an attempt failed ──▶ away ── the probe was answered ──▶ trying ── an attempt was taken ──▶ up
//                                ▲   (one at a time, each after a longer wait)   │
//                                └────────────── an attempt failed ──────────────┘
//
// While it is away only the probe is sent. What is dirty stays in the cache, bounded by the number of drivers. An
// answered probe does not prove that rows are taken, so `trying` is reported as away and the waits keep growing.

import { Backoff } from '@whereabouts/infra/service/backoff';
import type { Logger } from '@whereabouts/infra/service/log';
import { ArchiveError, type ArchiveErrorCode } from './archive-error.js';

type Mode = 'up' | 'away' | 'trying';

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;
/** Least time between two log lines: about a change between up and away, and about staying away. */
const TOLD_EVERY_MS = { news: 10_000, still: 60_000 };

export interface GateOptions {
  /** As they are called in the log. */
  what: 'positions' | 'checkpoints';
  /** Rejects with ArchiveError. */
  probe(): Promise<void>;
  log: Logger;
  failed(): void;
  changed(): void;
}

export class ArchiveGate {
  readonly #o: GateOptions;
  readonly #backoff = new Backoff({ firstMs: FIRST_WAIT_MS, limitMs: LONGEST_WAIT_MS });
  #mode: Mode = 'up';
  #isProbing = false;
  /** The last log line said that it is away; and when that line was written. */
  #isTold = false;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #downSinceMs = 0;
  #lastError: ArchiveError | null = null;

  constructor(o: GateOptions) {
    this.#o = o;
  }

  get isUp(): boolean {
    return this.#mode === 'up';
  }

  /** Why it is not up; null while it is. */
  get trouble(): ArchiveErrorCode | null {
    return this.isUp ? null : (this.#lastError?.code ?? null);
  }

  get detail(): string {
    if (this.isUp) return 'up';
    const forS = Math.round((performance.now() - this.#downSinceMs) / 1000);
    const what = this.trouble === 'archive_refuses' ? 'refusing rows' : 'away';
    return `${what} for ${forS} s, ${this.#backoff.failures} attempts: ${this.#lastError?.message}`;
  }

  /** If it may not, the probe is started as soon as it is due. */
  mayAsk(): boolean {
    if (this.#mode !== 'away') return true;
    if (!this.#isProbing && this.#backoff.mayTry(performance.now())) void this.#tryProbe();
    return false;
  }

  /** Rows were committed. */
  succeeded(): void {
    if (this.#mode === 'away') return; // an attempt that began before it went away
    const isBack = !this.isUp;
    this.#mode = 'up';
    this.#backoff.succeeded();
    if (!isBack) return;
    const awayMs = Math.round(performance.now() - this.#downSinceMs);
    const { what, log, changed } = this.#o;
    if (this.#isTold) log.info({ what, away_ms: awayMs }, 'Postgres is back: catching up');
    this.#isTold = false;
    changed();
  }

  failed(error: ArchiveError): void {
    const nowMs = performance.now();
    if (this.isUp) this.#downSinceMs = nowMs;
    if (this.isUp || error.code !== this.#lastError?.code) this.#isTold = false;
    this.#mode = 'away';
    this.#lastError = error;
    this.#backoff.failed(nowMs);
    this.#tell(error, nowMs);
    this.#o.failed();
    this.#o.changed();
  }

  #tell(error: ArchiveError, nowMs: number): void {
    if (nowMs - this.#toldAtMs < (this.#isTold ? TOLD_EVERY_MS.still : TOLD_EVERY_MS.news)) return;
    const { what, log } = this.#o;
    const text =
      error.code === 'archive_away'
        ? `Postgres is away: ${what} stay in the cache`
        : `Postgres refuses so many ${what} that its tables must be wrong: they stay in the cache`;
    if (!this.#isTold) log.error({ err: error }, text);
    else log.error({ why: error.message, attempts: this.#backoff.failures }, `still: ${text}`);
    this.#isTold = true;
    this.#toldAtMs = nowMs;
  }

  async #tryProbe(): Promise<void> {
    this.#isProbing = true;
    try {
      await this.#o.probe();
      this.#mode = 'trying';
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      this.failed(error);
    } finally {
      this.#isProbing = false;
    }
  }
}
