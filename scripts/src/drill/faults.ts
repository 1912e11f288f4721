// The drills: how each fault is made and undone, and what is promised about it.
import { DARK_BUDGET_MS, type DarkKind, type Expectation } from './promises.js';
import type { Scene } from './scene.js';

export interface Drill {
  about: string;
  /** Which part of the map it is meant to darken. */
  hits: 'region' | 'nothing';
  dark: DarkKind | null;
  /** The darkness lasts until the fault is undone, and is measured from there. */
  darkUntilUndone?: boolean;
  /** A replica is promoted, so the loss can be seen from outside. */
  audited?: boolean;
  /** The audit must find something, or the drill has proven nothing. */
  mustLose?: boolean;
  inject(scene: Scene): Promise<void>;
  undo(scene: Scene): Promise<void>;
}

async function killMaster(scene: Scene): Promise<void> {
  const { address } = scene.victim;
  const pid = await scene.remember(address);
  await scene.kill(pid, `kill -9 of the master ${address}`);
}

async function restartMaster(scene: Scene): Promise<void> {
  await scene.startRedis(scene.victim.address);
  scene.undone(`${scene.victim.address} runs again, with its data`);
}

export const DRILLS: Record<string, Drill> = {
  kill: {
    about: 'kill -9 of a master',
    hits: 'region',
    dark: 'kill',
    audited: true,
    inject: killMaster,
    undo: restartMaster,
  },
};

export function expectationOf(drill: Drill, promoter: boolean): Expectation {
  const budgets = promoter ? DARK_BUDGET_MS.withPromoter : DARK_BUDGET_MS.alone;
  return {
    darkMs: drill.dark === null ? null : budgets[drill.dark],
    lostAllowed: null,
    reconnectMs: null,
    elsewhereUnharmed: true,
  };
}
