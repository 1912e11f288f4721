// Logs events that may happen thousands of times a second: each kind when it first happens, and then now and then while
// it continues, with the number since the last line.

const DEFAULT_EVERY_MS = 10_000;
const MAX_KINDS = 256;

export class PacedLog {
  readonly #everyMs: number;
  readonly #kinds = new Map<string, { loggedAtMs: number; unlogged: number }>();

  constructor(everyMs = DEFAULT_EVERY_MS) {
    this.#everyMs = everyMs;
  }

  /** `write` logs; `times`: since the last line of this kind. */
  log(kind: string, write: (times: number) => void, nowMs = performance.now()): void {
    const known = this.#kinds.get(kind);
    if (known && nowMs - known.loggedAtMs < this.#everyMs) {
      known.unlogged++;
      return;
    }
    if (!known && this.#kinds.size >= MAX_KINDS) this.#kinds.clear();
    this.#kinds.set(kind, { loggedAtMs: nowMs, unlogged: 0 });
    write((known?.unlogged ?? 0) + 1);
  }
}
