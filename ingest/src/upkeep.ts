// Background work on partitions and rows: touches a partition without writes, so that readers know that it has a writer;
// compacts a log that no flusher compacts; removes rows that are no longer needed.

import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { isAfter } from '@whereabouts/infra/record';
import type { Drivers } from './drivers.js';
import type { Partition } from './partition.js';

export interface UpkeepOptions {
  store: LogStore;
  drivers: Drivers;
  partitions: readonly Partition[];
  /** Names this process among those that compact. */
  holder: string;
  logMaxBytes: number;
  /** Throws what is no outage. */
  onError(error: unknown): void;
}

const TOUCH_AFTER_MS = 500;
/** A follower that stalls for some seconds still finds its place in the log. */
const COMPACT_MIN_AGE_MS = 10_000;
/** Of all processes one compacts a partition so often. */
const COMPACT_EVERY_MS = 250;
/** A driver who left is healed for so long, and until Postgres has the report. */
const KEEP_MS = 60_000;

export class Upkeep {
  readonly #o: UpkeepOptions;
  /** By partition. */
  readonly #compactedAtMs: Float64Array;
  /** Drivers that this process folded into snapshots. */
  folded = 0;

  constructor(o: UpkeepOptions) {
    this.#o = o;
    this.#compactedAtMs = new Float64Array(o.partitions.length);
  }

  tick(nowMs: number): void {
    for (const partition of this.#o.partitions) {
      if (nowMs - partition.answeredAtMs >= TOUCH_AFTER_MS && partition.mayWrite(nowMs))
        this.#touch(partition);
      const { known } = partition;
      if (known !== null && known.logBytes > this.#o.logMaxBytes) this.#compact(partition, nowMs);
    }
  }

  forgetRows(nowMs: number): void {
    const { drivers } = this.#o;
    for (let slot = 0; slot < drivers.end; slot++) {
      if (drivers.isUsed(slot) && this.#mayGo(slot, nowMs)) drivers.release(slot);
    }
  }

  #mayGo(slot: number, nowMs: number): boolean {
    const { drivers, partitions } = this.#o;
    if (drivers.origins[slot] !== null || drivers.waitsIn[slot] !== -1 || drivers.underWay[slot] !== 0)
      return false;
    if (nowMs - (drivers.activeAtMs[slot] as number) < KEEP_MS) return false;
    const acked = partitions[drivers.ackedIn[slot] as number];
    if (acked === undefined) return true;
    const id = {
      term: drivers.ackedTerms[slot] as number,
      revision: drivers.ackedRevisions[slot] as number,
    };
    return acked.known !== null && !isAfter(id, acked.known.flushed);
  }

  #touch(partition: Partition): void {
    partition
      .write(async () => ({ state: await this.#o.store.touch(partition.number) }))
      .catch(this.#o.onError);
  }

  #compact(partition: Partition, nowMs: number): void {
    if (nowMs - (this.#compactedAtMs[partition.number] as number) < COMPACT_EVERY_MS) return;
    if (partition.status === 'unreachable') return;
    this.#compactedAtMs[partition.number] = nowMs;
    const { store, holder } = this.#o;
    partition
      .call(() => store.compact(partition.number, COMPACT_MIN_AGE_MS, { holder, ms: COMPACT_EVERY_MS }))
      .then(({ folded }) => {
        this.folded += folded;
      })
      .catch(this.#o.onError);
  }
}
