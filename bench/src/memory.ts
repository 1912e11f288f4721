// What a driver takes of the memory: of Redis for its record and its place, and of ingest for its connection.

import { setTimeout as sleep } from 'node:timers/promises';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import { readSecret } from '@whereabouts/scripts/stack-file';
import { type Bench, type BenchContext, type BenchOutcome, type Figure, type Goal, median } from './bench.js';
import { Load } from './load/load.js';
import { cityFleet, type Place } from './load/places.js';
import { residentBytes } from './process-memory.js';
import { positionOf, StoreUnderTest } from './stores/store-under-test.js';

const DEFAULTS = { drivers: 10_000, seconds: 15, rounds: 2 };
const STORED = 100_000;
const SEED = 1;
const MASTERS = 3;
const INTERVAL_MS = 2000;
const LOAD_PROCESSES = 2;
const CONNECT_DEADLINE_MS = 60_000;
/** Buffers of the load are given back, hash tables that grow are done. */
const SETTLE_MS = 2000;
const UUID_LENGTH = 36;

interface Asked {
  drivers: number;
  seconds: number;
  rounds: number;
}

/** Growth of used_memory for each driver recorded. */
async function redisBytes(places: readonly Place[]): Promise<number> {
  const own = await StoreUnderTest.start(buildPartitionMap(places), MASTERS);
  try {
    await own.touchAll();
    const emptyBytes = await own.usedMemoryBytes();
    await own.load(places.map((place) => positionOf(place, 'available', Date.now())));
    await sleep(SETTLE_MS);
    return ((await own.usedMemoryBytes()) - emptyBytes) / places.length;
  } finally {
    await own.stop();
  }
}

interface IngestBytes {
  ofEach: number;
  /** Of each of the second half: what the first connections warm up is not in it. */
  ofEachMore: number;
}

/** Growth of resident memory for each connected driver, after all have reported for a while. */
async function ingestBytes(places: readonly Place[], seconds: number): Promise<IngestBytes> {
  const own = await OwnStack.start(buildPartitionMap(places));
  const loads: Load[] = [];
  try {
    const { ingest, auth: of } = own.now;
    const auth = { secret: readSecret(own.now), issuer: of.issuer, audience: of.audience.ingest };
    const server = { host: '127.0.0.1', port: Number(new URL(ingest.url).port), auth };
    const after = async (drivers: Place[]) => {
      const how = { format: 'bin', ack: 'sparse', intervalMs: INTERVAL_MS } as const;
      const load = new Load({ ...server, ...how, drivers }, LOAD_PROCESSES);
      loads.push(load);
      await load.connected(CONNECT_DEADLINE_MS);
      await sleep(seconds * 1000);
      return residentBytes(ingest.pids);
    };
    await sleep(SETTLE_MS);
    const idle = residentBytes(ingest.pids);
    const half = places.length >> 1;
    const withHalf = await after(places.slice(0, half));
    const withAll = await after(places.slice(half));
    return {
      ofEach: (withAll - idle) / places.length,
      ofEachMore: (withAll - withHalf) / (places.length - half),
    };
  } finally {
    await Promise.all(loads.map((load) => load.stop()));
    await own.stop();
  }
}

/** As long as a UUID, which is what many fleets name their drivers by. */
const withLongIds = (places: readonly Place[]): Place[] =>
  places.map((place) => ({ ...place, id: place.id.padEnd(UUID_LENGTH, '_') }));

async function run(context: BenchContext): Promise<BenchOutcome> {
  const asked: Asked = {
    drivers: context.drivers ?? DEFAULTS.drivers,
    seconds: context.seconds ?? DEFAULTS.seconds,
    rounds: context.rounds ?? DEFAULTS.rounds,
  };
  const stored = cityFleet(STORED, SEED);
  const connected = cityFleet(asked.drivers, SEED);
  const redis: number[] = [];
  const redisLongIds: number[] = [];
  const ingest: IngestBytes[] = [];
  for (let round = 0; round < asked.rounds; round++) {
    context.say(`memory: round ${round + 1} of ${asked.rounds}`);
    redis.push(await redisBytes(stored));
    redisLongIds.push(await redisBytes(withLongIds(stored)));
    ingest.push(await ingestBytes(connected, asked.seconds));
  }
  const figure = (name: string, measured: number[], goal: Goal | null): Figure => ({
    name,
    unit: 'bytes',
    measured,
    baseline: null,
    goal,
  });
  const each = ingest.map(({ ofEach }) => ofEach);
  const further = ingest.map(({ ofEachMore }) => ofEachMore);
  return {
    workload: `${STORED.toLocaleString('en')} available drivers of one city (seed ${SEED}) recorded once in 64 partitions on ${MASTERS} masters; and a whole stack with ${asked.drivers.toLocaleString('en')} drivers on connections of their own, binary frames, ack=sparse, a report every ${INTERVAL_MS / 1000} s, half of them ${asked.seconds} s earlier than the others, measured after as long; ${asked.rounds} rounds`,
    figures: [
      figure('Redis memory for each driver', redis, { atMost: 300 }),
      figure('Redis memory for each driver with an id of 36 characters', redisLongIds, null),
      figure('Resident memory of ingest for each connection', each, { atMost: 8192 }),
      figure('Resident memory of ingest for each connection of the second half', further, null),
    ],
    notes: [
      'Redis: growth of used_memory, summed over the masters; ids of 8 to 12 characters. Replicas hold as much again.',
      'Ingest: growth of VmRSS, summed over its processes, from a stack that is ready and has no driver yet, so what Node needs to get warm is counted with the connections. What the kernel keeps for a socket is not in it.',
    ],
    costs: {
      redis_bytes_per_driver: median(redis),
      redis_bytes_per_driver_id_of_36: median(redisLongIds),
      ingest_bytes_per_connection: median(each),
      ingest_bytes_per_further_connection: median(further),
    },
  };
}

export const MEMORY: Bench = {
  about: 'memory of Redis for each driver, and of ingest for each connection',
  run,
};
