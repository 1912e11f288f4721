// What has to be caught up after a fault that takes the archive, or the replicas, away: waiting checkpoints, the alarm
// of the loss budget, acknowledgements as replicated.
import { waitFor } from '@whereabouts/infra/local/server-process';
import type { Stack } from '../stack-file.js';
import { AlarmWatch, lossBudgetMs } from './alarm-watch.js';
import type { Drill } from './drill-kind.js';
import type { Load } from './load.js';
import { takesWritesAgainMs } from './observations.js';
import type { Evidence } from './promises.js';
import type { Scene } from './scene.js';

const DEADLINE_MS = 20_000;

export type CaughtUp = Pick<Evidence, 'persistedMs' | 'alarm'>;

export interface CatchUpOptions {
  drill: Drill;
  stack: () => Stack;
  load: Load;
  scene: Scene;
  /** The region. */
  hit: number;
  faultAtMs: number;
}

/**
 * Starts at the fault. The returned function is called once the fault is undone; it waits, and returns what was seen.
 */
export function watchCatchUp({
  drill,
  stack,
  load,
  scene,
  hit,
  faultAtMs,
}: CatchUpOptions): () => Promise<CaughtUp> {
  const persistedAtMs = drill.archiveAway ? load.sendCheckpoints() : () => null;
  const alarm = drill.outlastsBudget ? new AlarmWatch(stack, faultAtMs) : null;
  const partitions = load.partitionsOf(hit);
  const isReplicated = () => {
    const acks = (load.observations.acks[hit] ?? []).filter(({ durability }) => durability === 'replicated');
    return takesWritesAgainMs(acks, partitions, scene.undoneAtMs ?? Number.POSITIVE_INFINITY) !== null;
  };
  return async () => {
    await waitFor('what was missed is caught up with', DEADLINE_MS, () => {
      if (drill.archiveAway && persistedAtMs() === null) return undefined;
      if (alarm !== null && !alarm.hasEnded) return undefined;
      return !drill.replicaAway || isReplicated() || undefined;
    }).catch(() => {}); // the verdict says so
    const atMs = persistedAtMs();
    return {
      persistedMs: atMs === null ? null : atMs - faultAtMs,
      alarm: alarm && { budgetMs: await lossBudgetMs(stack()), seen: await alarm.stop() },
    };
  };
}
