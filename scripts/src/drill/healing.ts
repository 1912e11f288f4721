// When everybody of a region is found again, as a dispatcher would find them.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Load } from './load.js';

const LOOK_MS = 50;
const MAX_IDS = 100;

interface FoundDriver {
  driver_id: string;
  recorded_at: string;
}
interface DriversAnswer {
  complete: boolean;
  absent: string[];
  drivers: FoundDriver[];
}

/** Milliseconds from the fault. */
export interface Healing {
  /** Every driver was in the answers again, complete or not. */
  foundMs: number | null;
  /** ... and the answers were complete. */
  healedMs: number | null;
}

/** Whether every one is in the answers, and not older than it was told to be at the fault. */
async function look(load: Load, told: ReadonlyMap<string, number>): Promise<'lacks' | 'found' | 'complete'> {
  const ids = [...told.keys()];
  let isComplete = true;
  for (let from = 0; from < ids.length; from += MAX_IDS) {
    const { status, body } = await load.get(`/v1/drivers?ids=${ids.slice(from, from + MAX_IDS)}`);
    if (status !== 200) return 'lacks';
    const { complete, absent, drivers } = body as DriversAnswer;
    const isOld = (d: FoundDriver) => Date.parse(d.recorded_at) < (told.get(d.driver_id) ?? 0);
    if (absent.length > 0 || drivers.some(isOld)) return 'lacks';
    isComplete &&= complete;
  }
  return isComplete ? 'complete' : 'found';
}

/** Resolves when all is healed, or with null for what was not when it was over. */
export async function untilHealed(
  load: Load,
  region: number,
  faultAtMs: number,
  over: () => boolean,
): Promise<Healing> {
  const newest = (id: string) => load.truth.newest.get(id)?.recordedAtMs ?? 0;
  const told = new Map(load.driversOf(region).map(({ driverId }) => [driverId, newest(driverId)]));
  let foundMs: number | null = null;
  while (!over()) {
    const seen = await look(load, told).catch(() => 'lacks');
    if (seen === 'lacks') foundMs = null;
    else foundMs ??= performance.now() - faultAtMs;
    if (seen === 'complete') return { foundMs, healedMs: performance.now() - faultAtMs };
    await sleep(LOOK_MS);
  }
  return { foundMs, healedMs: null };
}
