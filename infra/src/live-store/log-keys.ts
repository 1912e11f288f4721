// The names of a partition's keys, all with its tag, so that they share one slot. And the fields of `checkpoints`.
import type { Position } from '../position.js';

export interface LogKeys {
  log: string;
  snapshot: string;
  meta: string;
  checkpoints: string;
  sessions: string;
  refused: string;
  lease: string;
  compaction: string;
}

export function logKeys(tag: string): LogKeys {
  return {
    log: `log:{${tag}}`,
    snapshot: `snapshot:{${tag}}`,
    meta: `meta:{${tag}}`,
    checkpoints: `checkpoints:{${tag}}`,
    sessions: `sessions:{${tag}}`,
    refused: `refused:{${tag}}`,
    lease: `lease:{${tag}}`,
    compaction: `compaction:{${tag}}`,
  };
}

/** A checkpoint is (driver, its id), however often and over however many connections it was sent. */
export function checkpointField({ driverId, checkpointId }: Position): string {
  return `${driverId}:${checkpointId}`;
}
