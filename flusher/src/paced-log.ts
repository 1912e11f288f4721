// One line in a while for what may happen many times a second, with how many were held back since the one before.

import type { Logger } from '@whereabouts/infra/service/log';

export class PacedLog {
  readonly #log: Logger;
  readonly #everyMs: number;
  #saidAtMs = Number.NEGATIVE_INFINITY;
  #heldBack = 0;

  constructor(log: Logger, everyMs: number) {
    this.#log = log;
    this.#everyMs = everyMs;
  }

  /** Returns whether it was written. */
  say(level: 'error' | 'warn', details: object, text: string): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#saidAtMs < this.#everyMs) {
      this.#heldBack++;
      return false;
    }
    this.#log[level]({ ...details, ...(this.#heldBack > 0 && { held_back: this.#heldBack }) }, text);
    this.#saidAtMs = nowMs;
    this.#heldBack = 0;
    return true;
  }
}
