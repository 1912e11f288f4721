// What one misbehaving driver costs the others: their acknowledgements while a process floods ingest, over those of the
// same run without a flood.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import { readSecret, type Stack } from '@whereabouts/scripts/stack-file';
import type { Bench, BenchContext, BenchOutcome, Figure } from './bench.js';
import { FLOOD_KINDS, type FlooderReport, type FlooderTask, type FloodKind } from './load/flood-kinds.js';
import { Load } from './load/load.js';
import { cityFleet } from './load/places.js';
import { cell, INTERVAL_MS, sleep } from './measured-load.js';

const FLOODER = fileURLToPath(new URL('./load/flooder.js', import.meta.url));
const DEFAULTS = { drivers: 2_000, seconds: 10, rounds: 1 };
const CONNECT_DEADLINE_MS = 60_000;
const WARM_UP_MS = 5_000;
/** Queues that the flood has left behind belong to it; a driver that was cut off comes back within this. */
const SETTLE_MS = 3_000;
/** Each of them within its limits. */
const BAD_BATCH_DRIVERS = 500;
const FLOODER_ADDRESS = '127.0.0.99';
const SEED = 3;

interface Seen {
  calmP99Ms: number;
  floodP99Ms: number;
  nacks: number;
  closed: number;
  flooder: FlooderReport;
}

class Flooder {
  readonly #process: ChildProcess;

  private constructor(task: FlooderTask) {
    this.#process = fork(FLOODER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#process.send(task);
  }

  static async start(stack: Stack, kind: FloodKind): Promise<Flooder> {
    const { issuer, audience } = stack.auth;
    const count = kind === 'bad batches' ? BAD_BATCH_DRIVERS : 1;
    const tokens = await Promise.all(
      Array.from({ length: count }, (_, i) =>
        signDevelopmentToken({
          secret: readSecret(stack),
          issuer,
          audience: audience.ingest,
          subject: `flood-${kind.replaceAll(' ', '-')}-${i}`,
          scope: 'location:write',
          ttlS: 3600,
        }),
      ),
    );
    const port = Number(new URL(stack.ingest.url).port);
    return new Flooder({ host: '127.0.0.1', port, localAddress: FLOODER_ADDRESS, kind, tokens });
  }

  async stop(): Promise<FlooderReport> {
    this.#process.send('report');
    const [report] = await once(this.#process, 'message');
    this.#process.disconnect();
    await once(this.#process, 'exit');
    return report as FlooderReport;
  }
}

async function p99Ms(load: Load, seconds: number): Promise<number> {
  load.clearLatencies();
  await sleep(seconds * 1000);
  return (await load.snapshot()).latencies.quantile(0.99) ?? Number.NaN;
}

async function look(stack: Stack, load: Load, kind: FloodKind, seconds: number): Promise<Seen> {
  const calmP99Ms = await p99Ms(load, seconds);
  const before = (await load.snapshot()).totals;
  const flooder = await Flooder.start(stack, kind);
  const floodP99Ms = await p99Ms(load, seconds);
  const report = await flooder.stop();
  await sleep(SETTLE_MS);
  const after = (await load.snapshot()).totals;
  return {
    calmP99Ms,
    floodP99Ms,
    nacks: after.nacks - before.nacks,
    closed: after.closed - before.closed,
    flooder: report,
  };
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const count = context.drivers ?? DEFAULTS.drivers;
  const seconds = context.seconds ?? DEFAULTS.seconds;
  const rounds = context.rounds ?? DEFAULTS.rounds;
  const drivers = cityFleet(count, SEED);
  const seen = Object.fromEntries(FLOOD_KINDS.map((kind) => [kind, [] as Seen[]])) as Record<
    FloodKind,
    Seen[]
  >;
  const stack = await OwnStack.start(buildPartitionMap(drivers));
  try {
    const { auth, ingest } = stack.now;
    const port = Number(new URL(ingest.url).port);
    const load = new Load(
      {
        format: 'bin',
        ack: 'each',
        host: '127.0.0.1',
        port,
        intervalMs: INTERVAL_MS,
        drivers,
        auth: { secret: readSecret(stack.now), issuer: auth.issuer, audience: auth.audience.ingest },
      },
      1,
    );
    try {
      await load.connected(CONNECT_DEADLINE_MS);
      await sleep(WARM_UP_MS);
      for (let round = 0; round < rounds; round++) {
        for (const kind of FLOOD_KINDS) {
          context.say(`flood: ${kind}, round ${round + 1} of ${rounds}`);
          seen[kind].push(await look(stack.now, load, kind, seconds));
        }
      }
    } finally {
      await load.stop();
    }
  } finally {
    await stack.stop();
  }
  return outcomeOf(seen, `${count.toLocaleString('en')} drivers`, seconds, rounds);
}

function outcomeOf(
  seen: Record<FloodKind, Seen[]>,
  drivers: string,
  seconds: number,
  rounds: number,
): BenchOutcome {
  const figures = FLOOD_KINDS.map(
    (kind): Figure => ({
      name: `ack p99 of the others while one process floods: ${kind}`,
      unit: 'ms',
      measured: seen[kind].map(({ floodP99Ms }) => floodP99Ms),
      baseline: { name: 'without a flood', measured: seen[kind].map(({ calmP99Ms }) => calmP99Ms) },
      goal: { atMost: 3 },
    }),
  );
  const sum = (kind: FloodKind, of: (one: Seen) => number) =>
    seen[kind].reduce((total, one) => total + of(one), 0);
  return {
    workload: `${drivers} with a report every ${INTERVAL_MS / 1000} s (seed ${SEED}), binary, ack=each; ${seconds} s without and ${seconds} s with a process that floods over one connection (bad batches: ${BAD_BATCH_DRIVERS}, each within its limits; idle sockets: up to 19,000) and comes back at once when it is closed; ${rounds} rounds`,
    figures,
    tables: [
      {
        title: 'What the flood got through, and what the others received',
        heads: ['kind', 'connections', 'upgrades', 'MB written', 'nacks to others', 'others closed'],
        rows: FLOOD_KINDS.map((kind) => [
          kind,
          sum(kind, ({ flooder }) => flooder.connects),
          sum(kind, ({ flooder }) => flooder.upgrades),
          cell(sum(kind, ({ flooder }) => flooder.bytes) / 1e6),
          sum(kind, ({ nacks }) => nacks),
          sum(kind, ({ closed }) => closed),
        ]),
      },
    ],
    notes: [
      'The flood shares the two cores with what is measured, so a part of what it costs is its own work.',
    ],
  };
}

export const FLOOD: Bench = {
  about: 'what a driver who floods ingest costs the others',
  run,
};
