// When this process itself did not run. On a busy machine it sees an acknowledgement later than it came; that time is
// not the product's.

export interface Pause {
  fromMs: number;
  toMs: number;
}

const LOOK_EVERY_MS = 5;
/** Timers are rarely on time to the millisecond. */
const SHORTEST_MS = 5;

/** Adds each pause of the event loop, in their order, until the returned function is called. Times are performance.now(). */
export function watchOwnPauses(into: Pause[]): () => void {
  let dueMs = performance.now() + LOOK_EVERY_MS;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    if (nowMs - dueMs >= SHORTEST_MS) into.push({ fromMs: dueMs, toMs: nowMs });
    dueMs = nowMs + LOOK_EVERY_MS;
  }, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** How long the process did not run between these moments. */
export function pausedMs(pauses: readonly Pause[], fromMs: number, toMs: number): number {
  let sum = 0;
  for (const pause of pauses) sum += Math.max(0, Math.min(pause.toMs, toMs) - Math.max(pause.fromMs, fromMs));
  return sum;
}
