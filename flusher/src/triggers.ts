// Which partitions a pass takes, and in which order. Pure.

import { lossWindowMs } from '@whereabouts/infra/live-store/loss-window';
import { type PartitionStatus, rowsOf } from './partition-status.js';

/** Of the loss budget: from here on a partition is flushed before its interval is over. */
export const NEAR_BUDGET = 0.7;

export type Trigger = 'loss_budget' | 'accepted' | 'interval';

export interface TriggerSettings {
  flushIntervalMs: number;
  flushMaxAccepted: number;
  lossBudgetMs: number;
}

export function triggerOf(status: PartitionStatus, settings: TriggerSettings): Trigger | null {
  if (lossWindowMs(status) >= settings.lossBudgetMs * NEAR_BUDGET) return 'loss_budget';
  if (status.acceptedSinceFlush >= settings.flushMaxAccepted) return 'accepted';
  // Also if nothing is dirty: the archive then says that it is true as of a later time.
  if (status.nowMs - status.flushedAtMs >= settings.flushIntervalMs) return 'interval';
  return null;
}

export interface Due {
  status: PartitionStatus;
  trigger: Trigger;
}

/**
 * In the order given, but of those that only the clock makes due no more than fill `maxRows`: the others wait for the
 * next look. All at once would keep Postgres, the flusher and every master busy for so long that reports wait for it.
 */
export function paced(due: readonly Due[], maxRows: number): Due[] {
  let rows = 0;
  return due.filter(({ status, trigger }) => {
    if (trigger !== 'interval') return true;
    if (rows >= maxRows) return false;
    rows += rowsOf(status);
    return true;
  });
}

/** The oldest loss window first; among the others those that were flushed longest ago. */
export function byUrgency(a: PartitionStatus, b: PartitionStatus): number {
  return lossWindowMs(b) - lossWindowMs(a) || a.flushedAtMs - b.flushedAtMs;
}
