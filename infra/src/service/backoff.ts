// How long to wait before trying again: twice as long each time, up to a limit, and at random within the upper half, so
// that several processes do not come back in step.

export class Backoff {
  readonly #firstMs: number;
  readonly #limitMs: number;
  readonly #random: () => number;
  #failures = 0;
  #notBeforeMs = 0;

  constructor(o: { firstMs: number; limitMs: number; random?: () => number }) {
    this.#firstMs = o.firstMs;
    this.#limitMs = o.limitMs;
    this.#random = o.random ?? Math.random;
  }

  /** 0 while all is well. */
  get failures(): number {
    return this.#failures;
  }

  mayTry(nowMs: number): boolean {
    return nowMs >= this.#notBeforeMs;
  }

  failed(nowMs: number): void {
    const fullMs = Math.min(this.#limitMs, this.#firstMs * 2 ** Math.min(this.#failures, 30));
    this.#failures++;
    this.#notBeforeMs = nowMs + fullMs * (0.5 + this.#random() / 2);
  }

  succeeded(): void {
    this.#failures = 0;
    this.#notBeforeMs = 0;
  }
}
