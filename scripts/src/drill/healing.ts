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

/** Every one is in a complete answer, and not older than it was told to be at the fault. */
async function allFound(load: Load, told: ReadonlyMap<string, number>): Promise<boolean> {
  const ids = [...told.keys()];
  for (let from = 0; from < ids.length; from += MAX_IDS) {
    const { status, body } = await load.get(`/v1/drivers?ids=${ids.slice(from, from + MAX_IDS)}`);
    if (status !== 200) return false;
    const { complete, absent, drivers } = body as DriversAnswer;
    const isOld = (d: FoundDriver) => Date.parse(d.recorded_at) < (told.get(d.driver_id) ?? 0);
    if (!complete || absent.length > 0 || drivers.some(isOld)) return false;
  }
  return true;
}

/** Resolves with the time since the fault; with null when it is over first. */
export async function untilHealed(
  load: Load,
  region: number,
  faultAtMs: number,
  over: () => boolean,
): Promise<number | null> {
  const newest = (id: string) => load.truth.newest.get(id)?.recordedAtMs ?? 0;
  const told = new Map(load.driversOf(region).map(({ driverId }) => [driverId, newest(driverId)]));
  while (!over()) {
    if (await allFound(load, told).catch(() => false)) return performance.now() - faultAtMs;
    await sleep(LOOK_MS);
  }
  return null;
}
