// Deletes what is older than RETENTION_DAYS: drivers by their last report, checkpoints by the time of writing. It uses
// small statements with pauses, so that it never delays a flush. Several flushers may do it at once.

import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@whereabouts/infra/service/log';
import type { Archive } from './archive.js';
import { ArchiveError } from './archive-error.js';
import type { FlushMetrics } from './flush-metrics.js';

const DAY_MS = 86_400_000;
const EVERY_MS = 3_600_000;
const ROWS_AT_ONCE = 1_000;
const PAUSE_MS = 20;

export class Retention {
  readonly #archive: Archive;
  readonly #days: number;
  readonly #log: Logger;
  readonly #metrics: FlushMetrics;
  readonly #stopping = new AbortController();

  constructor(o: { archive: Archive; days: number; log: Logger; metrics: FlushMetrics }) {
    this.#archive = o.archive;
    this.#days = o.days;
    this.#log = o.log;
    this.#metrics = o.metrics;
  }

  /** Once an hour until `stop`, the first time somewhere within the first hour. */
  async run(): Promise<void> {
    const { signal } = this.#stopping;
    let waitMs = EVERY_MS * Math.random();
    while (await pause(waitMs, signal)) {
      await this.deleteOld(Date.now());
      waitMs = EVERY_MS;
    }
  }

  stop(): void {
    this.#stopping.abort();
  }

  async deleteOld(nowMs: number): Promise<void> {
    const before = new Date(nowMs - this.#days * DAY_MS);
    try {
      await this.#deletePositions(before);
      await this.#deleteCheckpoints(before);
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      this.#log.warn({ err: error }, 'the retention could not finish; it goes on in an hour');
    }
  }

  async #deletePositions(before: Date): Promise<void> {
    let after: string | null = '';
    while (after !== null) {
      const { last, deleted } = await this.#archive.deletePositions(before, after, ROWS_AT_ONCE);
      this.#metrics.deleted.inc({ table: 'driver_positions' }, deleted);
      if (!(await pause(PAUSE_MS, this.#stopping.signal))) return;
      after = last;
    }
  }

  async #deleteCheckpoints(before: Date): Promise<void> {
    for (let deleted = ROWS_AT_ONCE; deleted === ROWS_AT_ONCE; ) {
      deleted = await this.#archive.deleteCheckpoints(before, ROWS_AT_ONCE);
      this.#metrics.deleted.inc({ table: 'checkpoints' }, deleted);
      if (!(await pause(PAUSE_MS, this.#stopping.signal))) return;
    }
  }
}

/** Whether it was waited out. */
function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return delay(ms, true, { signal }).catch(() => false);
}
