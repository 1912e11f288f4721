// One timer for any number of sleepers: a simulated fleet is 10,000 clients in one process, and most wake-ups of
// a client are moved before they come.
//
// A binary heap by time. Always: heap[wakeUp.index] is that wake-up, or its index is -1 and it has no time set.

const MAX_TIMEOUT_MS = 2 ** 31 - 1;

export class WakeUp {
  atMs = Number.POSITIVE_INFINITY;
  index = -1;
  readonly wake: (nowMs: number) => void;

  constructor(wake: (nowMs: number) => void) {
    this.wake = wake;
  }
}

export class WakeUps {
  readonly #heap: WakeUp[] = [];
  readonly #now: () => number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Moves the wake-up to `atMs`; Infinity removes it. */
  set(wakeUp: WakeUp, atMs: number): void {
    if (wakeUp.atMs === atMs && wakeUp.index >= 0) return;
    wakeUp.atMs = atMs;
    if (atMs === Number.POSITIVE_INFINITY) this.#remove(wakeUp);
    else {
      if (wakeUp.index < 0) {
        wakeUp.index = this.#heap.length;
        this.#heap.push(wakeUp);
      }
      this.#down(this.#up(wakeUp.index));
    }
    this.#arm();
  }

  #remove(wakeUp: WakeUp): void {
    const at = wakeUp.index;
    if (at < 0) return;
    wakeUp.index = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === wakeUp) return;
    this.#put(at, last);
    this.#down(this.#up(at));
  }

  #put(at: number, wakeUp: WakeUp): void {
    this.#heap[at] = wakeUp;
    wakeUp.index = at;
  }

  #swapIfEarlier(child: number, parent: number): boolean {
    const a = this.#heap[child];
    const b = this.#heap[parent];
    if (a === undefined || b === undefined || a.atMs >= b.atMs) return false;
    this.#put(parent, a);
    this.#put(child, b);
    return true;
  }

  #up(from: number): number {
    let at = from;
    while (at > 0 && this.#swapIfEarlier(at, (at - 1) >> 1)) at = (at - 1) >> 1;
    return at;
  }

  #down(from: number): void {
    let at = from;
    for (;;) {
      const left = 2 * at + 1;
      const right = left + 1;
      const earlier =
        (this.#heap[right]?.atMs ?? Infinity) < (this.#heap[left]?.atMs ?? Infinity) ? right : left;
      if (!this.#swapIfEarlier(earlier, at)) return;
      at = earlier;
    }
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined) {
      clearTimeout(this.#timer);
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      return;
    }
    // A timer that fires too early finds nothing due and is set again: cheaper than moving it at every change.
    if (first.atMs >= this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = first.atMs;
    const delayMs = Math.min(Math.max(Math.ceil(first.atMs - this.#now()), 0), MAX_TIMEOUT_MS);
    this.#timer = setTimeout(() => this.#fire(), delayMs);
  }

  #fire(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#now();
    try {
      for (let first = this.#heap[0]; first !== undefined && first.atMs <= nowMs; first = this.#heap[0]) {
        first.atMs = Number.POSITIVE_INFINITY;
        this.#remove(first);
        first.wake(nowMs);
      }
    } finally {
      this.#arm(); // even if a sleeper threw, the others still wake
    }
  }
}

/** The wake-ups of every client of this process, in monotonic milliseconds. */
export const wakeUps = new WakeUps(() => performance.now());
