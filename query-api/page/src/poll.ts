// Polls: one question after the other, so that a slow answer is not asked for twice. It stops while the page is hidden,
// and slows down after failures.

const SLOWEST_MS = 10_000;
const HIDDEN_LOOK_MS = 500;

export interface Polled {
  everyMs: number;
  mayAsk(): boolean;
  ask(): Promise<void>;
  failed(error: unknown): void;
}

export class Poll {
  readonly #polled: Polled;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isAsking = false;
  #isAgainWanted = false;
  #failures = 0;

  constructor(polled: Polled) {
    this.#polled = polled;
    this.#timer = setTimeout(() => void this.#turn(), 0);
  }

  /** As soon as possible, even after failures. */
  now(): void {
    this.#failures = 0;
    if (this.#isAsking) this.#isAgainWanted = true;
    else void this.#turn();
  }

  async #turn(): Promise<void> {
    clearTimeout(this.#timer);
    const { everyMs, mayAsk, ask, failed } = this.#polled;
    if (document.hidden || !mayAsk()) {
      this.#timer = setTimeout(() => void this.#turn(), HIDDEN_LOOK_MS);
      return;
    }
    this.#isAsking = true;
    try {
      await ask();
      this.#failures = 0;
    } catch (error) {
      this.#failures++;
      failed(error);
    }
    this.#isAsking = false;
    const waitMs = this.#isAgainWanted ? 0 : Math.min(SLOWEST_MS, everyMs * 2 ** this.#failures);
    this.#isAgainWanted = false;
    this.#timer = setTimeout(() => void this.#turn(), waitMs);
  }
}
