// How many acknowledged positions each commit of Postgres covers, through the whole stack. Written through one by one,
// it would be 1.

import { setTimeout as delay } from 'node:timers/promises';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import { scrape, total } from '@whereabouts/scripts/stack/scrape';
import { readSecret, type Stack } from '@whereabouts/scripts/stack-file';
import type { Bench, BenchContext, BenchOutcome } from './bench.js';
import { Load } from './load/load.js';
import { cityFleet, type Place } from './load/places.js';
import { ingestProcessesFor } from './measured-load.js';
import { difference, type PostgresCounters, PostgresProbe } from './postgres/postgres-counters.js';

const DEFAULTS = { drivers: 20_000, seconds: 60, rounds: 1 };
const SEED = 1;
const INTERVAL_MS = 2000;
const GOAL = 1000;
const LOAD_PROCESSES = 2;
const CONNECT_DEADLINE_MS = 60_000;
/** Every driver has a row by then: the measured flushes update. */
const WARM_UP_S = 12;

interface Counts {
  accepted: number;
  rowsWritten: number;
  transactions: number;
  passes: number;
  postgres: PostgresCounters;
}

async function countsOf({ ingest, flusher }: Stack, probe: PostgresProbe): Promise<Counts> {
  const [edge, behind] = [await scrape(ingest.ops), await scrape(flusher.ops)];
  const ofFlusher = (name: string) => total(behind, `whereabouts_flusher_${name}`) ?? Number.NaN;
  return {
    accepted: total(edge, 'whereabouts_ingest_positions_total') ?? Number.NaN,
    rowsWritten: ofFlusher('rows_written_total'),
    transactions: ofFlusher('transactions_total'),
    passes: ofFlusher('pass_duration_seconds_count'),
    postgres: await probe.read(),
  };
}

function changeOf(before: Counts, after: Counts): Counts {
  return {
    accepted: after.accepted - before.accepted,
    rowsWritten: after.rowsWritten - before.rowsWritten,
    transactions: after.transactions - before.transactions,
    passes: after.passes - before.passes,
    postgres: difference(before.postgres, after.postgres),
  };
}

async function measure(stack: OwnStack, drivers: Place[], seconds: number): Promise<Counts> {
  const { now } = stack;
  const { issuer, audience } = now.auth;
  const auth = { secret: readSecret(now), issuer, audience: audience.ingest };
  const port = Number(new URL(now.ingest.url).port);
  const load = new Load(
    { host: '127.0.0.1', port, auth, ack: 'each', format: 'bin', intervalMs: INTERVAL_MS, drivers },
    LOAD_PROCESSES,
  );
  const probe = await PostgresProbe.connect(stack.archiveAdminUrl, now.postgres.pid as number);
  try {
    await load.connected(CONNECT_DEADLINE_MS);
    await delay(WARM_UP_S * 1000);
    const before = await countsOf(now, probe);
    await delay(seconds * 1000);
    return changeOf(before, await countsOf(now, probe));
  } finally {
    await Promise.all([load.stop(), probe.close()]);
  }
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const seconds = context.seconds ?? DEFAULTS.seconds;
  const rounds = context.rounds ?? DEFAULTS.rounds;
  const drivers = cityFleet(context.drivers ?? DEFAULTS.drivers, SEED);
  const stack = await OwnStack.start(buildPartitionMap(drivers), {
    INGEST_PROCESSES: String(ingestProcessesFor(drivers.length)),
  });
  const measured: Counts[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      context.say(`commits: round ${round + 1} of ${rounds}`);
      measured.push(await measure(stack, drivers, seconds));
    }
  } finally {
    await stack.stop();
  }
  return {
    workload: `${drivers.length.toLocaleString('en')} drivers of one city (seed ${SEED}), each with a report every ${INTERVAL_MS / 1000} s, through the whole stack with the flusher's defaults; ${seconds} s after ${WARM_UP_S} s to warm up`,
    figures: [
      {
        name: 'acknowledged positions for each commit of Postgres',
        unit: 'positions',
        measured: measured.map(({ accepted, postgres }) => accepted / postgres.commits),
        baseline: null,
        goal: { atLeast: GOAL },
      },
      {
        name: 'acknowledged positions for each row written',
        unit: 'positions',
        measured: measured.map(({ accepted, rowsWritten }) => accepted / rowsWritten),
        baseline: null,
        goal: null,
      },
    ],
    tables: [
      {
        title: 'What was written for what was acknowledged',
        heads: [
          'positions',
          'rows written',
          'flush passes',
          'transactions of batches',
          'commits of the database',
        ],
        rows: measured.map(({ accepted, rowsWritten, passes, transactions, postgres }) => [
          accepted,
          rowsWritten,
          passes,
          transactions,
          postgres.commits,
        ]),
      },
    ],
    notes: [
      'Commits are all that the database counts (pg_stat_database): the flusher, its progress of quiet partitions, autovacuum, and one of ours. None is subtracted.',
    ],
  };
}

export const COMMITS: Bench = {
  about: 'Acknowledged positions for each commit of Postgres, through the whole stack',
  run,
};
