// What an answer rests on: which of the partitions that it touches are seen, and how old the oldest view of them is.
//  A partition is missing when the follower is further behind than `lagMs`, when nobody feeds it, or when it was first
// read so early in a term that it may not have been healed. A failover shorter than that leaves every answer complete.

import type { FollowedPartition } from '@whereabouts/infra/follower/followed-partition';
import type { StoreErrorCode } from '@whereabouts/infra/live-store/store-error';
import { type MissingPartition, type MissingRange, type MissingReason, missingRanges } from './missing.js';

export interface Coverage {
  complete: boolean;
  missing: MissingRange[];
  /** Null: none of the partitions has been read yet. */
  view_age_ms: number | null;
}

export interface CoverageOptions {
  partitions: readonly FollowedPartition[];
  map: { range(partition: number): { from: string; to: string } };
  lagMs: number;
  /** The nodes' time. */
  nowMs(): number;
  /** Once for each answer and reason. */
  incomplete(reason: MissingReason): void;
}

/** For all other codes a reader only knows that this node cannot serve it. */
const REASONS: Partial<Record<StoreErrorCode, MissingReason>> = {
  region_unavailable: 'unreachable',
  map_mismatch: 'map_mismatch',
};
/** The view of such a partition is as complete as it can be. */
const SEEN: readonly (MissingReason | null)[] = [null, 'silent', 'warming'];
/** How long one look at all partitions stays valid; views are not older than it says. */
const LOOK_GOOD_MS = 10;
/** With a poll every 100 ms, no view is older than this in normal operation. */
const EVEN_WITHIN_MS = 300;

export class PartitionViews {
  readonly #o: CoverageOptions;
  #reasons: (MissingReason | null)[] = [];
  #missing = 0;
  /** Null: none has been read yet. */
  #oldestAtMs: number | null = null;
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: CoverageOptions) {
    this.#o = options;
  }

  /**
   * All partitions are seen and no view is older than expected, so it makes no difference which of them an answer
   * touches. Finding that out takes longer than finding the nearest drivers.
   */
  get areEven(): boolean {
    return this.areWithin(EVEN_WITHIN_MS);
  }

  /** All partitions are seen, and no view is older. */
  areWithin(ageMs: number): boolean {
    this.#look();
    return this.#missing === 0 && performance.now() - (this.#oldestAtMs ?? 0) < ageMs;
  }

  /** Null: the partition is seen. */
  reasonOf(partition: number): MissingReason | null {
    this.#look();
    return this.#reasons[partition] as MissingReason | null;
  }

  /** Until when it was well, by the nodes' clock. Null while it is well, and if it never was or that is not known. */
  unwellSinceMs(partition: number): number | null {
    const reason = this.reasonOf(partition);
    const { viewAtMs = null, seenChangedAtMs = 0 } = this.#o.partitions[partition] ?? {};
    if (reason === null || reason === 'warming' || viewAtMs === null) return null;
    const wellAtMs = Math.min(viewAtMs, seenChangedAtMs);
    return this.#o.nowMs() - Math.round(performance.now() - wellAtMs);
  }

  isSeen(partition: number): boolean {
    return SEEN.includes(this.reasonOf(partition));
  }

  /** Of these partitions, or of all. */
  missingOf(partitions: readonly number[] | null = null): MissingPartition[] {
    this.#look();
    if (this.#missing === 0) return [];
    return [...(partitions ?? this.#reasons.keys())].flatMap((partition) => {
      const reason = this.#reasons[partition];
      return reason ? [{ partition, reason }] : [];
    });
  }

  rangesOf(partitions: readonly number[] | null = null): MissingRange[] {
    return missingRanges(this.#o.map, this.missingOf(partitions));
  }

  /** For an answer that is being returned. */
  coverageOf(partitions: readonly number[] | null = null): Coverage {
    const missing = this.missingOf(partitions);
    for (const reason of new Set(missing.map((entry) => entry.reason))) this.#o.incomplete(reason);
    return {
      complete: missing.length === 0,
      missing: missingRanges(this.#o.map, missing),
      view_age_ms: this.viewAgeMs(partitions),
    };
  }

  viewAgeMs(partitions: readonly number[] | null = null): number | null {
    this.#look();
    const oldestAtMs = partitions === null ? this.#oldestAtMs : this.#oldestOf(partitions);
    return oldestAtMs === null ? null : Math.ceil(performance.now() - oldestAtMs);
  }

  #oldestOf(partitions: Iterable<number>): number | null {
    let oldestAtMs = Number.POSITIVE_INFINITY;
    for (const partition of partitions) {
      oldestAtMs = Math.min(oldestAtMs, this.#o.partitions[partition]?.viewAtMs ?? oldestAtMs);
    }
    return oldestAtMs === Number.POSITIVE_INFINITY ? null : oldestAtMs;
  }

  #look(): void {
    const atMs = performance.now();
    if (atMs - this.#lookedAtMs < LOOK_GOOD_MS) return;
    this.#lookedAtMs = atMs;
    const nowMs = this.#o.nowMs();
    this.#reasons = this.#o.partitions.map((partition) => this.#judge(partition, atMs, nowMs));
    this.#missing = this.#reasons.filter((reason) => reason !== null).length;
    this.#oldestAtMs = this.#oldestOf(this.#reasons.keys());
  }

  #judge(partition: FollowedPartition, atMs: number, nowMs: number): MissingReason | null {
    const { lagMs } = this.#o;
    const { viewAtMs, error, seenChangedAtMs, firstTermBeganAtMs } = partition;
    const isBehind = viewAtMs === null || atMs - viewAtMs > lagMs;
    const isUnfed = atMs - seenChangedAtMs > lagMs;
    // A node that has just died is no longer fed either.
    if ((isBehind || isUnfed) && error !== null) return REASONS[error.code] ?? 'not_ready';
    if (isBehind) return viewAtMs === null ? 'not_ready' : 'timeout';
    if (isUnfed) return 'silent';
    return nowMs - (firstTermBeganAtMs ?? 0) < lagMs ? 'warming' : null;
  }
}
