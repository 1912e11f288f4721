// Takes the stale out of the answers and, once Postgres has them, the old out of the cache. The scan has found them.

import type { LiveStore } from '@whereabouts/infra/live-store/live-store';
import type { FlushMetrics } from './flush-metrics.js';

/** In one call of the store, during which its node does nothing else. */
const SWEEP_IDS = 512;

/** Rejects with StoreError; then the next scan finds the rest. */
export async function sweep(
  store: LiveStore,
  partition: number,
  ids: readonly string[],
  ages: { freshBeforeMs: number; removeBeforeMs: number },
  metrics: FlushMetrics,
): Promise<void> {
  for (let at = 0; at < ids.length; at += SWEEP_IDS) {
    const { unlisted, removed } = await store.sweep(partition, ids.slice(at, at + SWEEP_IDS), ages);
    metrics.swept.inc({ from: 'answers' }, unlisted);
    metrics.swept.inc({ from: 'cache' }, removed);
  }
}
