// When this process itself did not run. On a busy machine it sees an acknowledgement later than it came; that time is
// not the product's.

export interface Pause {
  fromMs: number;
  toMs: number;
}

const LOOK_EVERY_MS = 5;
/** Timers are rarely on time to the millisecond. */
const SHORTEST_MS = 5;
/** Between two pauses that are this close, not everything that waited was seen. */
const CLOSE_MS = LOOK_EVERY_MS + SHORTEST_MS;

/** Null: the look was on time. */
export function pauseBetween(dueMs: number, nowMs: number): Pause | null {
  return nowMs - dueMs >= SHORTEST_MS ? { fromMs: dueMs, toMs: nowMs } : null;
}

/** Adds each pause of the event loop, in their order, until the returned function is called. Times are performance.now(). */
export function watchOwnPauses(into: Pause[]): () => void {
  let dueMs = performance.now() + LOOK_EVERY_MS;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const pause = pauseBetween(dueMs, nowMs);
    if (pause !== null) into.push(pause);
    dueMs = nowMs + LOOK_EVERY_MS;
  }, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/**
 * How much of the time between these moments what was seen at `seenAtMs` may have waited for this process: the pauses
 * that end there. An earlier pause delayed nothing, as the process ran after it and did not see it yet.
 */
export function seenLateMs(pauses: readonly Pause[], fromMs: number, seenAtMs: number): number {
  let lateMs = 0;
  let nextMs = seenAtMs;
  for (let i = pauses.length - 1; i >= 0; i--) {
    const pause = pauses[i] as Pause;
    if (pause.fromMs >= seenAtMs) continue;
    if (pause.toMs < nextMs - CLOSE_MS || pause.toMs <= fromMs) break;
    lateMs += Math.min(pause.toMs, seenAtMs) - Math.max(pause.fromMs, fromMs);
    nextMs = pause.fromMs;
  }
  return lateMs;
}

/** How long the process did not run between these moments. */
export function pausedMs(pauses: readonly Pause[], fromMs: number, toMs: number): number {
  let sum = 0;
  for (const pause of pauses) sum += Math.max(0, Math.min(pause.toMs, toMs) - Math.max(pause.fromMs, fromMs));
  return sum;
}
