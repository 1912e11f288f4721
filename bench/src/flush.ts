// What the flusher loses on the way from Redis to Postgres: rows a second of the flusher process, over those of its
// bare upsert, which gets the same rows ready-made. And what batches save over single rows.

import { setTimeout as delay } from 'node:timers/promises';
import { median } from '@whereabouts/scripts/median';
import { alternate, type Bench, type BenchContext, type BenchOutcome } from './bench.js';
import { BATCH_ROWS, type Written, writeBatches, writeSingles } from './flush/bare-writers.js';
import { FlusherSetting } from './flush/flusher-setting.js';
import { PlacedFleet } from './flush/placed-fleet.js';
import { difference, type PostgresCounters, PostgresProbe } from './postgres/postgres-counters.js';
import { cpuS } from './process-cpu.js';

const DEFAULTS = { drivers: 100_000, seconds: 5, rounds: 5 };
const SEED = 1;
const GOAL = 0.6;
const WARM_UP_ROUNDS = 2;
const SINGLE_CONNECTIONS = [1, 8];
const IDLE_S = 3;

/** Of one writer in one round. */
interface Round extends Written {
  postgres: PostgresCounters;
  writerCpuS: number;
  transactions: number;
}

interface Setting {
  fleet: PlacedFleet;
  flusher: FlusherSetting;
  probe: PostgresProbe;
  /** CPU of an idle flusher, which is not counted for the rows. */
  idleCpuShare: number;
}

const sideCpuS = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

async function bareRound(
  { probe }: Setting,
  write: () => Promise<Written>,
  transactions: number | null,
): Promise<Round> {
  const before = await probe.read();
  const cpuBeforeS = sideCpuS();
  const written = await write();
  const writerCpuS = sideCpuS() - cpuBeforeS;
  const postgres = difference(before, await probe.read());
  return { ...written, postgres, writerCpuS, transactions: transactions ?? written.rows };
}

async function flusherRound({ flusher, fleet, probe, idleCpuShare }: Setting): Promise<Round> {
  const round = fleet.nextRound();
  await flusher.appendMost(round);
  const counted = await flusher.counts();
  const before = await probe.read();
  const startedMs = performance.now();
  const cpuBeforeS = cpuS([flusher.flusherPid]);
  const after = await flusher.appendLast(round, counted);
  const idleS = (idleCpuShare * (performance.now() - startedMs)) / 1000;
  const writerCpuS = cpuS([flusher.flusherPid]) - cpuBeforeS - idleS;
  const postgres = difference(before, await probe.read());
  const rows = after.rows - counted.rows;
  if (rows !== fleet.drivers) throw new Error(`${rows} rows were written for ${fleet.drivers} drivers`);
  const transactions = after.transactions - counted.transactions;
  return { rows, seconds: after.passS - counted.passS, postgres, writerCpuS, transactions };
}

async function idleShare(pid: number): Promise<number> {
  const before = cpuS([pid]);
  await delay(IDLE_S * 1000);
  return (cpuS([pid]) - before) / IDLE_S;
}

const rowsPerS = ({ rows, seconds }: Written) => rows / seconds;
const of = (rounds: readonly Round[], value: (round: Round) => number) => median(rounds.map(value));
const writerUs = ({ writerCpuS, rows }: Round) => (1e6 * writerCpuS) / rows;
const postgresUs = ({ postgres, rows }: Round) => (1e6 * postgres.cpuS) / rows;
const walBytes = ({ postgres, rows }: Round) => postgres.walBytes / rows;

const rowOf = (name: string, rounds: readonly Round[]) => [
  name,
  Math.round(of(rounds, rowsPerS)),
  Number(of(rounds, (round) => round.rows / round.transactions).toPrecision(3)),
  Number(of(rounds, writerUs).toPrecision(3)),
  Number(of(rounds, postgresUs).toPrecision(3)),
  Math.round(of(rounds, walBytes)),
];
const HEADS = ['writer', 'rows/s', 'rows a transaction', 'writer us', 'Postgres us', 'WAL bytes'];

async function measure(context: BenchContext, setting: Setting, rounds: number, seconds: number) {
  const { fleet, flusher } = setting;
  const bare: Round[] = [];
  const ours: Round[] = [];
  const rowsOfNext = () => fleet.nextRound().flat();
  const batches = Math.ceil(fleet.drivers / BATCH_ROWS);
  const sides = {
    bare: async () => {
      const rows = rowsOfNext();
      const { url } = flusher.database;
      bare.push(await bareRound(setting, () => writeBatches(url, fleet.map.hash, rows), batches));
    },
    ours: async () => {
      ours.push(await flusherRound(setting));
    },
  };
  for (let i = 0; i < WARM_UP_ROUNDS; i++) for (const side of [sides.ours, sides.bare]) await side();
  bare.length = 0;
  ours.length = 0;
  const warm = await setting.probe.read();
  await alternate(rounds, {
    bare: (round) => {
      context.say(`flush: round ${round + 1} of ${rounds}`);
      return sides.bare();
    },
    ours: sides.ours,
  });
  const all = difference(warm, await setting.probe.read());
  const singles: Record<number, Round> = {};
  for (const connections of SINGLE_CONNECTIONS) {
    context.say(`flush: single rows over ${connections} connections for ${seconds} s`);
    const rows = rowsOfNext();
    const write = () => writeSingles(flusher.database.url, fleet.map.hash, rows, { connections, seconds });
    singles[connections] = await bareRound(setting, write, null);
  }
  return { bare, ours, singles, hotShare: all.hotUpdates / all.updates };
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const seconds = context.seconds ?? DEFAULTS.seconds;
  const rounds = context.rounds ?? DEFAULTS.rounds;
  const fleet = new PlacedFleet(context.drivers ?? DEFAULTS.drivers, SEED);
  const flusher = await FlusherSetting.start(fleet, context.say);
  try {
    const { adminUrl, server } = flusher.database;
    const probe = await PostgresProbe.connect(adminUrl, server.pid);
    const idleCpuShare = await idleShare(flusher.flusherPid);
    const setting = { fleet, flusher, probe, idleCpuShare };
    const measured = await measure(context, setting, rounds, seconds).finally(() => probe.close());
    return outcomeOf(fleet, idleCpuShare, measured);
  } finally {
    await flusher.stop();
  }
}

function outcomeOf(
  fleet: PlacedFleet,
  idleCpuShare: number,
  { bare, ours, singles, hotShare }: Awaited<ReturnType<typeof measure>>,
): BenchOutcome {
  const figure = (name: string, unit: string, measured: number[]) => ({
    name,
    unit,
    measured,
    baseline: null,
    goal: null,
  });
  const single = Object.entries(singles).map(
    ([connections, round]) => [`single-row upserts, connections: ${connections}`, round] as const,
  );
  return {
    workload:
      `${fleet.drivers.toLocaleString('en')} drivers of one city (seed ${SEED}) in ${fleet.map.partitions} partitions, all of them dirty and each with a row in Postgres already; ${ours.length} rounds after ${WARM_UP_ROUNDS} to warm up. ` +
      `The flusher: its process, from the first begin of a pass to the last watermark. The bare upsert: the statement of flusher/src/archive.ts, made of the same columns (a copy, as nobody may import the flusher), on one connection with the same rows in the same batches of ${BATCH_ROWS.toLocaleString('en')} sorted by id, a transaction each, its parameters made before the clock starts, down to the text that is sent.`,
    figures: [
      {
        name: 'rows flushed a second',
        unit: 'rows/s',
        measured: ours.map(rowsPerS),
        baseline: { name: 'bare upsert', measured: bare.map(rowsPerS) },
        goal: { atLeast: GOAL },
      },
      ...single.map(([name, round]) => figure(name, 'rows/s', [rowsPerS(round)])),
      figure('WAL for each row flushed', 'bytes', ours.map(walBytes)),
      figure('updates that touch no index (HOT)', 'share', [hotShare]),
      figure('CPU of the flusher for each row', 'us', ours.map(writerUs)),
    ],
    tables: [
      {
        title: 'For each row: CPU of who writes and of Postgres, and write-ahead log',
        heads: HEADS,
        rows: [
          rowOf('bare upsert', bare),
          rowOf('flusher', ours),
          ...single.map(([name, round]) => rowOf(name, [round])),
        ],
      },
    ],
    notes: [
      `A flusher with nothing to do looks ten times a second; that CPU (${(idleCpuShare * 100).toFixed(1)} % of a core) is not in what a row costs.`,
      'After each checkpoint of Postgres the first change of a page logs the whole page: more bytes than here where checkpoints are close together.',
      'One row after the other on one connection shows how long a commit waits for the disk of this machine.',
      'Redis has three masters and no replicas here; nobody reports and nobody asks while a round is flushed.',
    ],
    costs: {
      flusher_us_per_row: of(ours, writerUs),
      flusher_rows_per_s: of(ours, rowsPerS),
      postgres_us_per_row: of(ours, postgresUs),
      postgres_wal_bytes_per_row: of(ours, walBytes),
      postgres_rows_per_s: of(bare, rowsPerS),
    },
  };
}

export const FLUSH: Bench = {
  about: 'Rows a second of the flusher, over its bare upsert of the same rows',
  run,
};
