// What a drill declares about itself, and what is expected of the stack because of it.
import { DARK_BUDGET_MS, type DarkKind, type Expectation } from './promises.js';
import type { Scene } from './scene.js';

export interface Drill {
  about: string;
  /** The part of the map that it is meant to harm; nothing else may notice. */
  hits: 'region' | 'nothing' | 'connections';
  /** null: nothing may go dark. */
  dark: DarkKind | null;
  /** The fault lasts until it is undone; the time that the region may be dark counts from then. */
  darkUntilUndone?: boolean;
  /** Under `DURABILITY=cache` the last so many ms of acknowledged reports may be lost; the loss is audited. */
  losesAtMostMs?: number;
  /** Everything that was not flushed is lost. */
  losesAll?: boolean;
  /** The audit must find a loss, or the drill proves nothing. */
  mustLose?: boolean;
  /** A replaced master comes back with its old data; no answer may use them. */
  comesBack?: boolean;
  /** It breaks the master in a network namespace, on its own stack with such a master. */
  needsNamespace?: boolean;
  /** Postgres is away: a checkpoint sent meanwhile is persisted afterwards, and not before. */
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

/** It compares what ingest counts with a truth about its own drivers, so they have a separate ingest. */
export const needsOwnIngest = (drill: Drill): boolean =>
  drill.losesAtMostMs !== undefined || drill.losesAll === true || drill.replicaAway === true;
