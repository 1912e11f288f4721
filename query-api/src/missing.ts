// What an answer could not see: ranges of the curve, each with the reason.

export const MISSING_REASONS = [
  'unreachable', // its node gives no answer
  'timeout', // its node answers, but we are too far behind
  'not_ready', // its node cannot serve us yet, or it has not been read yet
  'map_mismatch', // it is written under another partition map than ours
  'silent', // nobody has written or touched it lately: perhaps its node is cut off
  'warming', // its term had just begun when we first read it: perhaps not healed yet
] as const;
export type MissingReason = (typeof MISSING_REASONS)[number];

export interface MissingRange {
  /** Geohashes of six characters, `to` exclusive. */
  from: string;
  to: string;
  reason: MissingReason;
}

export interface MissingPartition {
  partition: number;
  reason: MissingReason;
}

/** Adjacent partitions on the curve that are missing for the same reason become one range. */
export function missingRanges(
  map: { range(partition: number): { from: string; to: string } },
  missing: readonly MissingPartition[],
): MissingRange[] {
  const ranges: MissingRange[] = [];
  let previous: MissingPartition | undefined;
  for (const entry of [...missing].sort((a, b) => a.partition - b.partition)) {
    const { from, to } = map.range(entry.partition);
    const last = ranges.at(-1);
    if (last && previous?.partition === entry.partition - 1 && last.reason === entry.reason) last.to = to;
    else ranges.push({ from, to, reason: entry.reason });
    previous = entry;
  }
  return ranges;
}
