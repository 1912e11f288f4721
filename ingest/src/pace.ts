// How often drivers are asked to report: doubled while this process cannot keep up, halved when it is calm.
//
// Checked once a second. Two late checks in a row double the interval (one may be a garbage collection), and two more
// must pass before the next doubling, because drivers learn of it with their next report. Ten calm checks in a row halve
// it. Between late and calm nothing changes, so that the pace does not oscillate.

export interface Load {
  /** How late the event loop was, in the worst tenth of the time since the last look. */
  lagMs: number;
  /** Reports that wait for Redis: at most one for each driver, besides checkpoints. */
  pendingReports: number;
  connections: number;
}

export interface Pace {
  /** A power of two. */
  readonly factor: number;
  /** Looks in a row: late ones above zero, calm ones below. */
  readonly streak: number;
}

export const EVEN_PACE: Pace = Object.freeze({ factor: 1, streak: 0 });

const MAX_PACE_FACTOR = 8;
const LATE_LOOKS = 2;
const CALM_LOOKS = 10;
// Acknowledgements are due within a tick of 100 ms: twice that late is felt, a quarter is not.
const LATE_LAG_MS = 200;
const CALM_LAG_MS = 25;
// A dark third of the map keeps a third of the drivers pending; that alone is no load and must pass as calm.
const LATE_PENDING_RATIO = 0.75;
const CALM_PENDING_RATIO = 0.5;
// So few are written in one tick, whatever their share.
const FEW_REPORTS = 1000;

export function nextPace(pace: Pace, load: Load, maxFactor: number): Pace {
  if (isLate(load)) {
    const streak = Math.max(0, pace.streak) + 1;
    if (streak < LATE_LOOKS) return { factor: pace.factor, streak };
    return { factor: Math.min(pace.factor * 2, maxFactor), streak: 0 };
  }
  if (!isCalm(load)) return { factor: pace.factor, streak: 0 };
  if (pace.factor === 1) return EVEN_PACE;
  const streak = Math.min(0, pace.streak) - 1;
  if (streak > -CALM_LOOKS) return { factor: pace.factor, streak };
  return { factor: pace.factor / 2, streak: 0 };
}

/** Drivers slower than the freshness limit would drop out of answers: shedding that much would be worse. */
export function maxPaceFactor(reportIntervalMs: number, freshnessMs: number): number {
  let factor = 1;
  while (factor < MAX_PACE_FACTOR && reportIntervalMs * factor * 2 < freshnessMs) factor *= 2;
  return factor;
}

function isLate(load: Load): boolean {
  return (
    load.lagMs > LATE_LAG_MS ||
    load.pendingReports > Math.max(FEW_REPORTS, load.connections * LATE_PENDING_RATIO)
  );
}

function isCalm(load: Load): boolean {
  return (
    load.lagMs < CALM_LAG_MS &&
    load.pendingReports <= Math.max(FEW_REPORTS, load.connections * CALM_PENDING_RATIO)
  );
}
