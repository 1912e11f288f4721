// What an acknowledged position costs: CPU of ingest and of the Redis masters, over a bare uWebSockets.js echo of the
// same frames on as many sockets at the same rate, alternating in one run.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { scrape, total } from '@whereabouts/scripts/stack/scrape';
import { readSecret, type Stack } from '@whereabouts/scripts/stack-file';
import { StackUnderTest } from '@whereabouts/scripts/testing/stack-under-test';
import { type Bench, type BenchContext, type BenchOutcome, type Figure, type Goal, median } from './bench.js';
import { Load } from './load/load.js';
import type { Format } from './load/load-driver.js';
import { cityFleet, type Place } from './load/places.js';
import { cpuS } from './process-cpu.js';

const ECHO = fileURLToPath(new URL('./echo-server.js', import.meta.url));
const INTERVAL_MS = 2000;
const CONNECT_DEADLINE_MS = 60_000;
const LOAD_PROCESSES = 2;
const WARM_UP_S = 6;
const DEFAULTS = { drivers: 20_000, seconds: 20, rounds: 2 };

interface Mode {
  format: Format;
  ack: 'each' | 'sparse';
  goal: Goal;
}

const MODES: Mode[] = [
  { format: 'bin', ack: 'sparse', goal: { atMost: 1.4 } },
  { format: 'bin', ack: 'each', goal: { atMost: 2 } },
  { format: 'json', ack: 'sparse', goal: { atMost: 1.6 } },
  { format: 'json', ack: 'each', goal: { atMost: 2.2 } },
];

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Cost {
  perMessageUs: number;
  p50Ms: number | null;
  p99Ms: number | null;
  parts: Record<string, number>;
}

async function measure(
  load: Load,
  seconds: number,
  pids: Record<string, readonly number[]>,
  messages: () => Promise<number>,
): Promise<Cost> {
  await load.connected(CONNECT_DEADLINE_MS);
  await sleep(WARM_UP_S * 1000);
  load.clearLatencies();
  const before = Object.entries(pids).map(([name, ids]) => [name, cpuS(ids)] as const);
  const countBefore = await messages();
  await sleep(seconds * 1000);
  const count = (await messages()) - countBefore;
  const parts = Object.fromEntries(
    before.map(([name, cpu]) => [name, (1e6 * (cpuS(pids[name] as readonly number[]) - cpu)) / count]),
  );
  const { latencies } = await load.snapshot();
  const perMessageUs = Object.entries(parts)
    .filter(([name]) => name !== 'replicas')
    .reduce((sum, [, us]) => sum + us, 0);
  return { perMessageUs, p50Ms: latencies.quantile(0.5), p99Ms: latencies.quantile(0.99), parts };
}

async function startEcho(): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(ECHO, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  return { child, port };
}

/** Of ingest's own count: recorded as the newest of their drivers. */
async function acceptedOf({ ingest }: Stack): Promise<number> {
  return total(await scrape(ingest.ops), 'whereabouts_ingest_positions_total', { outcome: 'accepted' }) ?? 0;
}

interface Setting {
  stack: Stack;
  echo: { child: ChildProcess; port: number };
  drivers: Place[];
  seconds: number;
}

async function echoCost({ echo, drivers, seconds }: Setting, mode: Mode): Promise<Cost> {
  const task = { ...mode, host: '127.0.0.1', intervalMs: INTERVAL_MS, drivers, port: echo.port, auth: null };
  const load = new Load(task, LOAD_PROCESSES);
  try {
    const sent = async () => (await load.snapshot()).totals.sent;
    return await measure(load, seconds, { echo: [echo.child.pid as number] }, sent);
  } finally {
    await load.stop();
  }
}

async function ourCost({ stack, drivers, seconds }: Setting, mode: Mode): Promise<Cost> {
  const { issuer, audience } = stack.auth;
  const auth = { secret: readSecret(stack), issuer, audience: audience.ingest };
  const port = Number(new URL(stack.ingest.url).port);
  const load = new Load(
    { ...mode, host: '127.0.0.1', intervalMs: INTERVAL_MS, drivers, port, auth },
    LOAD_PROCESSES,
  );
  const pidsOf = (role: 'master' | 'replica') =>
    stack.redis.filter((node) => node.role === role).map(({ pid }) => pid);
  const pids = { ingest: stack.ingest.pids, masters: pidsOf('master'), replicas: pidsOf('replica') };
  try {
    return await measure(load, seconds, pids, () => acceptedOf(stack));
  } finally {
    await load.stop();
  }
}

const modeName = ({ format, ack }: Mode) => `${format === 'bin' ? 'binary' : 'JSON'}, ack=${ack}`;

async function run(context: BenchContext): Promise<BenchOutcome> {
  const asked = {
    drivers: context.drivers ?? DEFAULTS.drivers,
    seconds: context.seconds ?? DEFAULTS.seconds,
    rounds: context.rounds ?? DEFAULTS.rounds,
  };
  const drivers = cityFleet(asked.drivers, 1);
  const own = await StackUnderTest.start(buildPartitionMap(drivers));
  const echo = await startEcho();
  const setting = { stack: own.now, echo, drivers, seconds: asked.seconds };
  const figures: Figure[] = [];
  const rows: (string | number)[][] = [];
  const costs: Record<string, number> = {};
  try {
    for (const mode of MODES) {
      const ours: Cost[] = [];
      const floors: Cost[] = [];
      for (let round = 0; round < asked.rounds; round++) {
        context.say(`cost: ${modeName(mode)}, round ${round + 1} of ${asked.rounds}`);
        floors.push(await echoCost(setting, mode));
        ours.push(await ourCost(setting, mode));
      }
      const of = (name: string) => median(ours.map(({ parts }) => parts[name] ?? 0));
      figures.push({
        name: `CPU of ingest and masters for each position: ${modeName(mode)}`,
        unit: 'us',
        measured: ours.map(({ perMessageUs }) => perMessageUs),
        baseline: { name: 'bare echo', measured: floors.map(({ perMessageUs }) => perMessageUs) },
        goal: mode.goal,
      });
      const p50Ms = median(ours.map((cost) => cost.p50Ms ?? Number.NaN));
      const p99Ms = median(ours.map((cost) => cost.p99Ms ?? Number.NaN));
      rows.push([modeName(mode), of('ingest'), of('masters'), of('replicas'), p50Ms, p99Ms].map(cell));
      const key = `${mode.format}_${mode.ack}`;
      costs[`ingest_us_${key}`] = of('ingest');
      costs[`masters_us_${key}`] = of('masters');
      costs[`replicas_us_${key}`] = of('replicas');
    }
  } finally {
    echo.child.disconnect();
    await own.stop();
  }
  const { drivers: count, seconds, rounds } = asked;
  return {
    workload: `${count.toLocaleString('en')} drivers of one city (seed 1), each with a report every ${INTERVAL_MS / 1000} s, 3 masters with AOF and 3 replicas; ${seconds} s after ${WARM_UP_S} s to warm up, ${rounds} rounds`,
    figures,
    tables: [
      {
        title: 'CPU for each position, and acknowledgements as the drivers saw them',
        heads: ['frames', 'ingest us', 'masters us', 'replicas us', 'ack p50 ms', 'ack p99 ms'],
        rows,
      },
    ],
    notes: ['Replicas are not in the ratio. The load shares the two cores with what is measured.'],
    costs,
  };
}

const cell = (value: string | number) =>
  typeof value !== 'number' ? value : Number.isFinite(value) ? Number(value.toPrecision(3)) : 'not measured';

export const COST: Bench = {
  about: 'CPU for each acknowledged position, over a bare uWebSockets.js echo',
  run,
};
