// Memory for each driver: in Redis for log and snapshot, in ingest for its connection, in query-api for its index.

import { setTimeout as sleep } from 'node:timers/promises';
import { formatAddress } from '@whereabouts/infra/node-address';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { withNode } from '@whereabouts/scripts/drill/cluster-view';
import { median } from '@whereabouts/scripts/median';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import { readSecret, type Stack } from '@whereabouts/scripts/stack-file';
import type { Bench, BenchContext, BenchOutcome, Figure, Goal } from './bench.js';
import { Load } from './load/load.js';
import { cityFleet, type Place } from './load/places.js';
import { residentBytes } from './process-memory.js';
import { QueryService } from './stores/query-service.js';
import { positionOf, StoreUnderTest } from './stores/store-under-test.js';

/** A log holds the reports of the last 10 to 15 s, so by then it has its full length. */
const DEFAULTS = { drivers: 10_000, seconds: 25, rounds: 2 };
const STORED = 300_000;
const SEED = 1;
const MASTERS = 3;
const INTERVAL_MS = 2000;
const LOAD_PROCESSES = 2;
/** As ingest does, so that no partition counts as silent. */
const TOUCH_EVERY_MS = 500;
const CONNECT_DEADLINE_MS = 60_000;
/** The load has returned its buffers, and growing hash tables are done. */
const SETTLE_MS = 2000;
const UUID_LENGTH = 36;

interface Asked {
  drivers: number;
  seconds: number;
  rounds: number;
}

interface AtRest {
  redis: number;
  queryApi: number;
}

/**
 * Growth of used_memory, and of a query-api that follows, for each driver of a fleet that is in the snapshots alone.
 */
async function atRest(places: readonly Place[]): Promise<AtRest> {
  const own = await StoreUnderTest.start(buildPartitionMap(places), MASTERS);
  try {
    await own.touchAll();
    const emptyBytes = await own.usedMemoryBytes();
    const emptyQueryApi = await queryApiBytes(own);
    await own.load(places.map((place) => positionOf(place, 'available', Date.now())));
    await sleep(SETTLE_MS);
    const bytes = await own.usedMemoryBytes();
    return {
      redis: (bytes - emptyBytes) / places.length,
      queryApi: ((await queryApiBytes(own)) - emptyQueryApi) / places.length,
    };
  } finally {
    await own.stop();
  }
}

async function queryApiBytes(own: StoreUnderTest): Promise<number> {
  const touching = setInterval(() => void own.touchAll().catch(() => {}), TOUCH_EVERY_MS);
  try {
    const query = await QueryService.start(own);
    await sleep(SETTLE_MS);
    const bytes = residentBytes([query.pid]);
    await query.stop();
    return bytes;
  } finally {
    clearInterval(touching);
  }
}

interface UnderLoad {
  /** Of ingest, for each connection. */
  ofEach: number;
  /** For each of the second half, which excludes what the first connections warm up. */
  ofEachMore: number;
  /** Of the masters, for each driver. */
  redis: number;
}

/**
 * Of the keys only: the replication backlog has a fixed size, independent of the drivers, and fills at their first
 * reports.
 */
async function datasetBytes(stack: Stack): Promise<number> {
  const masters = stack.redis.filter(({ role }) => role === 'master');
  const infos = masters.map((node) => withNode(stack, formatAddress(node), (open) => open.info('memory')));
  return (await Promise.all(infos)).reduce(
    (sum, info) => sum + Number(/^used_memory_dataset:(\d+)/m.exec(info)?.[1]),
    0,
  );
}

/** Growth for each connected driver, after all have reported for a while. */
async function underLoad(places: readonly Place[], seconds: number): Promise<UnderLoad> {
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
    const emptyRedis = await datasetBytes(own.now);
    const half = places.length >> 1;
    const withHalf = await after(places.slice(0, half));
    const withAll = await after(places.slice(half));
    return {
      ofEach: (withAll - idle) / places.length,
      ofEachMore: (withAll - withHalf) / (places.length - half),
      redis: ((await datasetBytes(own.now)) - emptyRedis) / places.length,
    };
  } finally {
    await Promise.all(loads.map((load) => load.stop()));
    await own.stop();
  }
}

/** As long as a UUID, the driver name in many fleets. */
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
  const rest: AtRest[] = [];
  const restLongIds: AtRest[] = [];
  const load: UnderLoad[] = [];
  for (let round = 0; round < asked.rounds; round++) {
    context.say(`memory: round ${round + 1} of ${asked.rounds}`);
    rest.push(await atRest(stored));
    restLongIds.push(await atRest(withLongIds(stored)));
    load.push(await underLoad(connected, asked.seconds));
  }
  const figure = (name: string, measured: number[], goal: Goal | null): Figure => ({
    name,
    unit: 'bytes',
    measured,
    baseline: null,
    goal,
  });
  const each = load.map(({ ofEach }) => ofEach);
  const further = load.map(({ ofEachMore }) => ofEachMore);
  const redis = load.map((one) => one.redis);
  const redisAtRest = rest.map((one) => one.redis);
  const queryApi = rest.map((one) => one.queryApi);
  return {
    workload: `${STORED.toLocaleString('en')} available drivers of one city (seed ${SEED}) in the snapshots of 64 partitions on ${MASTERS} masters; and a whole stack with ${asked.drivers.toLocaleString('en')} drivers on connections of their own, binary frames, ack=sparse, a report every ${INTERVAL_MS / 1000} s, half of them ${asked.seconds} s earlier than the others, measured after as long; ${asked.rounds} rounds`,
    figures: [
      figure('Redis memory for each driver under load, log and snapshot', redis, { atMost: 600 }),
      figure('Redis memory for each driver at rest, in the snapshot', redisAtRest, null),
      figure(
        'Redis memory for each driver at rest with an id of 36 characters',
        restLongIds.map((one) => one.redis),
        null,
      ),
      figure('Resident memory of ingest for each connection', each, { atMost: 6000 }),
      figure('Resident memory of ingest for each connection of the second half', further, null),
      figure('Resident memory of query-api for each driver', queryApi, { atMost: 400 }),
    ],
    notes: [
      'Redis: growth of used_memory, under load of used_memory_dataset, summed over the masters; ids of 8 to 13 characters. Replicas hold as much again.',
      'Ingest: growth of VmRSS, summed over its processes, from a stack that is ready and has no driver yet, so what Node needs to get warm is counted with the connections. What the kernel keeps for a socket is not in it.',
      'query-api: VmRSS after it has read the fleet, less that of one that found nobody.',
    ],
    costs: {
      redis_bytes_per_driver: median(redis),
      redis_bytes_per_driver_at_rest: median(redisAtRest),
      ingest_bytes_per_connection: median(each),
      ingest_bytes_per_further_connection: median(further),
      query_api_bytes_per_driver: median(queryApi),
    },
  };
}

export const MEMORY: Bench = {
  about: 'memory of Redis and query-api for each driver, and of ingest for each connection',
  run,
};
