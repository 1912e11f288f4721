// What was seen from outside, region by region, and what follows from it. Pure; times are performance.now().

import type { Durability } from '@whereabouts/client/protocol';
import { type Pause, seenLateMs } from './own-pauses.js';
import { type AnswerReport, type RegionReport, type RegionSample, SAMPLE_MS } from './report.js';

export interface Ack {
  driverId: string;
  sentAtMs: number;
  ackAtMs: number;
  partition: number;
  /** Of the position, for the order. */
  session: number;
  recordedAtMs: number;
  durability: Durability;
}

/** The answer to a question about the surroundings of a partition's drivers. */
export interface AnswerSeen {
  atMs: number;
  tookMs: number;
  partition: number;
  answer: 'complete' | 'partial' | 'failed';
  /** Complete, or the partition is named among the missing ones. */
  isNamed: boolean;
  /** Drivers who are there, have been acknowledged, and are not in the answer. */
  lacking: number;
}

/** A stream that was compared with a question. */
export interface StreamSeen {
  atMs: number;
  /** Until it showed what the question answers; null: it did not. */
  tookMs: number | null;
}

export class Observations {
  readonly acks: Ack[][];
  readonly nacks: { atMs: number; code: string }[][];
  readonly answers: AnswerSeen[][];
  readonly streams: StreamSeen[] = [];
  readonly connections: { atMs: number; driverId: string }[] = [];
  /** Of the drill itself. */
  readonly pauses: Pause[] = [];

  constructor(regions: number) {
    this.acks = Array.from({ length: regions }, () => []);
    this.nacks = Array.from({ length: regions }, () => []);
    this.answers = Array.from({ length: regions }, () => []);
  }
}

/** From the report until its acknowledgement, without the time that this waited for the drill to see it. */
export function ackLatencyMs({ sentAtMs, ackAtMs }: Ack, pauses: readonly Pause[]): number {
  return ackAtMs - sentAtMs - seenLateMs(pauses, sentAtMs, ackAtMs);
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

/** Between the old master's last acknowledgement and the new one's first there is a silence, at least this long. */
const SILENCE_MS = 40;

/** The last acknowledgement of the old master arrived by then: surely, and possibly. */
export interface LastOfOld {
  surelyMs: number;
  possiblyMs: number;
}

/**
 * An acknowledgement does not say which master gave it, and both the old and the new one may acknowledge a report that
 * was sent before the fault. But whatever was sent after it was taken by the new one. So acknowledgements that arrive
 * together with the first such one are the new master's, and those before the silence are the old one's. If a busy
 * machine left no silence, the two moments differ.
 */
export function lastOfOldMaster(acks: readonly Ack[], faultAtMs: number): LastOfOld {
  const after = acks.filter(({ ackAtMs }) => ackAtMs > faultAtMs);
  const ofNew = Math.min(...after.filter((a) => a.sentAtMs >= faultAtMs).map((a) => a.ackAtMs));
  const times = after.map(({ ackAtMs }) => ackAtMs).filter((atMs) => atMs <= ofNew);
  times.sort((a, b) => a - b);
  if (ofNew === Number.POSITIVE_INFINITY) {
    const last = times.at(-1) ?? faultAtMs;
    return { surelyMs: last, possiblyMs: last };
  }
  for (let i = times.length - 1; i >= 0; i--) {
    const before = times[i - 1] ?? faultAtMs;
    if ((times[i] as number) - before >= SILENCE_MS) return { surelyMs: before, possiblyMs: before };
  }
  return { surelyMs: faultAtMs, possiblyMs: ofNew };
}

/** Drivers with an acknowledgement between then and another moment. */
export function acknowledgedBetween(acks: readonly Ack[], fromMs: number, toMs: number): number {
  const drivers = acks.filter(({ ackAtMs }) => ackAtMs >= fromMs && ackAtMs <= toMs);
  return new Set(drivers.map(({ driverId }) => driverId)).size;
}

/** The most within any stretch of that length. */
export function busiest(times: readonly number[], stretchMs: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  let most = 0;
  let first = 0;
  for (const [last, atMs] of sorted.entries()) {
    while ((sorted[first] as number) <= atMs - stretchMs) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

/**
 * Until every driver that reported after the fault was acknowledged: the time if one waits for the next reports; null:
 * one of them never was.
 */
export function reportedAgainMs(
  acks: readonly Ack[],
  drivers: Iterable<string>,
  faultAtMs: number,
): number | null {
  return latestFirst(acks, drivers, ({ driverId }) => driverId, faultAtMs);
}

/**
 * Until every partition that was sent to after the fault was acknowledged; null: one of them never was. A report sent
 * before the fault proves nothing: it may have been written before.
 */
export function takesWritesAgainMs(
  acks: readonly Ack[],
  partitions: Iterable<number>,
  faultAtMs: number,
): number | null {
  return latestFirst(acks, partitions, ({ partition }) => partition, faultAtMs);
}

/** From the fault until the last of these had its first acknowledgement of a report sent after it. */
function latestFirst<Key>(
  acks: readonly Ack[],
  keys: Iterable<Key>,
  keyOf: (ack: Ack) => Key,
  faultAtMs: number,
): number | null {
  const first = new Map<Key, number>();
  for (const ack of acks) {
    if (ack.sentAtMs < faultAtMs) continue;
    const key = keyOf(ack);
    first.set(key, Math.min(ack.ackAtMs, first.get(key) ?? Number.POSITIVE_INFINITY));
  }
  let last = faultAtMs;
  for (const key of keys) {
    const at = first.get(key);
    if (at === undefined) return null;
    last = Math.max(last, at);
  }
  return last - faultAtMs;
}

function samplesOf(
  seen: Observations,
  region: number,
  { startAtMs, faultAtMs, endAtMs }: Window,
): RegionSample[] {
  // Whole ones only: a rate of the rest would be too small, or count what came after the end.
  const count = Math.floor((endAtMs - startAtMs) / SAMPLE_MS);
  const samples: RegionSample[] = Array.from({ length: count }, (_, i) => ({
    atMs: Math.round(startAtMs - faultAtMs) + i * SAMPLE_MS,
    acks: 0,
    nacks: 0,
    slowestAckMs: null,
    complete: 0,
    partial: 0,
    failed: 0,
  }));
  const at = (ms: number) => samples[Math.floor((ms - startAtMs) / SAMPLE_MS)];
  for (const ack of seen.acks[region] ?? []) {
    const sample = at(ack.ackAtMs);
    if (sample === undefined) continue;
    sample.acks++;
    sample.slowestAckMs = Math.max(sample.slowestAckMs ?? 0, Math.round(ackLatencyMs(ack, seen.pauses)));
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

/** Answers from the fault on. */
function answersOf(seen: Observations, region: number, { faultAtMs, endAtMs }: Window): AnswerReport {
  const answers = (seen.answers[region] ?? []).filter(({ atMs }) => atMs >= faultAtMs && atMs < endAtMs);
  const partial = answers.filter(({ answer }) => answer === 'partial');
  const firstAtMs = Math.min(...partial.map(({ atMs, tookMs }) => atMs + tookMs));
  return {
    failed: answers.filter(({ answer }) => answer === 'failed').length,
    incomplete: partial.length,
    unnamed: answers.filter(({ isNamed }) => !isNamed).length,
    firstIncompleteMs: partial.length === 0 ? null : Math.round(firstAtMs - faultAtMs),
    lacking: answers.filter(({ lacking }) => lacking > 0).length,
  };
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
    acks.filter((a) => a.sentAtMs >= from && a.sentAtMs < to).map((a) => ackLatencyMs(a, seen.pauses));
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
    lastAckAtMs: rounded(lastBefore === null ? null : lastBefore - faultAtMs),
    firstAckAtMs: rounded(firstAfter === null ? null : firstAfter - faultAtMs),
    darkMs: rounded(takesWritesAgainMs(acks, partitions, faultAtMs)),
    ackP99BeforeMs: rounded(percentile(latencies(startAtMs, faultAtMs), 0.99)),
    ackP99DuringMs: rounded(percentile(latencies(faultAtMs, endAtMs), 0.99)),
    nacks,
    answers: answersOf(seen, region, window),
    samples: samplesOf(seen, region, window),
  };
}
