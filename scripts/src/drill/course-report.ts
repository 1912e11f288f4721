// From what was seen in a drill to its report.
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import type { Stack } from '../stack-file.js';
import { type Drill, expectationOf } from './faults.js';
import { type Load, REPORT_INTERVAL_MS } from './load.js';
import type { Lost } from './loss-truth.js';
import {
  acknowledgedBetween,
  busiest,
  IN_FLIGHT_MS,
  measureRegion,
  reportedAgainMs,
} from './observations.js';
import { type Evidence, HERD_MS, judge } from './promises.js';
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
  /** Drivers who were answered with an older position than they were told, after the master was back; null: not measured. */
  foundInThePast: number | null;
  reconnectedMs: number | null;
  wholeAgain: boolean;
  /** Of each region: reports that nothing was heard of, though their time is up. */
  unheard: number[];
  wrongRows: Evidence['wrongRows'];
  /** How much ingest's own count of lost positions grew. */
  counted: number;
  /** Seen from outside; null where it was not measured. */
  lost: Lost | null;
  /** Live drivers of the region that are not ours. */
  others: number;
  /** Of our own event loop: what is measured cannot be finer. */
  slowestTurnMs: number;
}

const BUSY_MS = 50;

function regionReports(course: Course): RegionReport[] {
  const { load, scene, regions, hit, endAtMs, drill, healedMs, unheard } = course;
  const faultAtMs = scene.faultAtMs ?? endAtMs;
  const lastsMs = drill.darkUntilUndone ? (scene.undoneAtMs ?? faultAtMs) - faultAtMs : 0;
  const fromItsEnd = (ms: number | null) => (ms === null ? null : Math.max(0, Math.round(ms - lastsMs)));
  return regions.map((region, index) => {
    const affected = drill.hits === 'region' && index === hit;
    const drivers = load.driversOf(index);
    const partitions = new Set(drivers.map(({ spot }) => spot.partition));
    const window = { startAtMs: scene.startAtMs, faultAtMs, endAtMs };
    const measured = measureRegion(load.observations, index, [...partitions], window);
    return {
      node: region.node,
      ranges: stretchesOf(region.partitions),
      partitions: region.partitions.length,
      drivers: drivers.length,
      affected,
      ...measured,
      darkMs: affected ? fromItsEnd(measured.darkMs) : measured.darkMs,
      healedMs: affected ? fromItsEnd(healedMs) : 0,
      failedWrites: unheard[index] ?? 0,
    };
  });
}

/** Drivers of whom something was acknowledged within the time that may be lost. */
function allowedToLose({ drill, load, scene, hit, endAtMs }: Course): number {
  if (drill.losesAtMostMs === 0) return 0;
  const faultAtMs = scene.faultAtMs ?? endAtMs;
  const fromMs = (scene.behindSinceMs ?? faultAtMs) - (drill.losesAtMostMs ?? 0);
  return acknowledgedBetween(load.observations.acks[hit] ?? [], fromMs, faultAtMs + IN_FLIGHT_MS);
}

function auditOf(course: Course): LossAudit | null {
  const { drill, lost, counted, load, hit, others } = course;
  if (drill.losesAll) {
    const how = 'everything of the region was deleted: one position of each of its drivers';
    return { lost: load.driversOf(hit).length, counted, allowed: null, others, how };
  }
  if (drill.losesAtMostMs === undefined) return null;
  const how =
    'the next owner was read until a new reign wrote there, and held against what drivers were told';
  return { lost: lost?.lost ?? null, counted, allowed: allowedToLose(course), others, how };
}

/** What being recorded again is worth: the quiet drivers would be missing until they report. */
function healingNote({ load, hit, scene, foundMs }: Course): string {
  const { faultAtMs } = scene;
  const ids = load.driversOf(hit).map(({ driverId }) => driverId);
  const byReports = reportedAgainMs(load.observations.acks[hit] ?? [], ids, faultAtMs ?? 0);
  const told = (ms: number | null) => (ms === null ? 'not seen' : `${Math.round(ms)} ms`);
  return `From the fault until every driver was found again (also in incomplete answers): ${told(foundMs)}; until the last of them had reported again: ${told(byReports)}.`;
}

function notesOf(course: Course): string[] {
  const { drill, slowestTurnMs, others } = course;
  const notes: string[] = [];
  if (drill.hits === 'region' && drill.dark !== null) notes.push(healingNote(course));
  if (drill.darkUntilUndone) {
    notes.push('Time dark and time to heal are measured from the moment the fault was undone.');
  }
  if (others > 0 && (drill.losesAll || drill.losesAtMostMs !== undefined)) {
    notes.push(`The region has ${others} drivers of others: the loss audit counts theirs too.`);
  }
  if (slowestTurnMs > BUSY_MS) {
    notes.push(`The machine was busy: the drill itself was late by up to ${slowestTurnMs} ms.`);
  }
  return notes;
}

/** The most connections within a moment, after the fault, and of how many drivers. */
function reconnectsOf({ load, scene, endAtMs }: Course): Evidence['busiestReconnect'] {
  const times = load.observations.connections.map(({ atMs }) => atMs);
  const after = times.filter((atMs) => atMs >= (scene.faultAtMs ?? endAtMs));
  return { connections: busiest(after, HERD_MS), of: load.drivers.length };
}

export function reportOf(course: Course): DrillReport {
  const { name, drill, own, stack, map, load, scene, startedAt, endAtMs, lost } = course;
  const regions = regionReports(course);
  const audit = auditOf(course);
  const promoter = stack.promoter !== null;
  const durability = load.drivers[0]?.durability ?? 'cache';
  const promises = judge({
    ...course,
    expected: expectationOf(drill, promoter),
    regions,
    audit,
    lostReplicated: durability === 'replicated' && lost !== null ? lost.replicated : null,
    busiestReconnect: reconnectsOf(course),
  });
  const { acks, nacks, answers } = load.observations;
  return {
    format: 1,
    drill: name,
    about: drill.about,
    startedAt: startedAt.toISOString(),
    durationMs: Math.round(endAtMs - scene.startAtMs),
    faultAtMs: Math.round((scene.faultAtMs ?? endAtMs) - scene.startAtMs),
    healedAtMs: scene.events.at(-1)?.atMs ?? 0,
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
    events: scene.events,
    audit,
    notes: notesOf(course),
  };
}
