// How long to wait before a retry: longer each time, up to a limit, and random within the upper half, so that several
// processes do not retry at the same moment.

export interface BackoffPace {
  firstMs: number;
  limitMs: number;
  /** How much longer each wait is than the one before; 2 by default. */
  growth?: number;
}

/** After that failure in a row, from 1 on. */
export function backoffMs(failures: number, pace: BackoffPace, random: () => number = Math.random): number {
  const { firstMs, limitMs, growth = 2 } = pace;
  const fullMs = Math.min(limitMs, firstMs * growth ** Math.min(failures - 1, 100));
  return fullMs * (0.5 + random() / 2);
}

/** Counts consecutive failures of one operation, and says when it may be tried again. */
export class Backoff {
  readonly #pace: BackoffPace;
  readonly #random: () => number;
  #failures = 0;
  #notBeforeMs = 0;

  constructor({ random = Math.random, ...pace }: BackoffPace & { random?: () => number }) {
    this.#pace = pace;
    this.#random = random;
  }

  /** 0 while all is well. */
  get failures(): number {
    return this.#failures;
  }

  mayTry(nowMs: number): boolean {
    return nowMs >= this.#notBeforeMs;
  }

  /** Returns the wait in ms. */
  failed(nowMs: number): number {
    const waitMs = backoffMs(++this.#failures, this.#pace, this.#random);
    this.#notBeforeMs = nowMs + waitMs;
    return waitMs;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#notBeforeMs = 0;
  }
}
