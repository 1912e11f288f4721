// One drill from its beginning to its report:
//
//   load ──warm──▶ measured calm ──▶ fault ──▶ watched until healed ──▶ undone ──▶ whole ──▶ everybody settled ──▶ verdict
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '@whereabouts/infra/dev/server-process';
import { type PartitionMap, parsePartitionMap } from '@whereabouts/infra/partition-map';
import { scrape, total } from '../stack/scrape.js';
import type { Stack } from '../stack-file.js';
import { archiveDifferences } from '../testing/archive-rows.js';
import { clusterNodes, ownersOf, replicasOf, whatIsBroken } from './cluster-view.js';
import { type Drill, expectationOf } from './faults.js';
import { Load, REPORT_INTERVAL_MS } from './load.js';
import { LossTruth } from './loss-truth.js';
import { measureRegion, type Window } from './observations.js';
import { type Evidence, judge } from './promises.js';
import { partitionRows, type Region, regionsOf, stretchesOf } from './regions.js';
import type { DrillReport, LossAudit, RegionReport } from './report.js';
import { Scene } from './scene.js';

const WARM_MS = 2_500;
const CALM_MS = 3_000;
/** How long a region may stay dark before the fault is undone all the same. */
const HEAL_PATIENCE_MS = 15_000;
const AFTER_MS = 1_500;
const WHOLE_DEADLINE_MS = 60_000;
const ARCHIVE_DEADLINE_MS = 30_000;
/** Longer than any deadline on the way: of a report older than this nothing will be heard. */
const UNHEARD_MS = 5_000;
const LOOK_MS = 50;
const MAX_IDS = 100;

export interface DrillSetting {
  name: string;
  drill: Drill;
  stack: () => Stack;
  own: boolean;
  /** Where: the region of this partition; undefined: the middle one. */
  partition: number | undefined;
  say(text: string): void;
}

const LOST = 'whereabouts_ingest_lost_positions_total';
const lostCounted = async (stack: Stack) =>
  waitFor('the metrics of ingest', 5_000, async () => total(await scrape(stack.ingest.ops), LOST));

async function sceneOf(setting: DrillSetting, regions: readonly Region[]) {
  const { stack, say, partition } = setting;
  const nodes = await clusterNodes(stack());
  const holds = ({ partitions }: Region) => partitions.some((row) => row.partition === partition);
  const found = regions.findIndex(holds);
  const hit = found >= 0 ? found : Math.floor(regions.length / 2);
  const victim = ownersOf(nodes).find(({ address }) => address === regions[hit]?.node);
  if (victim === undefined) throw new Error('the partitions and the cluster name different masters');
  return { hit, scene: new Scene(stack, victim, replicasOf(nodes, victim), say) };
}

/** Every driver of the region is in a complete answer, as new as it was told to be at the fault. */
async function isHealed(
  load: Load,
  ids: readonly string[],
  toldAtFault: Map<string, number>,
): Promise<boolean> {
  for (let from = 0; from < ids.length; from += MAX_IDS) {
    const { status, body } = await load.get(`/v1/drivers?ids=${ids.slice(from, from + MAX_IDS)}`);
    if (status !== 200) return false;
    const answer = body as {
      complete: boolean;
      absent: string[];
      drivers: { driver_id: string; recorded_at: string }[];
    };
    if (!answer.complete || answer.absent.length > 0) return false;
    const isNew = ({ driver_id, recorded_at }: { driver_id: string; recorded_at: string }) =>
      Date.parse(recorded_at) >= (toldAtFault.get(driver_id) ?? 0);
    if (!answer.drivers.every(isNew)) return false;
  }
  return true;
}

/** Resolves with the time it took since the fault; null when it is stopped first. */
async function untilHealed(
  load: Load,
  region: number,
  faultAtMs: number,
  over: () => boolean,
): Promise<number | null> {
  const ids = load.driversOf(region).map(({ driverId }) => driverId);
  const told = new Map(ids.map((id) => [id, load.truth.newest.get(id)?.recordedAtMs ?? 0]));
  while (!over()) {
    const healed = await isHealed(load, ids, told).catch(() => false);
    if (healed) return performance.now() - faultAtMs;
    await sleep(LOOK_MS);
  }
  return null;
}

async function compareArchive(stack: Stack, load: Load, map: PartitionMap): Promise<Evidence['wrongRows']> {
  let wrong: string[] | null = null;
  const until = performance.now() + ARCHIVE_DEADLINE_MS;
  do {
    wrong = await archiveDifferences(stack.postgres.url, load.truth, map, 'ignored').catch(() => null);
    if (wrong?.length === 0) break;
    await sleep(200);
  } while (performance.now() < until);
  return wrong && { wrong: wrong.length, of: load.truth.newest.size, first: wrong[0] ?? '' };
}

interface Course {
  load: Load;
  scene: Scene;
  regions: readonly Region[];
  hit: number;
  healedMs: number | null;
  wholeAgain: boolean;
  endAtMs: number;
}

/** The fault, and all until the cluster is whole again. */
async function takeCourse(
  setting: DrillSetting,
  load: Load,
  scene: Scene,
  regions: readonly Region[],
  hit: number,
  truth: LossTruth | null,
): Promise<Course> {
  const { drill, stack } = setting;
  await drill.inject(scene);
  const watching = truth?.watch();
  const faultAtMs = scene.faultAtMs ?? performance.now();
  let over = false;
  const healing =
    drill.hits === 'region' ? untilHealed(load, hit, faultAtMs, () => over) : Promise.resolve(0);
  const patience = drill.darkUntilUndone ? HEAL_PATIENCE_MS / 4 : HEAL_PATIENCE_MS;
  await Promise.race([healing, sleep(patience, undefined, { ref: false })]);
  await drill.undo(scene);
  const wholeAgain = await waitFor('whole', WHOLE_DEADLINE_MS, async () =>
    (await whatIsBroken(stack(), regions.length)) === null ? true : undefined,
  ).catch(() => false);
  scene.tell('observed', wholeAgain ? 'the cluster is whole again' : 'the cluster is NOT whole again');
  setTimeout(() => {
    over = true;
  }, HEAL_PATIENCE_MS).unref();
  const healedMs = await healing;
  truth?.stop();
  await watching;
  await sleep(AFTER_MS);
  return { load, scene, regions, hit, healedMs, wholeAgain, endAtMs: performance.now() };
}

function regionReports(
  { load, scene, regions, hit, healedMs, endAtMs }: Course,
  drill: Drill,
): RegionReport[] {
  const faultAtMs = scene.faultAtMs as number;
  const window: Window = { startAtMs: scene.startAtMs, faultAtMs, endAtMs };
  const undoneAfterMs = drill.darkUntilUndone ? (scene.undoneAtMs ?? faultAtMs) - faultAtMs : 0;
  return regions.map((region, index) => {
    const affected = drill.hits === 'region' && index === hit;
    const drivers = load.driversOf(index);
    const partitions = [...new Set(drivers.map(({ spot }) => spot.partition))];
    const measured = measureRegion(load.observations, index, partitions, window);
    const fromUndone = (ms: number | null) =>
      ms === null ? null : Math.max(0, Math.round(ms - undoneAfterMs));
    return {
      node: region.node,
      ranges: stretchesOf(region.partitions),
      partitions: region.partitions.length,
      drivers: drivers.length,
      affected,
      ...measured,
      darkMs: affected ? fromUndone(measured.darkMs) : measured.darkMs,
      healedMs: affected ? fromUndone(healedMs) : 0,
      failedWrites: drivers.flatMap(({ open }) => open.filter((o) => o.sentAtMs < endAtMs - UNHEARD_MS))
        .length,
    };
  });
}

export async function runDrill(setting: DrillSetting): Promise<DrillReport> {
  const { name, drill, stack, own, say } = setting;
  const map = parsePartitionMap(readFileSync(stack().partitionMapFile, 'utf8'));
  const regions = regionsOf(await partitionRows(stack()));
  say(`Drill ${name}: ${drill.about}. Connecting drivers ...`);
  const load = await Load.start(stack(), map, regions);
  try {
    await sleep(WARM_MS);
    const { scene, hit } = await sceneOf(setting, regions);
    const startedAt = new Date();
    const countedBefore = await lostCounted(stack());
    const replica = scene.replicas[0];
    const audits = drill.audited === true && replica !== undefined;
    const truth = audits ? await LossTruth.of(stack(), replica.address, load, regions[hit] as Region) : null;
    await sleep(CALM_MS);
    const course = await takeCourse(setting, load, scene, regions, hit, truth);
    const reports = regionReports(course, drill);
    await load.settle();
    const wrongRows = await compareArchive(stack(), load, map);
    const counted = (await lostCounted(stack())) - countedBefore;
    const audit: LossAudit | null = truth && {
      lost: truth.lost,
      counted,
      allowed: null,
      how: 'the replica was read until its promotion, and held against what drivers were told',
    };
    const expected = expectationOf(drill, stack().promoter !== null);
    const evidence = {
      expected,
      regions: reports,
      audit,
      wrongRows,
      wholeAgain: course.wholeAgain,
      reconnectedMs: null,
    };
    const promises = judge(evidence);
    const { observations } = load;
    const count = (lists: readonly unknown[][]) => lists.reduce((sum, list) => sum + list.length, 0);
    return {
      format: 1,
      drill: name,
      about: drill.about,
      startedAt: startedAt.toISOString(),
      durationMs: Math.round(course.endAtMs - scene.startAtMs),
      faultAtMs: Math.round((scene.faultAtMs as number) - scene.startAtMs),
      healedAtMs: scene.events.at(-1)?.atMs ?? 0,
      passed: promises.every(({ passed }) => passed),
      stack: {
        own,
        masters: regions.length,
        replicas: scene.replicas.length,
        partitions: map.partitions,
        promoter: stack().promoter !== null,
        durability: process.env.DURABILITY === 'replicated' ? 'replicated' : 'cache',
      },
      load: {
        drivers: load.drivers.length,
        reportIntervalMs: REPORT_INTERVAL_MS,
        acknowledged: count(observations.acks),
        nacked: count(observations.nacks),
        questions: count(observations.answers),
      },
      promises,
      regions: reports,
      events: scene.events,
      audit,
      notes: [],
    };
  } finally {
    load.close();
  }
}
