// What one plain read says about a partition: its state and its counts.
import type { LogState } from '@whereabouts/infra/live-store/log-state';
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { BODY_BYTES } from '@whereabouts/infra/record';

export interface PartitionStatus extends LogState {
  /** The node's own time. */
  nowMs: number;
  acceptedSinceFlush: number;
  /** In the snapshot; those that are in the log alone are not counted. */
  drivers: number;
  /** Of the log. */
  entries: number;
  checkpointsWaiting: number;
  /** Notes of what Postgres refused. */
  refused: number;
}

/** With an id of one character. */
const MIN_RECORD_BYTES = BODY_BYTES + 3;

/** Rejects with StoreError. */
export async function statusOf(store: LogStore, partition: number): Promise<PartitionStatus> {
  const { state, nowMs, drivers, entries, checkpointsWaiting, refused } = await store.counts(partition);
  // What was lost with a failover may have counted in the last flush.
  const acceptedSinceFlush = Math.max(0, state.accepted - state.acceptedAtFlush);
  // The state is ours: to copy it costs more than the rest.
  return Object.assign(state, { nowMs, acceptedSinceFlush, drivers, entries, checkpointsWaiting, refused });
}

/** About so many rows are dirty. While the snapshot is empty, it is unknown how often each driver has reported. */
export const rowsOf = ({ drivers, acceptedSinceFlush }: PartitionStatus): number =>
  drivers === 0 ? acceptedSinceFlush : Math.min(drivers, acceptedSinceFlush);

/** No more rows are dirty than these. */
export const mostRowsOf = ({ drivers, acceptedSinceFlush, logBytes }: PartitionStatus): number =>
  Math.min(acceptedSinceFlush, drivers + Math.floor(logBytes / MIN_RECORD_BYTES));
