// One drill from its beginning to its report:
//
//   load ──warm──▶ measured calm ──▶ fault ──▶ watched until healed ──▶ undone ──▶ whole ──▶ everybody settled ──▶ verdict

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { namespaceOf } from '@whereabouts/infra/local/network-namespace';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { formatAddress } from '@whereabouts/infra/node-address';
import { type PartitionMap, parsePartitionMap } from '@whereabouts/infra/partition-map';
import { archiveDifferences } from '../outside/archive-rows.js';
import { scrape, total } from '../stack/scrape.js';
import type { Stack } from '../stack-file.js';
import { type CaughtUp, watchCatchUp } from './catch-up.js';
import { clusterNodes, ownersOf, replicasOf, whatIsBroken } from './cluster-view.js';
import { type Course, reportOf } from './course-report.js';
import { type Drill, needsOwnIngest } from './drill-kind.js';
import { foundInThePast, type Healing, untilHealed } from './healing.js';
import { Load } from './load.js';
import { LossTruth } from './loss-truth.js';
import { takesWritesAgainMs } from './observations.js';
import { startOwnIngest } from './own-ingest.js';
import type { Evidence } from './promises.js';
import { partitionRows, type Region, regionsOf } from './regions.js';
import type { DrillReport } from './report.js';
import { Scene } from './scene.js';

const WARM_MS = 2_500;
const CALM_MS = 3_000;
const WARM_SCRAPES = 3;
/** How long a region may stay dark before the fault is undone anyway. */
const PATIENCE_MS = 15_000;
const AFTER_MS = 1_500;
const WHOLE_DEADLINE_MS = 60_000;
const RECONNECT_DEADLINE_MS = 45_000;
const ARCHIVE_DEADLINE_MS = 30_000;

export interface DrillSetting {
  name: string;
  drill: Drill;
  stack: () => Stack;
  own: boolean;
  /** The region of this partition; undefined: the middle one. */
  partition: number | undefined;
  say(text: string): void;
  /** Of the ingest process that it starts, if it does. */
  ingestLog: string;
  /** Releases what is frozen when the drill is stopped. */
  onScene(scene: Scene): void;
}

const LOST = 'whereabouts_ingest_lost_positions_total';
const lostCounted = (stack: Stack): Promise<number> =>
  waitFor('the metrics of ingest', 10_000, async () => total(await scrape(stack.ingest.ops), LOST));

async function sceneOf(setting: DrillSetting, regions: readonly Region[]) {
  const { drill, stack, say, partition } = setting;
  const nodes = await clusterNodes(stack());
  const isInNamespace = (address: string) => {
    const node = stack().redis.find((one) => formatAddress(one) === address);
    return node !== undefined && namespaceOf(node.pid) !== null;
  };
  const found = regions.findIndex(({ node, partitions }) =>
    drill.needsNamespace ? isInNamespace(node) : partitions.some((row) => row.partition === partition),
  );
  const hit = found >= 0 ? found : Math.floor(regions.length / 2);
  const victim = ownersOf(nodes).find(({ address }) => address === regions[hit]?.node);
  if (victim === undefined) throw new Error('the partitions and the cluster name different masters');
  const replicas = replicasOf(nodes, victim).filter(({ failing }) => !failing);
  return { hit, scene: new Scene({ stack, victim, replicas, say }) };
}

async function compareArchive(stack: Stack, load: Load, map: PartitionMap): Promise<Evidence['wrongRows']> {
  const until = performance.now() + ARCHIVE_DEADLINE_MS;
  let wrong: string[] | null;
  do {
    wrong = await archiveDifferences(stack.postgres.url, load.truth, map, 'ignored').catch(() => null);
    if (wrong?.length === 0) break;
    await sleep(200);
  } while (performance.now() < until);
  return wrong && { wrong: wrong.length, of: load.truth.newest.size, first: wrong[0] ?? '' };
}

/** Each driver's first connection after the fault; null: one of them never came back. */
function reconnectedMs({ drivers, observations }: Load, faultAtMs: number): number | null {
  const first = new Map<string, number>();
  for (const { atMs, driverId } of observations.connections) {
    if (atMs >= faultAtMs && !first.has(driverId)) first.set(driverId, atMs - faultAtMs);
  }
  return first.size < drivers.length ? null : Math.max(...first.values());
}

interface Watched extends Healing, CaughtUp {
  foundInThePast: number | null;
  reconnectedMs: number | null;
  wholeAgain: boolean;
  counted: number;
}

/**
 * An acknowledgement of a partition shows that ingest knows its new term, and has counted what that lacks. Answers alone
 * do not: query-api may be complete again before ingest has written.
 */
async function untilWritable(load: Load, region: number, faultAtMs: number): Promise<void> {
  const partitions = load.partitionsOf(region);
  const acks = load.observations.acks[region] ?? [];
  const from = acks.length;
  await waitFor('every partition of the region takes writes again', PATIENCE_MS, () => {
    const tookMs = takesWritesAgainMs(acks.slice(from), partitions, faultAtMs);
    return tookMs === null ? undefined : true;
  }).catch(() => {}); // the verdict says so
}

/** The fault, and everything until the cluster is whole again. */
async function takeCourse(
  setting: DrillSetting,
  load: Load,
  scene: Scene,
  regions: readonly Region[],
  hit: number,
  truth: LossTruth | null,
): Promise<Watched> {
  const { drill, stack } = setting;
  await drill.inject(scene);
  const faultAtMs = scene.faultAtMs ?? performance.now();
  const caughtUp = watchCatchUp({ drill, stack, load, scene, hit, faultAtMs });
  let over = false;
  const watches = drill.hits === 'region' && drill.dark !== null;
  const healing = watches
    ? untilHealed(load, hit, faultAtMs, () => over)
    : Promise.resolve({ foundMs: 0, healedMs: 0 });
  const writable = watches ? untilWritable(load, hit, faultAtMs) : null;
  await Promise.race([Promise.all([healing, writable]), sleep(PATIENCE_MS, undefined, { ref: false })]);
  // What another failover may lose later does not count for this fault.
  const counted = needsOwnIngest(drill) ? await lostCounted(stack()) : 0;
  // Nor may it replace what is to be read.
  await truth?.untilRead();
  let ended = false;
  // Started before the master comes back, so that its first second counts too.
  const past = drill.comesBack ? foundInThePast(load, hit, () => ended) : null;
  await drill.undo(scene);
  const wholeAgain = await waitFor('the cluster is whole', WHOLE_DEADLINE_MS, async () =>
    (await whatIsBroken(stack(), regions.length)) === null ? true : undefined,
  ).catch(() => false);
  scene.tell('observed', wholeAgain ? 'the cluster is whole again' : 'the cluster is NOT whole again');
  setTimeout(() => {
    over = true;
  }, PATIENCE_MS).unref();
  const healed = await healing;
  let backMs: number | null = null;
  if (drill.hits === 'connections') {
    await waitFor('the drivers are back', RECONNECT_DEADLINE_MS, () => {
      backMs = reconnectedMs(load, faultAtMs);
      return backMs ?? undefined;
    }).catch(() => {});
  }
  const seenBesides = await caughtUp();
  await sleep(AFTER_MS);
  ended = true;
  return {
    ...healed,
    ...seenBesides,
    counted,
    foundInThePast: await past,
    reconnectedMs: backMs,
    wholeAgain,
  };
}

/** The final owner of the region, if it is not the node that took it over from the broken master. */
async function ownerAfter(stack: Stack, truth: LossTruth, { partitions }: Region): Promise<string | null> {
  const slot = partitions[0]?.slot ?? 0;
  const owner = ownersOf(await clusterNodes(stack)).find(({ slots }) =>
    slots.some(([first, last]) => first <= slot && slot <= last),
  );
  return truth.nextOwner === null || owner?.address === truth.nextOwner ? null : (owner?.address ?? null);
}

/** Everything, and its observed behaviour. */
async function watchedCourse(
  setting: DrillSetting,
  load: Load,
  map: PartitionMap,
  regions: Region[],
): Promise<Course> {
  const { drill, stack, own, name } = setting;
  await sleep(WARM_MS);
  // The first answers of a new process cost it tens of milliseconds, which would fall into the failover.
  if (needsOwnIngest(drill)) for (let i = 0; i < WARM_SCRAPES; i++) await lostCounted(stack());
  const { scene, hit } = await sceneOf(setting, regions);
  setting.onScene(scene);
  const startedAt = new Date();
  const shard = [scene.victim, ...scene.replicas].map(({ address }) => address);
  const truth =
    drill.losesAtMostMs === undefined
      ? null
      : await LossTruth.of(stack(), shard, load, regions[hit] as Region);
  await sleep(CALM_MS);
  const watched = await takeCourse(setting, load, scene, regions, hit, truth).finally(() => truth?.stop());
  const endAtMs = performance.now();
  const lost = truth?.lost(load.observations.acks[hit] ?? [], scene.faultAtMs ?? endAtMs) ?? null;
  const unheard = load.unheard(endAtMs);
  setting.say('Comparing Postgres with what was acknowledged to the drivers ...');
  await load.settle();
  const wrongRows = await compareArchive(stack(), load, map);
  return {
    name,
    drill,
    own,
    stack: stack(),
    map,
    load,
    scene,
    regions,
    hit,
    startedAt,
    endAtMs,
    ...watched,
    unheard,
    wrongRows,
    laterOwner: truth && (await ownerAfter(stack(), truth, regions[hit] as Region)),
    lost,
  };
}

/**
 * A drill begins with a whole cluster, whatever the one before has left; if it does not become whole, that is reported.
 */
async function regionsAtBegin({ stack, say }: DrillSetting): Promise<Region[]> {
  await waitFor('the cluster is whole, as a drill needs it', WHOLE_DEADLINE_MS, async () => {
    const masters = ownersOf(await clusterNodes(stack())).length;
    const broken = await whatIsBroken(stack(), masters);
    if (broken !== null) throw new Error(broken);
    return (await partitionRows(stack())).every(({ node }) => node !== null) || undefined;
  }).catch(({ message, cause }: Error) => say(`${message}: ${(cause as Error | undefined)?.message}`));
  return regionsOf(await partitionRows(stack()));
}

export async function runDrill(setting: DrillSetting): Promise<DrillReport> {
  const { name, drill, say, ingestLog } = setting;
  const map = parsePartitionMap(readFileSync(setting.stack().partitionMapFile, 'utf8'));
  const regions = await regionsAtBegin(setting);
  const settings = drill.replicaAway ? { DURABILITY: 'replicated' } : {};
  const own = needsOwnIngest(drill) ? await startOwnIngest(setting.stack(), ingestLog, settings) : null;
  const stack = () => (own === null ? setting.stack() : { ...setting.stack(), ingest: own.ingest });
  let load: Load | undefined;
  try {
    say(`Drill ${name}: ${drill.about}. Connecting drivers ...`);
    load = await Load.start(stack(), map, regions);
    return reportOf(await watchedCourse({ ...setting, stack }, load, map, regions));
  } finally {
    load?.close();
    await own?.stop();
  }
}
