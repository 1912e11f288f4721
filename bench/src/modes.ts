// Write-through, write-around and write-behind on the same load and the same tables. The first two are servers that
// exist for the bench alone; the third is the product itself.

import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { median } from '@whereabouts/scripts/median';
import type { BarChart, Bench, BenchContext, BenchOutcome, Table } from './bench.js';
import { cityFleet, type Place } from './load/places.js';
import { CACHE_TTL_S, CONNECTIONS } from './modes/direct-store.js';
import {
  INTERVAL_MS,
  isHeld,
  type Loss,
  type ModeCost,
  ModeLoad,
  READS_PER_S,
  WARM_UP_S,
  WATCHED,
} from './modes/mode-load.js';
import { type ModeSetting, startBehind, startDirect } from './modes/mode-setting.js';

const MODES = ['write-through', 'write-around', 'write-behind'] as const;
type Mode = (typeof MODES)[number];

/** One process serves each mode, and a process holds no more than the drivers of the last. */
const RATES_PER_S = [500, 2_000, 9_000];
/** Two intervals of the flusher. */
const DEFAULTS = { seconds: 10, rounds: 1 };
const SEED = 1;

const LOST: Record<Mode, string> = {
  'write-through': 'nothing: it was in Postgres before it was acknowledged',
  'write-around': 'nothing: it was in Postgres before it was acknowledged',
  'write-behind':
    'what no flush has taken, if every node and its append-only file are gone; see RELIABILITY.md for less',
};

interface Measured {
  mode: Mode;
  ratePerS: number;
  costs: ModeCost[];
}

/** `rounds` times each mode after the other, each with all rates. */
class Comparison {
  readonly measured: Measured[];
  readonly losses: Record<Mode, Loss[]> = { 'write-through': [], 'write-around': [], 'write-behind': [] };
  readonly #context: BenchContext;
  readonly #drivers: Place[];
  readonly #seconds: number;

  constructor(context: BenchContext, rates: readonly number[], seconds: number) {
    this.#context = context;
    this.#seconds = seconds;
    this.#drivers = cityFleet(driversFor(Math.max(...rates)), SEED);
    this.measured = rates.flatMap((ratePerS) =>
      MODES.map((mode): Measured => ({ mode, ratePerS, costs: [] })),
    );
  }

  async round(mode: Mode): Promise<void> {
    const setting = await this.#start(mode);
    try {
      const ofMode = this.measured.filter((measured) => measured.mode === mode);
      for (const { ratePerS, costs } of ofMode) {
        this.#context.say(`modes: ${mode}, ${ratePerS.toLocaleString('en')} positions/s`);
        const load = new ModeLoad(setting, this.#drivers.slice(0, driversFor(ratePerS)));
        try {
          costs.push(await load.measure(this.#seconds));
          if (ratePerS === ofMode.at(-1)?.ratePerS) this.losses[mode].push(await load.killCache());
        } finally {
          await load.stop();
        }
      }
    } finally {
      await setting.stop();
    }
  }

  #start(mode: Mode): Promise<ModeSetting> {
    const { say } = this.#context;
    if (mode === 'write-through') return startDirect('through', say);
    if (mode === 'write-around') return startDirect('around', say);
    return startBehind(buildPartitionMap(this.#drivers));
  }
}

const driversFor = (ratePerS: number) => Math.max(WATCHED + 1, Math.round((ratePerS * INTERVAL_MS) / 1000));

const of = ({ costs }: Measured, value: (cost: ModeCost) => number) => median(costs.map(value));
const cpuUs = (cost: ModeCost) => cost.serverUs + cost.redisUs + cost.postgresUs;
const digits = (value: number) => (Number.isFinite(value) ? Number(value.toPrecision(3)) : 'none');

const COLUMNS: [head: string, value: (cost: ModeCost) => number][] = [
  ['acknowledged/s', ({ ackedPerS }) => ackedPerS],
  ['acknowledged share', ({ ackedPerS, askedPerS }) => ackedPerS / askedPerS],
  ['ack p50 ms', ({ p50Ms }) => p50Ms],
  ['ack p99 ms', ({ p99Ms }) => p99Ms],
  ['stale p50 ms', ({ stalenessP50Ms }) => stalenessP50Ms],
  ['stale p99 ms', ({ stalenessP99Ms }) => stalenessP99Ms],
  ['read p99 ms', ({ readP99Ms }) => readP99Ms],
];
const COST_COLUMNS: [head: string, value: (cost: ModeCost) => number][] = [
  ['statements', ({ statements }) => statements],
  ['commits', ({ commits }) => commits],
  ['rows', ({ rows }) => rows],
  ['WAL bytes', ({ walBytes }) => walBytes],
  ['server us', ({ serverUs }) => serverUs],
  ['Redis us', ({ redisUs }) => redisUs],
  ['Postgres us', ({ postgresUs }) => postgresUs],
  ['CPU us', cpuUs],
];

function tableOf(title: string, columns: typeof COLUMNS, measured: readonly Measured[]): Table {
  return {
    title,
    heads: ['mode', 'positions/s', ...columns.map(([head]) => head)],
    rows: measured.map((one) => [
      one.mode,
      one.ratePerS,
      ...columns.map(([, value]) => digits(of(one, value))),
    ]),
  };
}

/** The greatest of the tried rates that was held in every round, as was every lesser one. */
export function heldRate(measured: readonly { ratePerS: number; costs: readonly ModeCost[] }[]): number {
  let held = 0;
  for (const { ratePerS, costs } of [...measured].sort((a, b) => a.ratePerS - b.ratePerS)) {
    if (!costs.every(isHeld)) break;
    held = ratePerS;
  }
  return held;
}

function summary({ measured, losses }: Comparison): Table {
  return {
    title: 'Where each stops, and what a crash of the cache takes',
    heads: [
      'mode',
      'held positions/s',
      'lost, as designed',
      'kill -9 of every node: drivers behind',
      'worst, s',
    ],
    rows: MODES.map((mode) => {
      const behind = losses[mode].map((loss) => `${loss.behind} of ${loss.watched}`);
      const worstS = Math.max(...losses[mode].map(({ worstMs }) => worstMs)) / 1000;
      return [
        mode,
        heldRate(measured.filter((one) => one.mode === mode)),
        LOST[mode],
        behind.join(', '),
        digits(worstS),
      ];
    }),
  };
}

function chartsOf(measured: readonly Measured[]): BarChart[] {
  const chart = (title: string, unit: string, value: (cost: ModeCost) => number) => ({
    title,
    unit,
    bars: measured
      .map((one) => ({
        name: `${one.ratePerS.toLocaleString('en')} positions/s, ${one.mode}`,
        value: of(one, value),
      }))
      // If nothing was acknowledged, no latency is known.
      .filter((bar) => Number.isFinite(bar.value)),
  });
  const held = MODES.map((mode) => ({
    name: mode,
    value: heldRate(measured.filter((one) => one.mode === mode)),
  }));
  return [
    {
      title: 'Greatest rate held (p99 below 1 s, 97 % acknowledged), of those tried',
      unit: 'positions/s',
      bars: held,
    },
    chart('CPU of all servers for each position', 'us', cpuUs),
    chart('Write-ahead log of Postgres for each position', 'bytes', ({ walBytes }) => walBytes),
    chart('Commits for each 1,000 positions', 'commits', ({ commits }) => 1000 * commits),
    chart('Acknowledgement, p99', 'ms', ({ p99Ms }) => p99Ms),
    chart(
      'How far a read is behind the newest acknowledged position, p99',
      'ms',
      ({ stalenessP99Ms }) => stalenessP99Ms,
    ),
  ];
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const seconds = context.seconds ?? DEFAULTS.seconds;
  const rounds = context.rounds ?? DEFAULTS.rounds;
  const rates =
    context.drivers === undefined ? RATES_PER_S : [Math.round((context.drivers * 1000) / INTERVAL_MS)];
  const comparison = new Comparison(context, rates, seconds);
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? MODES : [...MODES].reverse();
    for (const mode of order) await comparison.round(mode);
  }
  return outcomeOf(comparison, rates, seconds, rounds);
}

function outcomeOf(
  comparison: Comparison,
  rates: readonly number[],
  seconds: number,
  rounds: number,
): BenchOutcome {
  const { measured } = comparison;
  const against = (baseline: Mode) =>
    rates.map((ratePerS) => {
      const at = (mode: Mode) => measured.filter((one) => one.mode === mode && one.ratePerS === ratePerS);
      return {
        name: `CPU for each position at ${ratePerS.toLocaleString('en')}/s: write-behind`,
        unit: 'us',
        measured: at('write-behind').flatMap(({ costs }) => costs.map(cpuUs)),
        baseline: { name: baseline, measured: at(baseline).flatMap(({ costs }) => costs.map(cpuUs)) },
        goal: null,
      };
    });
  return {
    workload:
      `Drivers of one city (seed ${SEED}), each with a report every ${INTERVAL_MS / 1000} s in binary frames, ack=each; ${READS_PER_S} reads by id a second of ${WATCHED} of them; ${seconds} s after ${WARM_UP_S} s to warm up, ${rounds} rounds. ` +
      `The naive modes: one uWebSockets.js process, ${CONNECTIONS} connections to Postgres with prepared, pipelined statements, a Redis without append-only file; write-around caches on read for ${CACHE_TTL_S} s. ` +
      'Write-behind: ingest, query-api, flusher, promoter, 3 masters and 3 replicas with AOF, as npm start has them.',
    figures: [...against('write-through'), ...against('write-around')],
    tables: [
      summary(comparison),
      tableOf('What drivers and readers see', COLUMNS, measured),
      tableOf('For each acknowledged position', COST_COLUMNS, measured),
    ],
    charts: chartsOf(measured),
    notes: [
      'Stale: how much newer the newest acknowledged position of a driver is than the one that a read gave.',
      'CPU is that of all servers of a mode, replicas and idle work among it, reads too. The load shares the cores with them.',
      'Statements: counted by the naive servers, reads among them; for write-behind four for each transaction of the flusher, the most that one sends.',
      'The naive modes keep no index of places: they could not answer nearby questions. The cost of that is not in their figures.',
      ...hitNotes(measured),
    ],
  };
}

function hitNotes(measured: readonly Measured[]): string[] {
  const shares = measured
    .filter(({ mode }) => mode === 'write-around')
    .flatMap(({ costs }) => costs.map(({ cacheHitShare }) => cacheHitShare ?? Number.NaN));
  return [`Of write-around's reads ${Math.round(100 * median(shares))} % were answered by its cache.`];
}

export const MODES_BENCH: Bench = {
  about: 'Write-through, write-around and write-behind on the same load',
  run,
};
