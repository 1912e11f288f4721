// Measures when all drivers of a region are found again, as a dispatcher would find them, and checks that no answer
// then goes back in time.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Load } from './load.js';

const LOOK_MS = 50;
const MAX_IDS = 100;
/** What was acknowledged this long ago must be in the answers: query-api asks for news ten times a second. */
const VISIBLE_MS = 1_000;

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

type Told = ReadonlyMap<string, number>;

function toldOf(load: Load, region: number): Told {
  const newest = (id: string) => load.truth.newest.get(id)?.recordedAtMs ?? 0;
  return new Map(load.driversOf(region).map(({ driverId }) => [driverId, newest(driverId)]));
}

const isOlder = (driver: FoundDriver, told: Told): boolean =>
  Date.parse(driver.recorded_at) < (told.get(driver.driver_id) ?? 0);

/** Whether each driver is in the answers, with a position at least as new as the one acknowledged at the fault. */
async function look(load: Load, told: Told): Promise<'lacks' | 'found' | 'complete'> {
  const ids = [...told.keys()];
  let isComplete = true;
  for (let from = 0; from < ids.length; from += MAX_IDS) {
    const { status, body } = await load.get(`/v1/drivers?ids=${ids.slice(from, from + MAX_IDS)}`);
    if (status !== 200) return 'lacks';
    const { complete, absent, drivers } = body as DriversAnswer;
    if (absent.length > 0 || drivers.some((driver) => isOlder(driver, told))) return 'lacks';
    isComplete &&= complete;
  }
  return isComplete ? 'complete' : 'found';
}

/** Resolves when all is healed, or with null for what was not healed at the end. */
export async function untilHealed(
  load: Load,
  region: number,
  faultAtMs: number,
  over: () => boolean,
): Promise<Healing> {
  const told = toldOf(load, region);
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

/**
 * Until the end: how many drivers were answered with an older position than had been acknowledged to them; null: no
 * answer was complete.
 */
export async function foundInThePast(
  load: Load,
  region: number,
  over: () => boolean,
): Promise<number | null> {
  const past = new Set<string>();
  /** What had been acknowledged by then, oldest first. */
  const tolds: { atMs: number; told: Told }[] = [];
  let answers = 0;
  while (!over()) {
    const nowMs = performance.now();
    tolds.push({ atMs: nowMs, told: toldOf(load, region) });
    while ((tolds[1]?.atMs ?? nowMs) <= nowMs - VISIBLE_MS) tolds.shift();
    const { atMs, told } = tolds[0] as { atMs: number; told: Told };
    // Acknowledgements since then need not be visible yet.
    if (atMs > nowMs - VISIBLE_MS) {
      await sleep(LOOK_MS);
      continue;
    }
    const reply = await load.get(`/v1/drivers?ids=${[...told.keys()].slice(0, MAX_IDS)}`).catch(() => null);
    if (reply?.status === 200 && (reply.body as DriversAnswer).complete) {
      answers++;
      const { drivers } = reply.body as DriversAnswer;
      for (const driver of drivers) if (isOlder(driver, told)) past.add(driver.driver_id);
    }
    await sleep(LOOK_MS);
  }
  return answers === 0 ? null : past.size;
}
