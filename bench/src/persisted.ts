// How long a checkpoint takes until its driver receives `persisted`, on a stack that has nothing else to do.

import { DriverClient } from '@whereabouts/client/driver-client';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { type Random, seededRandom } from '@whereabouts/infra/seeded-random';
import { withDeadline } from '@whereabouts/infra/service/deadline';
import { driverTokens } from '@whereabouts/scripts/driver-tokens';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import type { Stack } from '@whereabouts/scripts/stack-file';
import type { Bench, BenchContext, BenchOutcome } from './bench.js';
import { cityFleet, type Place } from './load/places.js';
import { cell, sleep } from './measured-load.js';
import { quantile } from './stores/closed-loop.js';

const DEFAULTS = { seconds: 20, rounds: 3 };
const DRIVER_ID = 'checkpoint-bench';
const CONNECT_DEADLINE_MS = 10_000;
/** The first ones pay for connections and for code that has not run yet. */
const WARM_UP_S = 3;
const PERSISTED_DEADLINE_MS = 30_000;
/** Between two, so that none falls into step with the flusher's look every 100 ms. */
const PAUSE_MS = { min: 300, max: 500 };
const SEED = 7;
/** One driver sends what usually many do, and must not be held back by the rate limit. */
const ENV = { CHECKPOINTS_PER_MIN: '600' };
const FIGURE = { unit: 'ms', baseline: null };

async function connect(stack: Stack): Promise<DriverClient> {
  const tokenFor = driverTokens(stack);
  const client = new DriverClient({
    url: stack.ingest.url,
    getToken: () => tokenFor(DRIVER_ID),
    format: 'bin',
  });
  const endMs = Date.now() + CONNECT_DEADLINE_MS;
  while (client.state !== 'open') {
    if (Date.now() > endMs) throw new Error(`the driver is ${client.state}, not open`);
    await sleep(10);
  }
  return client;
}

/** One after the other, for this long; if one gets no answer, it and the bench are given up. */
async function timesMs(client: DriverClient, seconds: number, random: Random): Promise<number[]> {
  const [place] = cityFleet(1, SEED) as [Place];
  const times: number[] = [];
  const endMs = performance.now() + seconds * 1000;
  do {
    await sleep(random.between(PAUSE_MS.min, PAUSE_MS.max));
    const sentAtMs = performance.now();
    const lon = place.lon + times.length / 1e6;
    await withDeadline(
      client.checkpoint({ lat: place.lat, lon, status: 'busy' }),
      PERSISTED_DEADLINE_MS,
      () => {
        throw new Error(`no \`persisted\` in ${PERSISTED_DEADLINE_MS} ms`);
      },
    );
    times.push(performance.now() - sentAtMs);
  } while (performance.now() < endMs);
  return times;
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const rounds = context.rounds ?? DEFAULTS.rounds;
  const seconds = context.seconds ?? DEFAULTS.seconds;
  const random = seededRandom(SEED);
  const stack = await OwnStack.start(buildPartitionMap(cityFleet(1000, SEED)), ENV);
  const times: number[][] = [];
  try {
    const client = await connect(stack.now);
    await timesMs(client, WARM_UP_S, random);
    for (let round = 0; round < rounds; round++) {
      context.say(`persisted: round ${round + 1} of ${rounds}`);
      times.push((await timesMs(client, seconds, random)).sort((a, b) => a - b));
    }
    await client.close();
  } finally {
    await stack.stop();
  }
  const count = times.reduce((sum, { length }) => sum + length, 0);
  const quantiles = (q: number) => times.map((ms) => quantile(ms, q));
  const all = times.flat().sort((a, b) => a - b);
  return {
    workload: `one driver (the project's own client, binary) on a stack with nothing else to do, ${count} checkpoints one after the other, ${PAUSE_MS.min} to ${PAUSE_MS.max} ms between them (seed ${SEED}); ${rounds} rounds of ${seconds} s`,
    figures: [
      {
        ...FIGURE,
        name: 'from sending a checkpoint to `persisted`: median',
        measured: quantiles(0.5),
        goal: { atMost: 300 },
      },
      {
        ...FIGURE,
        name: 'from sending a checkpoint to `persisted`: p99',
        measured: quantiles(0.99),
        goal: null,
      },
    ],
    tables: [
      {
        title: 'All checkpoints, ms',
        heads: ['least', 'p50', 'p90', 'p99', 'most'],
        rows: [[0, 0.5, 0.9, 0.99, 1].map((q) => cell(quantile(all, q)))],
      },
    ],
    notes: ['Of so few in a round the p99 is the slowest.'],
  };
}

export const PERSISTED: Bench = {
  about: 'how long a checkpoint takes until its driver receives `persisted`',
  run,
};
