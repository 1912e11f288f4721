// A load on a stack or on the echo, and the cost of each of its messages: CPU of the processes that serve it, as the
// kernel counts it, over the messages that got through; and how long acknowledgements took, as the drivers saw it.

import { median } from '@whereabouts/scripts/median';
import { scrape, total } from '@whereabouts/scripts/stack/scrape';
import { readSecret, type Stack } from '@whereabouts/scripts/stack-file';

import { Load } from './load/load.js';
import type { Format } from './load/load-driver.js';
import type { Place } from './load/places.js';
import { cpuS, treeCpuS } from './process-cpu.js';

export const INTERVAL_MS = 2000;
export const WARM_UP_S = 6;
const CONNECT_DEADLINE_MS = 60_000;
const LOAD_PROCESSES = 2;
const SCRAPE_ATTEMPTS = 5;

export interface Frames {
  format: Format;
  ack: 'each' | 'sparse';
}

export interface LoadCost {
  /** By the name of the part. */
  cpuUs: Record<string, number>;
  p50Ms: number | null;
  p99Ms: number | null;
  /** In one entry of the log, on average; null for the echo. */
  positionsPerCall: number | null;
}

interface Counts {
  messages: number;
  calls: number | null;
}

interface Measured {
  frames: Frames;
  port: number;
  auth: { secret: string; issuer: string; audience: string } | null;
  /** CPU seconds of each part so far. */
  cpuS: Record<string, () => number>;
  counts(load: Load): Promise<Counts>;
}

async function measure(m: Measured, drivers: Place[], seconds: number): Promise<LoadCost> {
  const { port, auth, frames } = m;
  const load = new Load(
    { ...frames, host: '127.0.0.1', intervalMs: INTERVAL_MS, drivers, port, auth },
    LOAD_PROCESSES,
  );
  try {
    await load.connected(CONNECT_DEADLINE_MS);
    await sleep(WARM_UP_S * 1000);
    load.clearLatencies();
    const cpuBeforeS = Object.entries(m.cpuS).map(([part, now]) => [part, now, now()] as const);
    const before = await m.counts(load);
    await sleep(seconds * 1000);
    const after = await m.counts(load);
    const messages = after.messages - before.messages;
    const cpuUs = cpuBeforeS.map(([part, now, beforeS]) => [part, (1e6 * (now() - beforeS)) / messages]);
    const { latencies } = await load.snapshot();
    return {
      cpuUs: Object.fromEntries(cpuUs),
      p50Ms: latencies.quantile(0.5),
      p99Ms: latencies.quantile(0.99),
      positionsPerCall: after.calls === null ? null : messages / (after.calls - (before.calls ?? 0)),
    };
  } finally {
    await load.stop();
  }
}

export function echoCost(
  echo: { pid: number; port: number },
  drivers: Place[],
  seconds: number,
  frames: Frames,
): Promise<LoadCost> {
  const counts = async (load: Load) => ({ messages: (await load.snapshot()).totals.sent, calls: null });
  return measure(
    { frames, port: echo.port, auth: null, cpuS: { echo: () => cpuS([echo.pid]) }, counts },
    drivers,
    seconds,
  );
}

/** The parts that serve a load, by the names in `LoadCost.cpuUs`. */
export const SERVING_PARTS = ['ingest', 'masters', 'replicas'];
/** And the parts that follow it: the index of one query-api, and the archive. */
export const ALL_PARTS = [...SERVING_PARTS, 'query_api', 'flusher', 'postgres'];

/** Of ALL_PARTS. */
export function stackCost(
  stack: Stack,
  drivers: Place[],
  seconds: number,
  frames: Frames,
): Promise<LoadCost> {
  const { issuer, audience } = stack.auth;
  const auth = { secret: readSecret(stack), issuer, audience: audience.ingest };
  const { ingest, query, flusher, postgres } = stack;
  const [masters, replicas] = [redisPids(stack, 'master'), redisPids(stack, 'replica')];
  const parts = {
    ingest: () => cpuS(ingest.pids),
    masters: () => cpuS(masters),
    replicas: () => cpuS(replicas),
    query_api: () => cpuS([query.pid]),
    flusher: () => cpuS([flusher.pid]),
    postgres: () => treeCpuS(postgres.pid as number),
  };
  const port = Number(new URL(ingest.url).port);
  return measure({ frames, port, auth, cpuS: parts, counts: () => ingestCounts(stack) }, drivers, seconds);
}

export const redisPids = (stack: Stack, role: 'master' | 'replica'): number[] =>
  stack.redis.filter((node) => node.role === role).map(({ pid }) => pid);

/** From ingest's own count. A busy ingest may miss a scrape. */
export async function ingestCounts({ ingest }: Stack): Promise<Counts> {
  for (let attempt = 0; attempt < SCRAPE_ATTEMPTS; attempt++) {
    const samples = await scrape(ingest.ops);
    const messages = total(samples, 'whereabouts_ingest_positions_total');
    const calls = total(samples, 'whereabouts_ingest_record_calls_total');
    if (messages !== undefined && calls !== undefined) return { messages, calls };
  }
  throw new Error(`ingest did not report its counters, ${SCRAPE_ATTEMPTS} times`);
}

/** The median of several rounds; a part that was not measured has none. */
export const medianUs = (costs: readonly LoadCost[], part: string): number =>
  median(costs.map(({ cpuUs }) => cpuUs[part] ?? Number.NaN));

export const sumUs = ({ cpuUs }: LoadCost, parts: readonly string[]): number =>
  parts.reduce((sum, part) => sum + (cpuUs[part] ?? Number.NaN), 0);

/** As the drivers saw it; NaN if nothing was measured. */
export const medianOf = (costs: readonly LoadCost[], key: 'p50Ms' | 'p99Ms' | 'positionsPerCall'): number =>
  median(costs.map((cost) => cost[key] ?? Number.NaN));

/** For a table: three digits, or that there is nothing. */
export const cell = (value: string | number): string | number =>
  typeof value !== 'number' ? value : Number.isFinite(value) ? Number(value.toPrecision(3)) : 'not measured';

/** The limit of open files is often 20,000 for a process, and each connection is one. */
export const CONNECTIONS_PER_PROCESS = 18_000;

export const ingestProcessesFor = (drivers: number): number => Math.ceil(drivers / CONNECTIONS_PER_PROCESS);

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
