// The names of a partition's keys: all with its tag, so that they share one slot; and of the fields of `checkpoints`.
import type { Position } from '../position.js';

export interface PartitionKeys {
  positions: string;
  available: string;
  busy: string;
  meta: string;
  checkpoints: string;
  lease: string;
}

export function partitionKeys(tag: string): PartitionKeys {
  return {
    positions: `positions:{${tag}}`,
    available: `available:{${tag}}`,
    busy: `busy:{${tag}}`,
    meta: `meta:{${tag}}`,
    checkpoints: `checkpoints:{${tag}}`,
    lease: `lease:{${tag}}`,
  };
}

/** A checkpoint is (driver, its id), however often and over however many connections it was sent. */
export function checkpointField({ driverId, checkpointId }: Position): string {
  return `${driverId}:${checkpointId}`;
}
