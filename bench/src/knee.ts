// The most drivers that this one machine carries with everything on it, the load included: groups of drivers join until
// a promise stays broken, the last group leaves again, and the rest has to hold for two minutes. Its cost there is
// compared with bare echoes of the same groups.

import { availableParallelism } from 'node:os';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { newestIn, recordedAtOf } from '@whereabouts/scripts/cache-view';
import { withLogStore } from '@whereabouts/scripts/live-look';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import type { Stack } from '@whereabouts/scripts/stack-file';
import type { Bench, BenchContext, BenchOutcome, Table } from './bench.js';
import { Crowd, type CrowdFigures, GROUP, PROBES } from './crowd.js';
import { type Echo, startEcho } from './echo.js';
import { Load } from './load/load.js';
import type { AckedReports } from './load/load-worker.js';
import { cityFleet, type Place } from './load/places.js';
import { cell, INTERVAL_MS, ingestProcessesFor, sleep } from './measured-load.js';
import { cpuS } from './process-cpu.js';

const SEED = 1;
/** More than two cores carry by far; each further process makes every batch smaller. */
const MAX_DRIVERS_PER_CORE = 36_000;
const DEFAULTS = { drivers: MAX_DRIVERS_PER_CORE * availableParallelism(), seconds: 120 };
const CONNECT_DEADLINE_MS = 90_000;
/** After a group has joined: connecting costs more than reporting. */
const SETTLE_S = 8;
const LOOK_S = 10;
const ECHO_S = 15;
const MAX_ACK_P99_MS = 250;
const LOSS_BUDGET_S = 10;
/** The share of all reports that has to be stored within the time in which they were sent. */
const MIN_STORED_SHARE = 0.98;

/** The broken promises, in words; empty: none. */
export function brokenBy(f: CrowdFigures): string[] {
  const broken: string[] = [];
  if (!(f.ackP99Ms <= MAX_ACK_P99_MS)) broken.push(`ack p99 ${f.ackP99Ms} ms, at most ${MAX_ACK_P99_MS}`);
  if (!(f.lossWindowS <= LOSS_BUDGET_S))
    broken.push(`loss window ${f.lossWindowS} s, at most ${LOSS_BUDGET_S}`);
  if (f.nacks > 0) broken.push(`${f.nacks} reports were refused`);
  if (f.closed > 0) broken.push(`${f.closed} connections were closed`);
  const asked = (1000 * f.drivers) / INTERVAL_MS;
  for (const [what, perS] of [
    ['sent', f.sentPerS],
    ['stored', f.storedPerS],
  ] as const) {
    if (!(perS >= MIN_STORED_SHARE * asked))
      broken.push(`${Math.round(perS)} reports/s were ${what}, of ${asked}`);
  }
  return broken;
}

/** Drivers whose newest acknowledged report, or a newer one, is not in the cache. */
async function lostOf(stack: Stack, acked: AckedReports): Promise<number> {
  const missing = new Map(Object.entries(acked));
  await withLogStore(stack, async (store) => {
    // A driver who has crossed a border is no longer where it started: every partition is asked for all missing ones.
    for (let partition = 0; partition < store.map.partitions; partition++) {
      for (const [id, { body }] of await newestIn(store, partition, [...missing.keys()])) {
        if (recordedAtOf(body) >= (missing.get(id) ?? 0)) missing.delete(id);
      }
    }
  });
  return missing.size;
}

/** CPU of bare echoes for each message, one for each group. */
async function echoUs(groups: readonly Place[][], seconds: number): Promise<number> {
  const echoes: Echo[] = [];
  const loads: Load[] = [];
  try {
    for (const [i, drivers] of groups.entries()) {
      const echo = await startEcho();
      echoes.push(echo);
      const task = { host: '127.0.0.1', port: echo.port, auth: null, format: 'bin' as const };
      const load = new Load({ ...task, ack: 'sparse', intervalMs: INTERVAL_MS, drivers }, 1, i + 2);
      loads.push(load);
      await load.connected(CONNECT_DEADLINE_MS);
    }
    await sleep(SETTLE_S * 1000);
    const pids = echoes.map(({ pid }) => pid);
    const sent = async () =>
      (await Promise.all(loads.map((load) => load.snapshot()))).reduce(
        (sum, { totals }) => sum + totals.sent,
        0,
      );
    const [cpuBefore, sentBefore] = [cpuS(pids), await sent()];
    await sleep(seconds * 1000);
    return (1e6 * (cpuS(pids) - cpuBefore)) / ((await sent()) - sentBefore);
  } finally {
    await Promise.all(loads.map((load) => load.stop()));
    for (const echo of echoes) echo.stop();
  }
}

interface Step {
  figures: CrowdFigures;
  seconds: number;
  broken: string[];
}

/** Groups join until a promise is broken in three looks; then they leave, until the rest holds. */
async function climb(crowd: Crowd, max: number, seconds: number, say: BenchContext['say']): Promise<Step[]> {
  const steps: Step[] = [];
  const take = async (lookS: number) => {
    await sleep(SETTLE_S * 1000);
    const figures = await crowd.look(lookS);
    const broken = brokenBy(figures);
    steps.push({ figures, seconds: lookS, broken });
    const verdict = broken.length === 0 ? 'all promises kept' : broken.join('; ');
    say(`knee: ${figures.drivers.toLocaleString('en')} drivers for ${lookS} s: ${verdict}`);
    return broken.length === 0;
  };
  let isHeld = true;
  while (isHeld && crowd.size + GROUP <= max) {
    isHeld = await crowd.join().then(
      // On a shared machine this may have been one bad moment.
      async () => (await take(LOOK_S)) || (await take(LOOK_S)) || take(LOOK_S),
      () => false,
    );
  }
  if (!isHeld) await crowd.leave();
  while (crowd.groups.length > 0 && !(await take(seconds))) await crowd.leave();
  return steps;
}

function tableOf(steps: readonly Step[]): Table {
  const parts = Object.keys(steps[0]?.figures.cores ?? {});
  const heads = ['drivers', 'for s', 'stored/s', 'ack p99 ms', 'loss window s'];
  return {
    title: 'Step by step: cores that each part kept busy, and what was broken',
    heads: [...heads, ...parts, 'broken'],
    rows: steps.map(({ figures: f, seconds, broken }) => [
      ...[f.drivers, seconds, Math.round(f.storedPerS), f.ackP99Ms, f.lossWindowS].map(cell),
      ...parts.map((part) => Number((f.cores[part] ?? 0).toFixed(2))),
      broken.join('; ') || 'nothing',
    ]),
  };
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const max = context.drivers ?? DEFAULTS.drivers;
  const seconds = context.seconds ?? DEFAULTS.seconds;
  const places = cityFleet(max, SEED);
  const map = buildPartitionMap(places);
  const processes = ingestProcessesFor(max);
  const own = await OwnStack.start(map, { INGEST_PROCESSES: String(processes) });
  let steps: Step[];
  let lost = Number.NaN;
  let groups = 0;
  try {
    const crowd = new Crowd(own.now, places);
    try {
      steps = await climb(crowd, max, seconds, context.say);
      groups = crowd.groups.length;
      if (groups > 0) lost = await lostOf(own.now, await crowd.acked());
    } finally {
      await crowd.stop();
    }
  } finally {
    await own.stop();
  }
  const knee = steps.at(-1)?.figures;
  if (knee === undefined || groups === 0) throw new Error(`not even ${GROUP} drivers were held`);
  context.say(`knee: echoes of as many drivers`);
  const echo = await echoUs(
    Array.from({ length: groups }, (_, i) => places.slice(PROBES + i * GROUP, PROBES + (i + 1) * GROUP)),
    ECHO_S,
  );
  const us = (part: string) => (1e6 * (knee.cores[part] ?? 0)) / knee.storedPerS;
  return {
    workload: `groups of ${GROUP.toLocaleString('en')} drivers of one city (seed ${SEED}), binary, ack=sparse, a report every ${INTERVAL_MS / 1000} s, and ${PROBES} with ack=each who tell the latency; ${processes} ingest processes on one port, 3 masters with AOF, 3 replicas, flusher, Postgres and the load on ${availableParallelism()} cores; at most ${max.toLocaleString('en')} were tried`,
    figures: [
      {
        name: `Most drivers at a report every 2 s, held for ${seconds} s`,
        unit: 'drivers',
        measured: [knee.drivers],
        baseline: null,
        goal: { atLeast: 100_000 },
      },
      {
        name: 'CPU of ingest and masters for each position at the knee: binary, ack=sparse',
        unit: 'us',
        measured: [us('ingest') + us('masters')],
        baseline: { name: 'bare echoes', measured: [echo] },
        goal: { atMost: 1.2 },
      },
      {
        name: 'Drivers whose newest acknowledged position was not in the cache, at the knee',
        unit: 'drivers',
        measured: [lost],
        baseline: null,
        goal: { atMost: 0 },
      },
    ],
    tables: [tableOf(steps)],
    notes: [
      'Echo and stack are not alternated here: one run of each.',
      'A driver of ack=sparse knows what was acknowledged up to 10 s ago; that is what the cache is held against.',
    ],
    costs: { knee_drivers: knee.drivers, ingest_us_knee: us('ingest'), masters_us_knee: us('masters') },
  };
}

export const KNEE: Bench = {
  about: 'The most drivers that this machine carries, load included, and what is saturated there',
  run,
};
