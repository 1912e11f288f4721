// What was seen from outside, region by region, and what follows from it. Pure; times are performance.now().
import { type RegionReport, type RegionSample, SAMPLE_MS } from './report.js';

interface Ack {
  sentAtMs: number;
  ackAtMs: number;
  partition: number;
}

interface Answer {
  atMs: number;
  tookMs: number;
  partition: number;
  answer: 'complete' | 'partial' | 'failed';
}

export class Observations {
  readonly acks: Ack[][];
  readonly nacks: { atMs: number; code: string }[][];
  readonly answers: Answer[][];
  readonly connections: { atMs: number; driverId: string }[] = [];

  constructor(regions: number) {
    this.acks = Array.from({ length: regions }, () => []);
    this.nacks = Array.from({ length: regions }, () => []);
    this.answers = Array.from({ length: regions }, () => []);
  }
}

/** The time that is judged. */
export interface Window {
  startAtMs: number;
  faultAtMs: number;
  endAtMs: number;
}

export function percentile(values: readonly number[], q: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] as number;
}

/**
 * Until every partition was acknowledged that was sent to after the fault; null: one of them never was. A report sent
 * before the fault proves nothing: it may have been written before.
 */
export function takesWritesAgainMs(
  acks: readonly Ack[],
  partitions: Iterable<number>,
  faultAtMs: number,
): number | null {
  const first = new Map<number, number>();
  for (const { sentAtMs, ackAtMs, partition } of acks) {
    if (sentAtMs < faultAtMs) continue;
    first.set(partition, Math.min(ackAtMs, first.get(partition) ?? Number.POSITIVE_INFINITY));
  }
  let last = faultAtMs;
  for (const partition of partitions) {
    const at = first.get(partition);
    if (at === undefined) return null;
    last = Math.max(last, at);
  }
  return last - faultAtMs;
}

function samplesOf(seen: Observations, region: number, { startAtMs, endAtMs }: Window): RegionSample[] {
  const count = Math.ceil((endAtMs - startAtMs) / SAMPLE_MS);
  const samples: RegionSample[] = Array.from({ length: count }, (_, i) => ({
    atMs: i * SAMPLE_MS,
    acks: 0,
    nacks: 0,
    slowestAckMs: null,
    complete: 0,
    partial: 0,
    failed: 0,
  }));
  const at = (ms: number) => samples[Math.floor((ms - startAtMs) / SAMPLE_MS)];
  for (const { sentAtMs, ackAtMs } of seen.acks[region] ?? []) {
    const sample = at(ackAtMs);
    if (sample === undefined) continue;
    sample.acks++;
    sample.slowestAckMs = Math.max(sample.slowestAckMs ?? 0, Math.round(ackAtMs - sentAtMs));
  }
  for (const { atMs } of seen.nacks[region] ?? []) {
    const sample = at(atMs);
    if (sample !== undefined) sample.nacks++;
  }
  for (const { atMs, answer } of seen.answers[region] ?? []) {
    const sample = at(atMs);
    if (sample !== undefined) sample[answer]++;
  }
  return samples;
}

type Measured = Omit<
  RegionReport,
  'node' | 'ranges' | 'partitions' | 'drivers' | 'affected' | 'healedMs' | 'failedWrites'
>;

const rounded = (ms: number | null) => (ms === null ? null : Math.round(ms));

export function measureRegion(
  seen: Observations,
  region: number,
  partitions: readonly number[],
  window: Window,
): Measured {
  const { startAtMs, faultAtMs, endAtMs } = window;
  const acks = seen.acks[region] ?? [];
  const latencies = (from: number, to: number) =>
    acks.filter((a) => a.sentAtMs >= from && a.sentAtMs < to).map((a) => a.ackAtMs - a.sentAtMs);
  const judged = ({ atMs }: { atMs: number }) => atMs >= faultAtMs && atMs < endAtMs;
  const nacks: Record<string, number> = {};
  for (const { code } of (seen.nacks[region] ?? []).filter(judged)) nacks[code] = (nacks[code] ?? 0) + 1;
  const after = acks.filter((a) => a.sentAtMs >= faultAtMs).map((a) => a.ackAtMs);
  const firstAfter = after.length === 0 ? null : Math.min(...after);
  let lastBefore: number | null = null;
  for (const { ackAtMs } of acks) {
    const counts = ackAtMs >= startAtMs && (firstAfter === null || ackAtMs < firstAfter);
    if (counts) lastBefore = Math.max(lastBefore ?? ackAtMs, ackAtMs);
  }
  return {
    lastAckAtMs: rounded(lastBefore === null ? null : lastBefore - startAtMs),
    firstAckAtMs: rounded(firstAfter === null ? null : firstAfter - startAtMs),
    darkMs: rounded(takesWritesAgainMs(acks, partitions, faultAtMs)),
    ackP99BeforeMs: rounded(percentile(latencies(startAtMs, faultAtMs), 0.99)),
    ackP99DuringMs: rounded(percentile(latencies(faultAtMs, endAtMs), 0.99)),
    nacks,
    failedQuestions: (seen.answers[region] ?? []).filter((a) => judged(a) && a.answer !== 'complete').length,
    samples: samplesOf(seen, region, window),
  };
}
