// Turns what was seen in a drill into its report.
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import type { Stack } from '../stack-file.js';
import { type Drill, expectationOf } from './drill-kind.js';
import { type Load, REPORT_INTERVAL_MS } from './load.js';
import type { Lost } from './loss-truth.js';
import {
  ackLatencyMs,
  acknowledgedBetween,
  busiest,
  lastOfOldMaster,
  measureRegion,
  percentile,
  reportedAgainMs,
  takesWritesAgainMs,
} from './observations.js';
import { pausedMs } from './own-pauses.js';
import { type Evidence, HERD_MS, judge, type ReplicaAway } from './promises.js';
import { type Region, stretchesOf } from './regions.js';
import type { DrillReport, LossAudit, RegionReport } from './report.js';
import type { Scene } from './scene.js';

export interface Course {
  name: string;
  drill: Drill;
  own: boolean;
  stack: Stack;
  map: PartitionMap;
  load: Load;
  scene: Scene;
  regions: readonly Region[];
  hit: number;
  startedAt: Date;
  endAtMs: number;
  foundMs: number | null;
  healedMs: number | null;
  /**
   * Drivers whose answers showed an older position than their acknowledged one, after the master was back; null: not
   * measured.
   */
  foundInThePast: number | null;
  reconnectedMs: number | null;
  wholeAgain: boolean;
  /** Of each region: reports without any answer although their time is up. */
  unheard: number[];
  wrongRows: Evidence['wrongRows'];
  /** What ingest itself counted as lost, before the fault was undone. */
  counted: number;
  /** Another failover followed, to this node; null: none was seen. */
  laterOwner: string | null;
  /** Seen from outside, or the reason why not; null: the drill does not ask. */
  lost: Lost | string | null;
  /** From the fault; null: not all checkpoints were persisted. */
  persistedMs: number | null;
  alarm: Evidence['alarm'];
}

const BUSY_MS = 50;

const faultOf = ({ scene, endAtMs }: Course): number => scene.faultAtMs ?? endAtMs;

/** 0 for a momentary fault, such as a kill. */
function faultLastsMs(course: Course): number {
  const { drill, scene } = course;
  // Drivers can come back once ingest is up again; how soon `npm start` starts it depends on how often it died.
  const isWaitedFor = drill.hits === 'connections';
  const lasts = drill.darkUntilUndone || drill.archiveAway || drill.replicaAway || isWaitedFor;
  return lasts ? Math.round((scene.undoneAtMs ?? faultOf(course)) - faultOf(course)) : 0;
}

function regionReports(course: Course): RegionReport[] {
  const { load, scene, regions, hit, endAtMs, drill, healedMs, unheard } = course;
  const faultAtMs = faultOf(course);
  return regions.map((region, index) => {
    const affected = drill.hits === 'region' && index === hit;
    const drivers = load.driversOf(index);
    const window = { startAtMs: scene.startAtMs, faultAtMs, endAtMs };
    const measured = measureRegion(load.observations, index, [...load.partitionsOf(index)], window);
    return {
      node: region.node,
      ranges: stretchesOf(region.partitions),
      partitions: region.partitions.length,
      drivers: drivers.length,
      affected,
      ...measured,
      healedMs: affected ? healedMs && Math.round(healedMs) : 0,
      failedWrites: unheard[index] ?? 0,
    };
  });
}

/** Drivers with an acknowledgement within the time that may be lost. */
function allowedToLose(course: Course): number {
  const { drill, load, scene, hit } = course;
  if (drill.losesAtMostMs === 0) return 0;
  const acks = load.observations.acks[hit] ?? [];
  const faultAtMs = faultOf(course);
  const fromMs = (scene.behindSinceMs ?? faultAtMs) - (drill.losesAtMostMs ?? 0);
  return acknowledgedBetween(acks, fromMs, lastOfOldMaster(acks, faultAtMs).possiblyMs);
}

function auditOf(course: Course): LossAudit | null {
  const { drill, lost, counted, load, hit } = course;
  if (drill.losesAll) {
    const how = 'everything of the region was deleted: one position of each of its drivers';
    const all = load.driversOf(hit).length;
    return { lost: { least: all, most: all }, counted, allowed: null, how };
  }
  if (drill.losesAtMostMs === undefined) return null;
  const how =
    'what the next owner took over was read from it, and compared with what was acknowledged to drivers';
  const allowed = allowedToLose(course);
  if (lost === null || typeof lost === 'string') return { lost: null, counted, allowed, how: lost ?? how };
  return { lost: lost.all, counted, allowed, how };
}

function replicaAwayOf(course: Course): ReplicaAway | null {
  const { drill, load, scene, hit, endAtMs } = course;
  if (!drill.replicaAway) return null;
  const { acks: allAcks, nacks, answers, pauses } = load.observations;
  const [faultAtMs, undoneAtMs] = [faultOf(course), scene.undoneAtMs ?? endAtMs];
  const acks = allAcks[hit] ?? [];
  const took = (some: typeof acks) => some.map((ack) => ackLatencyMs(ack, pauses));
  const meanwhile = acks.filter(({ sentAtMs }) => sentAtMs >= faultAtMs && sentAtMs < undoneAtMs);
  const heard = meanwhile.filter(({ ackAtMs }) => ackAtMs < undoneAtMs);
  const before = acks.filter((ack) => ack.sentAtMs >= scene.startAtMs && ack.sentAtMs < faultAtMs);
  const since = ({ atMs }: { atMs: number }) => atMs >= faultAtMs && atMs < endAtMs;
  const lacking = (answers[hit] ?? []).filter((one) => since(one) && one.answer !== 'complete');
  const againMs = takesWritesAgainMs(
    acks.filter(({ durability }) => durability === 'replicated'),
    load.partitionsOf(hit),
    undoneAtMs,
  );
  return {
    refused: (nacks[hit] ?? []).filter(since).length + lacking.length,
    slowestAckMs: meanwhile.length === 0 ? null : Math.max(...took(meanwhile)),
    ackP99BeforeMs: percentile(took(before), 0.99),
    cache: heard.filter(({ durability }) => durability === 'cache').length,
    replicated: heard.filter(({ durability }) => durability === 'replicated').length,
    replicatedAgainMs: againMs === null ? null : undoneAtMs - faultAtMs + againMs,
  };
}

/** Shows the value of recording again: without it the quiet drivers would be missing until they report. */
function healingNote({ load, hit, scene, foundMs }: Course): string {
  const { faultAtMs } = scene;
  const ids = load.driversOf(hit).map(({ driverId }) => driverId);
  const byReports = reportedAgainMs(load.observations.acks[hit] ?? [], ids, faultAtMs ?? 0);
  const told = (ms: number | null) => (ms === null ? 'not seen' : `${Math.round(ms)} ms`);
  return `From the fault until answers showed each driver's acknowledged position, or a newer one (also in incomplete answers): ${told(foundMs)}; until the last of them had reported again: ${told(byReports)}.`;
}

function notesOf(course: Course): string[] {
  const { drill, load, scene, endAtMs, laterOwner } = course;
  const notes: string[] = [];
  if (drill.hits === 'region' && drill.dark !== null) notes.push(healingNote(course));
  if (laterOwner !== null) {
    notes.push(
      `Another failover followed: ${laterOwner} is the region's master now. The audit is about the first.`,
    );
  }
  const { pauses } = load.observations;
  const sumMs = Math.round(pausedMs(pauses, scene.startAtMs, endAtMs));
  if (sumMs >= BUSY_MS) {
    notes.push(
      `The drill itself did not run for ${sumMs} of ${Math.round(endAtMs - scene.startAtMs)} ms, as the machine was busy. Latencies of acknowledgements are without the time that they waited for it.`,
    );
  }
  return notes;
}

/** The most connections within a short time after the fault, and the number of drivers. */
function reconnectsOf({ load, scene, endAtMs }: Course): Evidence['busiestReconnect'] {
  const times = load.observations.connections.map(({ atMs }) => atMs);
  const after = times.filter((atMs) => atMs >= (scene.faultAtMs ?? endAtMs));
  return { connections: busiest(after, HERD_MS), of: load.drivers.length };
}

export function reportOf(course: Course): DrillReport {
  const { name, drill, own, stack, map, load, scene, startedAt, endAtMs, lost } = course;
  const faultAtMs = faultOf(course);
  const fromFault = (atMs: number) => Math.round(atMs - faultAtMs);
  const regions = regionReports(course);
  const audit = auditOf(course);
  const promoter = stack.promoter !== null;
  const durability = load.drivers[0]?.durability ?? 'cache';
  const promises = judge({
    ...course,
    expected: expectationOf(drill, promoter),
    faultLastsMs: faultLastsMs(course),
    regions,
    audit,
    lostReplicated:
      durability === 'replicated' && lost !== null && typeof lost !== 'string' ? lost.replicated.least : null,
    busiestReconnect: reconnectsOf(course),
    replicaAway: replicaAwayOf(course),
    streamsTookMs: load.observations.streams
      .filter(({ atMs }) => atMs >= faultAtMs && atMs < endAtMs)
      .map(({ tookMs }) => tookMs),
  });
  const { acks, nacks, answers } = load.observations;
  return {
    format: 3,
    drill: name,
    about: drill.about,
    startedAt: startedAt.toISOString(),
    fromMs: fromFault(scene.startAtMs),
    toMs: fromFault(endAtMs),
    faultLastsMs: faultLastsMs(course),
    repairedAtMs: fromFault(scene.diary.at(-1)?.atMs ?? faultAtMs),
    passed: promises.every(({ passed }) => passed),
    stack: {
      own,
      masters: regions.length,
      replicas: scene.replicas.length,
      partitions: map.partitions,
      promoter,
      durability,
    },
    load: {
      drivers: load.drivers.length,
      reportIntervalMs: REPORT_INTERVAL_MS,
      acknowledged: acks.flat().length,
      nacked: nacks.flat().length,
      questions: answers.flat().length,
    },
    promises,
    regions,
    events: scene.diary.map((entry) => ({ ...entry, atMs: fromFault(entry.atMs) })),
    audit,
    notes: notesOf(course),
  };
}
