// What an acknowledged position costs: CPU of ingest and of the Redis masters, over a bare uWebSockets.js echo of the
// same frames on as many sockets at the same rate, alternating in one run.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BenchStack, counter } from './bench-stack.js';
import { Load } from './load/load.js';
import type { Format } from './load/load-driver.js';
import { cityFleet } from './load/places.js';
import { cpuS } from './process-cpu.js';

const ECHO = fileURLToPath(new URL('./echo-server.js', import.meta.url));
const INTERVAL_MS = 2000;
const CONNECT_DEADLINE_MS = 60_000;
const LOAD_PROCESSES = 2;

interface Mode {
  format: Format;
  ack: 'each' | 'sparse';
}

const MODES: Mode[] = [
  { format: 'bin', ack: 'sparse' },
  { format: 'bin', ack: 'each' },
  { format: 'json', ack: 'sparse' },
  { format: 'json', ack: 'each' },
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
  seconds: { warmUp: number; measured: number },
  pids: Record<string, readonly number[]>,
  messages: () => Promise<number>,
): Promise<Cost> {
  await load.connected(CONNECT_DEADLINE_MS);
  await sleep(seconds.warmUp * 1000);
  load.clearLatencies();
  const before = Object.entries(pids).map(([name, ids]) => [name, cpuS(ids)] as const);
  const countBefore = await messages();
  await sleep(seconds.measured * 1000);
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

export interface CostOptions {
  drivers: number;
  seconds: number;
  json: boolean;
}

/** Four modes: binary and JSON frames, each report acknowledged or only now and then. */
export async function cost(options: CostOptions): Promise<void> {
  const drivers = cityFleet(options.drivers, 1);
  const seconds = { warmUp: 6, measured: options.seconds };
  const stack = await BenchStack.start(drivers, {});
  const echo = await startEcho();
  const { ingest, auth } = stack.file;
  const ingestUrl = new URL(ingest.url);
  const secret = readFileSync(auth.secretFile, 'utf8').trim();
  const rows: object[] = [];
  try {
    for (const mode of MODES) {
      const task = { ...mode, host: '127.0.0.1', intervalMs: INTERVAL_MS, drivers };
      const echoLoad = new Load({ ...task, port: echo.port, auth: null }, LOAD_PROCESSES);
      const floor = await measure(echoLoad, seconds, { echo: [echo.child.pid as number] }, async () => {
        return (await echoLoad.snapshot()).totals.sent;
      });
      await echoLoad.stop();
      const tokens = { secret, issuer: auth.issuer, audience: auth.audience.ingest };
      const load = new Load({ ...task, port: Number(ingestUrl.port), auth: tokens }, LOAD_PROCESSES);
      const pids = {
        ingest: ingest.pids,
        masters: stack.pidsOf('master'),
        replicas: stack.pidsOf('replica'),
      };
      const ours = await measure(load, seconds, pids, () =>
        counter(ingest.ops, 'whereabouts_ingest_positions_total', 'accepted'),
      );
      await load.stop();
      const ratio = ours.perMessageUs / floor.perMessageUs;
      rows.push({ ...mode, ratio, floor, cost: ours });
      if (options.json) continue;
      const { ingest: ingestUs, masters, replicas } = ours.parts as Record<string, number>;
      process.stdout.write(
        `${mode.format} ${mode.ack}: ${ratio.toFixed(2)} x echo  (echo ${floor.perMessageUs.toFixed(1)} us; ` +
          `ingest ${ingestUs?.toFixed(1)} + masters ${masters?.toFixed(1)} us, replicas ${replicas?.toFixed(1)} us; ` +
          `ack p50 ${ours.p50Ms} ms, p99 ${ours.p99Ms} ms)\n`,
      );
    }
    if (options.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
  } finally {
    echo.child.disconnect();
    await stack.stop();
  }
}
