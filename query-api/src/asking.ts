// Asking partitions on behalf of one request: against one deadline for all of it, counted, and with every outage
// turned into the reason why a range is missing.

import { StoreError, type StoreErrorCode } from '@whereabouts/infra/live-store/store-error';
import type { MissingReason } from './missing.js';

const REASONS: Partial<Record<StoreErrorCode, MissingReason>> = {
  region_unavailable: 'unreachable',
  overloaded: 'not_ready',
  not_ready: 'not_ready',
  map_mismatch: 'map_mismatch',
};

export class Asking {
  /** Partitions asked so far. */
  asks = 0;
  readonly #late: Promise<'timeout'>;
  readonly #timer: NodeJS.Timeout;
  #isLate = false;

  constructor(deadlineMs: number) {
    let expire: (reason: 'timeout') => void;
    this.#late = new Promise((resolve) => {
      expire = resolve;
    });
    this.#timer = setTimeout(() => {
      this.#isLate = true;
      expire('timeout');
    }, deadlineMs);
  }

  /** Rejects only with what no outage explains. */
  async ask<T extends object>(call: () => Promise<T>): Promise<T | MissingReason> {
    if (this.#isLate) return 'timeout';
    this.asks++;
    return await Promise.race([answerOrReason(call), this.#late]);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

async function answerOrReason<T extends object>(call: () => Promise<T>): Promise<T | MissingReason> {
  try {
    return await call();
  } catch (error) {
    const reason = error instanceof StoreError ? REASONS[error.code] : undefined;
    if (!reason) throw error;
    return reason;
  }
}
