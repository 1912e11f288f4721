// How much a number of drivers needs: from the measured cost of each part, with headroom. Pure.
//
//  What runs on one core (ingest, a Redis node, query-api, a flusher) is counted in processes, so that each uses
// CPU_TARGET of its core at most, and CPU_AFTER_LOSS once one of its kind is gone and the rest carry its part.
import { SPARSE_ACK_INTERVAL_MS } from '@whereabouts/client/protocol';
import {
  COPY_ON_WRITE,
  CPU_AFTER_LOSS,
  CPU_TARGET,
  INGEST_BASE_BYTES,
  MAX_CONNECTIONS,
  MIN_PROCESSES,
  OTHER_DESCRIPTORS,
  QUERY_API_BASE_BYTES,
  REDIS_BASE_BYTES,
  REDIS_HOST_SPARE_CORES,
  REPLICAS,
} from './assumptions.js';
import type { CapacityPlan, Load, Part, RedisPlan, Target } from './capacity-plan.js';
import { warningsOf } from './capacity-warnings.js';
import { type ClusterShape, clusterFor } from './cluster-shape.js';
import type { Costs } from './measured-costs.js';
import { costName, requiredCosts } from './required-costs.js';
import { wireBytes } from './wire-bytes.js';

/** No cluster carries more: a plan would be wrong. */
export class TooMuch extends Error {
  readonly code = 'too_much';
}

/** Measured costs by name; `requiredCosts` has made sure that they exist. */
type CostOf = (name: string) => number;

const US = 1e-6;
/** If following alone is too much for a core, the plan warns; this keeps its numbers finite. */
const LEAST_ROOM = 0.05;
/** A process ticks at its slowest from about 2,500 reports/s on: TICK_MAX_MS. */
const TICK_S = 0.1;
/** How often a query-api asks each partition for news. */
const POLLS_PER_S = 10;
/** The masters' measured cost of a position includes the polls of one query-api. */
const MEASURED_FOLLOWERS = 1;

function loadOf({ drivers, intervalS, flushIntervalS, ack }: Target): Load {
  const ackIntervalS = ack === 'each' ? intervalS : Math.max(intervalS, SPARSE_ACK_INTERVAL_MS / 1000);
  return {
    positionsPerS: drivers / intervalS,
    acksPerS: drivers / ackIntervalS,
    // A driver who has not reported since is not written again.
    rowsPerS: drivers / Math.max(intervalS, flushIntervalS),
  };
}

/** `least`: the minimum that something other than CPU requires. */
function partFor(busyCores: number, least = MIN_PROCESSES): Part {
  const processes = Math.max(
    least,
    Math.ceil(busyCores / CPU_TARGET),
    Math.ceil(busyCores / CPU_AFTER_LOSS) + 1,
  );
  return {
    processes,
    busyCores,
    utilisation: busyCores / processes,
    utilisationAfterLoss: busyCores / (processes - 1),
  };
}

/** The cost of a position, including that of the durability; noise may have made that negative. */
function positionUs(target: Target, cost: CostOf, part: 'ingest' | 'masters' | 'replicas'): number {
  const extra = target.durability === 'replicated' ? cost(`durability_replicated_extra_${part}_us`) : 0;
  return cost(costName(`${part}_us`, target)) + Math.max(0, extra);
}

/** Each process spends this on following, however many there are. */
function queryApiFor(target: Target, { positionsPerS }: Load, cost: CostOf): CapacityPlan['queryApi'] {
  const { drivers, questionsPerS } = target;
  const followingCores = positionsPerS * cost(costName('query_api_us', target)) * US;
  const answeringCores = questionsPerS > 0 ? questionsPerS * cost('query_api_us_per_question') * US : 0;
  const roomFor = (busyCores: number) => Math.max(LEAST_ROOM, busyCores - followingCores);
  const processes = Math.max(
    MIN_PROCESSES,
    Math.ceil(answeringCores / roomFor(CPU_TARGET)),
    Math.ceil(answeringCores / roomFor(CPU_AFTER_LOSS)) + 1,
  );
  const bytesPerProcess = QUERY_API_BASE_BYTES + drivers * cost('query_api_bytes_per_driver');
  return {
    processes,
    followingCores,
    busyCores: processes * followingCores + answeringCores,
    utilisation: followingCores + answeringCores / processes,
    utilisationAfterLoss: followingCores + answeringCores / (processes - 1),
    bytesPerProcess,
    bytesInAll: processes * bytesPerProcess,
  };
}

/** Partitions decide what polls cost, and the masters how many partitions there are: the plan grows until it fits. */
function shapeFor(positionsBusy: number, pollCores: (partitions: number) => number): ClusterShape | null {
  let busyCores = positionsBusy;
  for (;;) {
    const shape = clusterFor(busyCores);
    if (shape === null) return null;
    const needed = positionsBusy + pollCores(shape.partitions);
    if (needed <= busyCores) return shape;
    busyCores = needed;
  }
}

function redisFor(
  target: Target,
  { positionsPerS }: Load,
  queryApis: number,
  cost: CostOf,
): Omit<RedisPlan, 'callsPerMasterPerS'> {
  const { drivers } = target;
  const mastersUs = positionUs(target, cost, 'masters');
  const moreFollowers = Math.max(0, queryApis - MEASURED_FOLLOWERS);
  const pollCores = (partitions: number) =>
    moreFollowers * partitions * POLLS_PER_S * cost('redis_us_per_poll') * US;
  const positionsBusy = positionsPerS * mastersUs * US;
  const replicasBusy = positionsPerS * positionUs(target, cost, 'replicas') * US;
  const shape = shapeFor(positionsBusy, pollCores);
  if (shape === null) {
    throw new TooMuch(
      `${drivers.toLocaleString('en')} drivers are more than one cluster carries. Plan for regions, each with its own cluster.`,
    );
  }
  const { masters, partitions, greatestShare, greatestShareAfterLoss } = shape;
  const mastersBusy = positionsBusy + pollCores(partitions);
  const master = {
    utilisation: mastersBusy * greatestShare,
    utilisationAfterLoss: mastersBusy * greatestShareAfterLoss,
  };
  const replicaBusy = REPLICAS * replicasBusy * greatestShare;
  // If the neighbour's host is gone, its replica here is a master too.
  const hostBusy = Math.max(
    (master.utilisation + replicaBusy) / CPU_TARGET,
    (2 * master.utilisation) / CPU_AFTER_LOSS,
  );
  const bytesPerDriver = cost('redis_bytes_per_driver');
  const bytesPerNode = drivers * greatestShareAfterLoss * bytesPerDriver * COPY_ON_WRITE + REDIS_BASE_BYTES;
  return {
    ...shape,
    replicas: REPLICAS * masters,
    master,
    busyCores: mastersBusy + REPLICAS * replicasBusy,
    hosts: masters,
    coresPerHost: Math.ceil(hostBusy) + REDIS_HOST_SPARE_CORES,
    dataBytesPerMaster: drivers * greatestShare * bytesPerDriver,
    bytesPerNode,
    bytesInAll: bytesPerNode * masters * (1 + REPLICAS),
    catchUpS: drivers * greatestShare * mastersUs * US,
  };
}

function ingestFor(target: Target, load: Load, partitions: number, cost: CostOf): CapacityPlan['ingest'] {
  const { drivers } = target;
  const forConnections = Math.ceil(drivers / MAX_CONNECTIONS) + 1;
  const busyCores = load.positionsPerS * positionUs(target, cost, 'ingest') * US;
  const part = partFor(busyCores, Math.max(MIN_PROCESSES, forConnections));
  const connections = Math.ceil(drivers / (part.processes - 1));
  const bytesPerProcess = INGEST_BASE_BYTES + connections * cost('ingest_bytes_per_connection');
  return {
    ...part,
    bytesPerProcess,
    bytesInAll: part.processes * bytesPerProcess,
    positionsPerCall: Math.max(1, ((load.positionsPerS / part.processes) * TICK_S) / partitions),
  };
}

/** Two to each node, data and control; a third to each master if calls wait for replicas. */
function connectionsOf(
  { drivers, durability }: Target,
  { masters, replicas }: RedisPlan,
  { ingest, queryApi, flusher }: Record<'ingest' | 'queryApi' | 'flusher', Part>,
): CapacityPlan['connections'] {
  const waiting = durability === 'replicated' ? 1 : 0;
  const redisPerIngestProcess = 2 * (masters + replicas) + waiting * masters;
  const services = ingest.processes + queryApi.processes + flusher.processes;
  const promoters = MIN_PROCESSES;
  return {
    driversPerProcess: Math.ceil(drivers / ingest.processes),
    driversPerProcessAfterLoss: Math.ceil(drivers / (ingest.processes - 1)),
    redisPerIngestProcess,
    descriptorsPerIngestProcess: MAX_CONNECTIONS + redisPerIngestProcess + OTHER_DESCRIPTORS,
    perRedisNode: 2 * services + waiting * ingest.processes + promoters + REPLICAS,
  };
}

function networkOf({ frames }: Target, { positionsPerS, acksPerS }: Load): CapacityPlan['network'] {
  const bytes = wireBytes(frames);
  return {
    inBytesPerS: positionsPerS * bytes.report + acksPerS * bytes.receipt,
    outBytesPerS: positionsPerS * bytes.receipt + acksPerS * bytes.ack,
  };
}

/** Throws NotMeasured and TooMuch. */
export function planCapacity(target: Target, costs: Costs): CapacityPlan {
  const measured = requiredCosts(target, costs);
  const byName = new Map(measured.map(({ name, value }) => [name, value]));
  const cost: CostOf = (name) => byName.get(name) as number;
  const load = loadOf(target);
  const queryApi = queryApiFor(target, load, cost);
  const shape = redisFor(target, load, queryApi.processes, cost);
  const ingest = ingestFor(target, load, shape.partitions, cost);
  const rounds = ingest.processes / TICK_S + queryApi.processes * POLLS_PER_S;
  const redis = { ...shape, callsPerMasterPerS: shape.partitions * shape.greatestShare * rounds };
  const flusher = partFor(load.rowsPerS * cost('flusher_us_per_row') * US);
  const postgresBusy = load.rowsPerS * cost('postgres_us_per_row') * US;
  const postgres = {
    busyCores: postgresBusy,
    cores: Math.max(1, Math.ceil(postgresBusy / CPU_TARGET)),
    walBytesPerS: load.rowsPerS * cost('postgres_wal_bytes_per_row'),
    measuredRowsPerS: cost('postgres_rows_per_s'),
  };
  const processes = ingest.processes + queryApi.processes + flusher.processes;
  const plan: Omit<CapacityPlan, 'warnings'> = {
    target,
    load,
    redis,
    ingest,
    queryApi,
    flusher,
    postgres,
    cores: processes + redis.hosts * redis.coresPerHost + postgres.cores,
    connections: connectionsOf(target, redis, { ingest, queryApi, flusher }),
    network: networkOf(target, load),
    measured,
  };
  return { ...plan, warnings: warningsOf(plan, cost(costName('positions_per_call', target))) };
}
