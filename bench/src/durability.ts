// The price of the durability dial: the same load under each setting, on a new stack each time, in alternation; with
// what each setting can lose.

import { buildPartitionMap, type PartitionMap } from '@whereabouts/infra/partition-map';
import { median } from '@whereabouts/scripts/median';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import { alternate, type Bench, type BenchContext, type BenchOutcome, type Figure } from './bench.js';
import { cityFleet, type Place } from './load/places.js';
import {
  cell,
  type Frames,
  INTERVAL_MS,
  type LoadCost,
  medianOf,
  medianUs,
  SERVING_PARTS,
  stackCost,
  sumUs,
  WARM_UP_S,
} from './measured-load.js';

const DEFAULTS = { drivers: 10_000, seconds: 10, rounds: 2 };
const FRAMES: Frames = { format: 'bin', ack: 'each' };

interface Setting {
  env: { DURABILITY: 'cache' | 'replicated'; REDIS_APPENDFSYNC: 'everysec' | 'always' };
  /** As in RELIABILITY.md. */
  atWorst: string;
}

type Name = 'cache' | 'replicated' | 'cacheAlways' | 'replicatedAlways';
const BASE = 'cache';

const SETTINGS: Readonly<Record<Name, Setting>> = {
  cache: {
    env: { DURABILITY: 'cache', REDIS_APPENDFSYNC: 'everysec' },
    atWorst:
      'a master dies: what its replica had not received, usually milliseconds; master and replica: what was not flushed, less what their files kept',
  },
  replicated: {
    env: { DURABILITY: 'replicated', REDIS_APPENDFSYNC: 'everysec' },
    atWorst:
      'nothing when any one node dies; master and replica: what was not flushed, less what their files kept (power lost: up to about 2 s)',
  },
  cacheAlways: {
    env: { DURABILITY: 'cache', REDIS_APPENDFSYNC: 'always' },
    atWorst:
      'a master dies and its replica takes over: what that had not received; all lose power: nothing, where the masters come back as masters',
  },
  replicatedAlways: {
    env: { DURABILITY: 'replicated', REDIS_APPENDFSYNC: 'always' },
    atWorst: 'nothing when any one node dies, and nothing when all lose power: it is on the disks of both',
  },
};
const NAMES = Object.keys(SETTINGS) as Name[];

const nameOf = ({ env }: Setting) => `${env.DURABILITY}, appendfsync ${env.REDIS_APPENDFSYNC}`;

async function costUnder(
  { env }: Setting,
  map: PartitionMap,
  drivers: Place[],
  seconds: number,
): Promise<LoadCost> {
  const stack = await OwnStack.start(map, { ...env });
  try {
    return await stackCost(stack.now, drivers, seconds, FRAMES);
  } finally {
    await stack.stop();
  }
}

type Costs = Readonly<Record<Name, LoadCost[]>>;

function figures(costs: Costs): Figure[] {
  const figure = (name: Name, what: string, unit: string, of: (cost: LoadCost) => number): Figure => ({
    name: `${what}: ${nameOf(SETTINGS[name])}`,
    unit,
    measured: costs[name].map(of),
    baseline: { name: nameOf(SETTINGS[BASE]), measured: costs[BASE].map(of) },
    goal: null,
  });
  return NAMES.filter((name) => name !== BASE).flatMap((name) => [
    figure(name, 'CPU of ingest, masters and replicas for each position', 'us', (cost) =>
      sumUs(cost, SERVING_PARTS),
    ),
    figure(name, 'ack p50', 'ms', ({ p50Ms }) => p50Ms ?? Number.NaN),
    figure(name, 'ack p99', 'ms', ({ p99Ms }) => p99Ms ?? Number.NaN),
  ]);
}

function rowOf(name: Name, costs: Costs): (string | number)[] {
  const measured = costs[name];
  const times = [medianOf(measured, 'p50Ms'), medianOf(measured, 'p99Ms')];
  const cpuUs = SERVING_PARTS.map((part) => medianUs(measured, part));
  return [nameOf(SETTINGS[name]), ...[...cpuUs, ...times].map(cell), SETTINGS[name].atWorst];
}

/** What a setting adds to the baseline of the same round: in total, and by part. */
function extraUs(costs: Costs, name: Name, parts: readonly string[]): number {
  return median(
    costs[name].map((cost, round) => sumUs(cost, parts) - sumUs(costs[BASE][round] as LoadCost, parts)),
  );
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const count = context.drivers ?? DEFAULTS.drivers;
  const seconds = context.seconds ?? DEFAULTS.seconds;
  const rounds = context.rounds ?? DEFAULTS.rounds;
  const drivers = cityFleet(count, 1);
  const map = buildPartitionMap(drivers);
  const costs: Costs = { cache: [], replicated: [], cacheAlways: [], replicatedAlways: [] };
  const side = (name: Name) => async (round: number) => {
    context.say(`durability: ${nameOf(SETTINGS[name])}, round ${round + 1} of ${rounds}`);
    costs[name].push(await costUnder(SETTINGS[name], map, drivers, seconds));
  };
  await alternate(
    rounds,
    Object.fromEntries(NAMES.map((name) => [name, side(name)])) as Record<Name, ReturnType<typeof side>>,
  );
  return {
    workload: `${count.toLocaleString('en')} drivers of one city (seed 1), each with a report every ${INTERVAL_MS / 1000} s, binary, ack=each; for each setting and round a new stack (3 masters, 3 replicas, one disk); ${seconds} s after ${WARM_UP_S} s to warm up, ${rounds} rounds`,
    figures: figures(costs),
    tables: [
      {
        title: 'The durability dial: what it costs for each acknowledged position, and what it can lose',
        heads: [
          'setting',
          'ingest us',
          'masters us',
          'replicas us',
          'ack p50 ms',
          'ack p99 ms',
          'lost at worst',
        ],
        rows: NAMES.map((name) => rowOf(name, costs)),
      },
    ],
    notes: [
      'The load shares the cores with what is measured. What `always` costs in time depends on the disk: six nodes share one here.',
    ],
    costs: {
      durability_replicated_extra_us: extraUs(costs, 'replicated', SERVING_PARTS),
      durability_replicated_extra_ingest_us: extraUs(costs, 'replicated', ['ingest']),
      durability_replicated_extra_masters_us: extraUs(costs, 'replicated', ['masters']),
      durability_replicated_extra_replicas_us: extraUs(costs, 'replicated', ['replicas']),
      appendfsync_always_extra_us: extraUs(costs, 'cacheAlways', SERVING_PARTS),
    },
  };
}

export const DURABILITY: Bench = {
  about: 'what each setting of the durability dial costs, beside what it can lose',
  run,
};
