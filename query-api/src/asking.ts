// Asking partitions on behalf of one request: against one deadline for all of it, in turn with the other requests,
// counted, and with every outage turned into the reason why a range is missing.

import { StoreError, type StoreErrorCode } from '@whereabouts/infra/live-store/store-error';
import type { Lanes } from './lanes.js';
import type { MissingReason } from './missing.js';

// Of the other codes a reader knows only that this node cannot serve it; the other regions are none the worse.
const REASONS: Partial<Record<StoreErrorCode, MissingReason>> = {
  region_unavailable: 'unreachable',
  map_mismatch: 'map_mismatch',
};

export class Asking {
  /** Partitions asked so far. */
  asks = 0;
  readonly #lanes: Lanes;
  readonly #caller: string;
  readonly #late: Promise<'timeout'>;
  readonly #timer: NodeJS.Timeout;
  #isLate = false;

  constructor(lanes: Lanes, caller: string, deadlineMs: number) {
    this.#lanes = lanes;
    this.#caller = caller;
    let expire: (reason: 'timeout') => void;
    this.#late = new Promise((resolve) => {
      expire = resolve;
    });
    this.#timer = setTimeout(() => {
      this.#isLate = true;
      expire('timeout');
    }, deadlineMs);
  }

  /** `lane`: whose turn it takes, the node's. Rejects only with what no outage explains. */
  async ask<T extends object>(lane: string | null, call: () => Promise<T>): Promise<T | MissingReason> {
    return await Promise.race([this.#inTurn(lane, call), this.#late]);
  }

  async #inTurn<T extends object>(lane: string | null, call: () => Promise<T>): Promise<T | MissingReason> {
    // Nobody owns it: no turn to wait for, and the store knows what to say.
    const leave = lane === null ? null : await this.#lanes.enter(lane, this.#caller);
    try {
      // What nobody waits for any more is not asked.
      if (this.#isLate) return 'timeout';
      this.asks++;
      return await answerOrReason(call);
    } finally {
      leave?.();
    }
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

async function answerOrReason<T extends object>(call: () => Promise<T>): Promise<T | MissingReason> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return REASONS[error.code] ?? 'not_ready';
  }
}
