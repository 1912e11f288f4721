// Warnings where a plan exceeds what was measured, or what one of the parts can take; each says what to do.
import {
  CPU_TARGET,
  MIN_MASTERS,
  POSTGRES_TARGET,
  REDIS_MAX_CALLS_PER_S,
  REDIS_MAX_CLIENTS,
} from './assumptions.js';
import type { CapacityPlan } from './capacity-plan.js';

type Plan = Omit<CapacityPlan, 'warnings'>;

/** LOSS_BUDGET_MS, FRESHNESS_MS: their defaults. */
const LOSS_BUDGET_S = 10;
const FRESHNESS_S = 10;
/** A partition is flushed at this part of the loss budget, whatever the interval. */
const FLUSH_AT_BUDGET = 0.7;
/** The longest flush interval with a loss window that can still be promised. */
const LONGEST_FLUSH_S = 60;
/** Redis's own advice on the size of a cluster. */
const MAX_NODES = 1000;
const SMALL_CALLS = 0.5;

const count = (value: number) => Math.round(value).toLocaleString('en');

export function warningsOf(plan: Plan, measuredPositionsPerCall: number): string[] {
  return [
    postgresLimit(plan),
    lossBudget(plan.target.flushIntervalS),
    freshness(plan),
    following(plan),
    calls(plan),
    smallCalls(plan, measuredPositionsPerCall),
    nodes(plan),
    clients(plan),
    origins(plan),
  ].filter((warning) => warning !== null);
}

function postgresLimit({ target, load, postgres }: Plan): string | null {
  const limit = POSTGRES_TARGET * postgres.measuredRowsPerS;
  if (load.rowsPerS <= limit) return null;
  const percent = count((100 * load.rowsPerS) / postgres.measuredRowsPerS);
  const what = `Postgres: ${count(load.rowsPerS)} rows/s are ${percent} % of the ${count(postgres.measuredRowsPerS)} that one was measured to take.`;
  const flushIntervalS = Math.ceil(target.drivers / limit);
  if (flushIntervalS > LONGEST_FLUSH_S) {
    return `${what} Only a flush every ${count(flushIntervalS)} s would help, and so much could be lost: split by region, with a Postgres for each.`;
  }
  const budget = lossBudget(flushIntervalS) ?? '';
  return `${what} Flush every ${flushIntervalS} s instead (--flush ${flushIntervalS}), or take a larger Postgres and measure it. ${budget}`.trimEnd();
}

/** Otherwise the budget triggers the flush before the interval does. */
function lossBudget(flushIntervalS: number): string | null {
  if (flushIntervalS <= FLUSH_AT_BUDGET * LOSS_BUDGET_S) return null;
  const budgetMs = Math.ceil(flushIntervalS / FLUSH_AT_BUDGET) * 1000;
  return `With FLUSH_INTERVAL_MS=${1000 * flushIntervalS} set LOSS_BUDGET_MS=${budgetMs} or more: at ${100 * FLUSH_AT_BUDGET} % of it a partition is flushed before its interval. So old may be what is lost when the whole cache is.`;
}

function freshness({ target: { intervalS } }: Plan): string | null {
  if (intervalS < FRESHNESS_S / 2) return null;
  return `With a report every ${intervalS} s set FRESHNESS_MS well above ${count(1000 * intervalS)} for all services: drivers who are older than it (10,000 by default) leave the answers.`;
}

/** A question is answered from one process's memory, so each process has to keep up with the whole map. */
function following({ load, queryApi: { followingCores } }: Plan): string | null {
  if (followingCores <= CPU_TARGET) return null;
  const percent = count(100 * followingCores);
  return `query-api: to follow ${count(load.positionsPerS)} positions/s keeps each process busy for ${percent} % of its core before it answers anything. Split by region, with a cluster and query-api for each.`;
}

function calls({ redis, ingest, queryApi }: Plan): string | null {
  if (redis.callsPerMasterPerS <= REDIS_MAX_CALLS_PER_S) return null;
  return `Redis: ${count(ingest.processes)} ingest and ${count(queryApi.processes)} query-api processes make ${count(redis.callsPerMasterPerS)} appends and polls a second at a master (partitions x processes x 10 rounds), more than ${count(REDIS_MAX_CALLS_PER_S)}: most of its time goes into calls. Fewer partitions (npm run map -- build --partitions N), fewer and larger processes, or split by region.`;
}

function smallCalls({ ingest, redis }: Plan, measured: number): string | null {
  // If the minimum of masters carries the load anyway, nothing depends on it.
  if (redis.masters === MIN_MASTERS || ingest.positionsPerCall >= SMALL_CALLS * measured) return null;
  return `A call to Redis carries ${ingest.positionsPerCall.toFixed(1)} positions, as ${count(ingest.processes)} processes have ${count(redis.partitions)} partitions each to write to; the costs were measured with ${measured.toFixed(1)}, and smaller calls cost more for each position. Split by region, with a cluster and its own ingest for each, or measure calls of that size: npm run bench -- cost --drivers N with fewer drivers.`;
}

function nodes({ redis }: Plan): string | null {
  const all = redis.masters + redis.replicas;
  if (all <= MAX_NODES) return null;
  return `Redis Cluster: ${count(all)} nodes are more than the ${count(MAX_NODES)} it is made for. Split by region.`;
}

function clients({ connections: { perRedisNode } }: Plan): string | null {
  if (perRedisNode <= REDIS_MAX_CLIENTS) return null;
  return `Redis: ${count(perRedisNode)} connections to each node; maxclients is ${count(REDIS_MAX_CLIENTS)} by default. Raise it.`;
}

/** Costs of one commit and one machine belong together; costs of several do not mix. */
function origins({ measured }: Plan): string | null {
  const machines = new Set(measured.map(({ machine }) => machine));
  const commits = new Set(measured.map(({ commit }) => commit));
  if (machines.size === 1 && commits.size === 1) return null;
  const what = machines.size > 1 ? `${machines.size} machines` : `${commits.size} commits`;
  return `The costs are of ${what}. Run the benches again, on one: npm run bench.`;
}
