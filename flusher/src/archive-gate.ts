// Whether Postgres may be asked.
//
//   up ──── any attempt failed ────▶ away ──── the probe was answered ────▶ up
//                                     └── one probe at a time, each after a longer wait ──┘
//
// While it is away nothing else is sent there: what is dirty stays in the cache, bounded by the number of drivers.

import { Backoff } from '@whereabouts/infra/service/backoff';
import type { Logger } from '@whereabouts/infra/service/log';
import type { ArchiveError } from './archive-error.js';
import type { FlushMetrics } from './flush-metrics.js';

type Mode = 'up' | 'away';

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;

export class ArchiveGate {
  readonly #probe: () => Promise<unknown>;
  readonly #log: Logger;
  readonly #metrics: FlushMetrics;
  readonly #backoff = new Backoff({ firstMs: FIRST_WAIT_MS, limitMs: LONGEST_WAIT_MS });
  #mode: Mode = 'up';
  #awaySinceMs = 0;
  #lastError = '';

  constructor(o: { probe: () => Promise<unknown>; log: Logger; metrics: FlushMetrics }) {
    this.#probe = o.probe;
    this.#log = o.log;
    this.#metrics = o.metrics;
    this.#metrics.archiveUp.set(1);
  }

  get isUp(): boolean {
    return this.#mode === 'up';
  }

  get detail(): string {
    if (this.isUp) return 'up';
    const forS = Math.round((performance.now() - this.#awaySinceMs) / 1000);
    return `away for ${forS} s, ${this.#backoff.failures} attempts: ${this.#lastError}`;
  }

  failed(error: ArchiveError): void {
    this.#metrics.archiveFailures.inc();
    this.#backoff.failed(performance.now());
    this.#lastError = error.message;
    if (this.#mode === 'up') this.#moveTo('away', error);
  }

  /** Whether Postgres may be asked now; probes it where that is due. */
  async open(): Promise<boolean> {
    if (this.isUp) return true;
    if (!this.#backoff.mayTry(performance.now())) return false;
    try {
      await this.#probe();
    } catch (error) {
      this.failed(error as ArchiveError);
      return false;
    }
    this.#moveTo('up');
    return true;
  }

  #moveTo(mode: Mode, error?: ArchiveError): void {
    this.#mode = mode;
    this.#metrics.archiveUp.set(mode === 'up' ? 1 : 0);
    if (mode === 'away') {
      this.#awaySinceMs = performance.now();
      this.#log.error({ err: error }, 'Postgres is away: positions stay in the cache');
      return;
    }
    this.#backoff.succeeded();
    const awayMs = Math.round(performance.now() - this.#awaySinceMs);
    this.#log.info({ away_ms: awayMs }, 'Postgres is back: catching up');
  }
}
