// The cost of an acknowledged position: CPU of ingest and of the Redis masters, and of all tiers, over a bare
// uWebSockets.js echo of the same frames on as many sockets at the same rate, alternating in one run.

import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import {
  alternate,
  type Bench,
  type BenchContext,
  type BenchOutcome,
  type Figure,
  type Goal,
} from './bench.js';
import { startEcho } from './echo.js';
import { cityFleet } from './load/places.js';
import {
  ALL_PARTS,
  CONNECTIONS_PER_PROCESS,
  cell,
  echoCost,
  type Frames,
  INTERVAL_MS,
  type LoadCost,
  medianOf,
  medianUs,
  stackCost,
  sumUs,
  WARM_UP_S,
} from './measured-load.js';

/** One process holds a socket for each. */
const DEFAULTS = { drivers: CONNECTIONS_PER_PROCESS, seconds: 12, rounds: 2 };

const MAX_ACK_P99_MS = 150;

interface Mode extends Frames {
  goal: Goal;
  /** Of all tiers. */
  goalOfAll: Goal | null;
}

const MODES: Mode[] = [
  { format: 'bin', ack: 'sparse', goal: { atMost: 1.4 }, goalOfAll: { atMost: 2 } },
  { format: 'bin', ack: 'each', goal: { atMost: 2 }, goalOfAll: null },
  { format: 'json', ack: 'sparse', goal: { atMost: 1.6 }, goalOfAll: null },
  { format: 'json', ack: 'each', goal: { atMost: 2.2 }, goalOfAll: null },
];

const modeName = ({ format, ack }: Mode) => `${format === 'bin' ? 'binary' : 'JSON'}, ack=${ack}`;

function figuresOf(mode: Mode, ours: readonly LoadCost[], floors: readonly LoadCost[]): Figure[] {
  const cpu = (what: string, parts: readonly string[], goal: Goal | null): Figure => ({
    name: `CPU of ${what} for each position: ${modeName(mode)}`,
    unit: 'us',
    measured: ours.map((cost) => sumUs(cost, parts)),
    baseline: { name: 'bare echo', measured: floors.map((cost) => sumUs(cost, ['echo'])) },
    goal,
  });
  const figures = [
    cpu('ingest and masters', ['ingest', 'masters'], mode.goal),
    cpu('all tiers', ALL_PARTS, mode.goalOfAll),
  ];
  // One that may wait for 10 s gives no figure.
  if (mode.ack === 'sparse') return figures;
  const measured = ours.map(({ p99Ms }) => p99Ms ?? Number.NaN);
  const name = `Acknowledgement p99: ${modeName(mode)}`;
  return [...figures, { name, unit: 'ms', measured, baseline: null, goal: { atMost: MAX_ACK_P99_MS } }];
}

function rowOf(mode: Mode, ours: readonly LoadCost[]): (string | number)[] {
  const cpuUs = ALL_PARTS.map((part) => medianUs(ours, part));
  return [modeName(mode), ...cpuUs, medianOf(ours, 'p50Ms'), medianOf(ours, 'p99Ms')].map(cell);
}

function costsOf({ format, ack }: Mode, ours: readonly LoadCost[]): Record<string, number> {
  const costs = ALL_PARTS.map((part) => [`${part}_us_${format}_${ack}`, medianUs(ours, part)] as const);
  return {
    ...Object.fromEntries(costs),
    [`positions_per_call_${format}_${ack}`]: medianOf(ours, 'positionsPerCall'),
  };
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const asked = {
    drivers: context.drivers ?? DEFAULTS.drivers,
    seconds: context.seconds ?? DEFAULTS.seconds,
    rounds: context.rounds ?? DEFAULTS.rounds,
  };
  const drivers = cityFleet(asked.drivers, 1);
  const own = await OwnStack.start(buildPartitionMap(drivers));
  const echo = await startEcho();
  const figures: Figure[] = [];
  const rows: (string | number)[][] = [];
  const costs: Record<string, number> = {};
  try {
    for (const mode of MODES) {
      const ours: LoadCost[] = [];
      const floors: LoadCost[] = [];
      const say = (what: string, round: number) =>
        context.say(`cost: ${modeName(mode)}, ${what}, round ${round + 1} of ${asked.rounds}`);
      await alternate(asked.rounds, {
        echo: async (round) => {
          say('echo', round);
          floors.push(await echoCost(echo, drivers, asked.seconds, mode));
        },
        stack: async (round) => {
          say('stack', round);
          ours.push(await stackCost(own.now, drivers, asked.seconds, mode));
        },
      });
      figures.push(...figuresOf(mode, ours, floors));
      rows.push(rowOf(mode, ours));
      Object.assign(costs, costsOf(mode, ours));
    }
  } finally {
    echo.stop();
    await own.stop();
  }
  const { drivers: count, seconds, rounds } = asked;
  return {
    workload: `${count.toLocaleString('en')} drivers of one city (seed 1), each with a report every ${INTERVAL_MS / 1000} s, 3 masters with AOF and 3 replicas; ${seconds} s after ${WARM_UP_S} s to warm up, ${rounds} rounds`,
    figures,
    tables: [
      {
        title: 'CPU for each position, and acknowledgements as the drivers saw them',
        heads: [
          'frames',
          ...ALL_PARTS.map((part) => `${part.replace('_', '-')} us`),
          'ack p50 ms',
          'ack p99 ms',
        ],
        rows,
      },
    ],
    notes: [
      'Masters: with the polls of one query-api, the reads of the flusher, and compaction. Nobody asks meanwhile.',
      'The load shares the cores with what is measured.',
    ],
    costs,
  };
}

export const COST: Bench = {
  about: 'CPU for each acknowledged position, over a bare uWebSockets.js echo',
  run,
};
