// What a drill says of itself, and what is expected of the stack because of it.
import { DARK_BUDGET_MS, type DarkKind, type Expectation } from './promises.js';
import type { Scene } from './scene.js';

export interface Drill {
  about: string;
  /** Which part of the map it is meant to harm; nothing else may notice. */
  hits: 'region' | 'nothing' | 'connections';
  /** null: nothing may go dark. */
  dark: DarkKind | null;
  /** The fault lasts until it is undone: the time that the region may be dark counts from there. */
  darkUntilUndone?: boolean;
  /** Of what was acknowledged, the last so many ms may be lost under `DURABILITY=cache`; what is lost is audited. */
  losesAtMostMs?: number;
  /** Everything that was not flushed is lost. */
  losesAll?: boolean;
  /** The audit must find something, or nothing was proven. */
  mustLose?: boolean;
  /** A master that was replaced comes back with what it had: nobody may be answered from that. */
  comesBack?: boolean;
  /** It breaks the master in a network namespace, on a stack of its own that has one. */
  needsNamespace?: boolean;
  /** Postgres is away: a checkpoint that is sent meanwhile is persisted afterwards, and not before. */
  archiveAway?: boolean;
  /** ... for longer than the loss budget: the alarm comes, and goes. */
  outlastsBudget?: boolean;
  /** Its replicas do not confirm, and acknowledgements wait for them: under DURABILITY=replicated. */
  replicaAway?: boolean;
  inject(scene: Scene): Promise<void>;
  undo(scene: Scene): Promise<void>;
}

const RECONNECT_MS = 30_000;

export function expectationOf(drill: Drill, promoter: boolean): Expectation {
  const budgets = promoter ? DARK_BUDGET_MS.withPromoter : DARK_BUDGET_MS.alone;
  return {
    darkMs: drill.dark === null ? null : budgets[drill.dark],
    keepsDrivers: drill.hits !== 'connections',
    reconnectMs: drill.hits === 'connections' ? RECONNECT_MS : null,
    elsewhereUnharmed: drill.hits !== 'connections',
    mustLose: drill.mustLose === true,
    comesBack: drill.comesBack === true,
    checkpoint: drill.archiveAway === true,
    alarm: drill.outlastsBudget === true,
    replicaAway: drill.replicaAway === true,
  };
}

/** It compares what ingest counts with a truth about its own drivers: so they have an ingest of their own. */
export const needsOwnIngest = (drill: Drill): boolean =>
  drill.losesAtMostMs !== undefined || drill.losesAll === true || drill.replicaAway === true;
