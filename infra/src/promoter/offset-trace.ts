// How the replication offset of a replica moves, and whether it has stopped. Stopped is relative to its usual pace,
// because a master with few writes sends little.

const KEPT_MOVES = 8;
const LEAST_STILL_MS = 500;
/** As many times as long as the longest pause lately. */
const STILL_PAUSES = 3;

export class OffsetTrace {
  #offset = -1;
  #movedAtMs: number[] = [];

  add(offset: number, nowMs: number): void {
    if (offset === this.#offset) return;
    this.#offset = offset;
    this.#movedAtMs.push(nowMs);
    if (this.#movedAtMs.length > KEPT_MOVES) this.#movedAtMs.shift();
  }

  /** It moved steadily, and does no longer. False where too little has been seen of it. */
  hasStopped(nowMs: number): boolean {
    const moves = this.#movedAtMs;
    const last = moves.at(-1);
    if (last === undefined || moves.length < KEPT_MOVES) return false;
    const longestPauseMs = Math.max(...moves.slice(1).map((atMs, i) => atMs - (moves[i] as number)));
    return nowMs - last >= Math.max(LEAST_STILL_MS, STILL_PAUSES * longestPauseMs);
  }
}
