// The figures of `npm run top`: from the services' /metrics, query-api's partitions and the Redis nodes themselves.
// Rates are differences between two looks. Null is "not known", never 0.
import { readerConnection } from '@whereabouts/infra/local/reader-connection';
import { formatAddress } from '@whereabouts/infra/node-address';
import type { Places } from '../places/places.js';
import { type Dark, DarkWatch, nodesOf, type PartitionNow, partitionsNow } from '../stack/dark.js';
import {
  growth,
  LOOKS_OF_A_RATE,
  largest,
  orNull,
  p99Ms,
  type Sample,
  SHOWN,
  scrape,
  total,
} from '../stack/scrape.js';
import type { Stack, StackNode } from '../stack-file.js';

const NODE_TIMEOUT_MS = 900;
const WORST = 5;
/** Asked by monitoring clients, like this one. */
const WATCHED_ROUTE = '/v1/partitions';
const REQUESTS = 'whereabouts_query_api_request_duration_seconds';

export interface ServiceFigures {
  name: string;
  pids: number[];
  /** False: its /metrics cannot be read. */
  answers: boolean;
  /** Of one core. */
  cpu: number | null;
  memory_bytes: number | null;
}

export interface NodeFigures extends Pick<StackNode, 'role' | 'state' | 'pid'> {
  address: string;
  memory_bytes: number | null;
  /** As query-api reports it; 0 for a replica. */
  partitions: number;
  drivers: number | null;
  loss_window_ms: number | null;
}

export interface PartitionFigures {
  partition: number;
  from: string;
  to: string;
  /** The nearest large city. */
  city: string | null;
  node: string | null;
  health: string;
  drivers: number | null;
  loss_window_ms: number | null;
}

export interface TopSnapshot {
  /** RFC 3339 */
  at: string;
  fleet: {
    connected: number | null;
    positions_per_s: number | null;
    acks_per_s: number | null;
    nacks_per_s: number | null;
    ack_p99_ms: number | null;
  };
  archive: {
    /** Null: the flusher does not answer. */
    postgres_up: boolean | null;
    rows_per_s: number | null;
    loss_window_ms: number | null;
    loss_budget_ms: number | null;
    over_budget: boolean | null;
  };
  /** Without those for the partitions, which `top` and `npm start` ask all the time. */
  questions: {
    per_s: number | null;
    p99_ms: number | null;
    incomplete_per_s: number | null;
    refused_per_s: number | null;
  };
  services: ServiceFigures[];
  nodes: NodeFigures[];
  dark: { since: string; partitions: number; of: number; where: string; nodes: string[] } | null;
  /** Those that are not well, then those with the greatest loss window. */
  worst: PartitionFigures[];
}

interface Look {
  atMs: number;
  ingest: Sample[];
  flusher: Sample[];
  query: Sample[];
  partitions: PartitionNow[] | null;
  memory: ReadonlyMap<string, number>;
}

async function memoryOf(stack: Stack, node: StackNode): Promise<readonly [string, number] | null> {
  const address = formatAddress(node);
  const connection = readerConnection(address, stack.redisReader, NODE_TIMEOUT_MS);
  try {
    await connection.connect();
    const used = /used_memory:(\d+)/.exec(await connection.info('memory'))?.[1];
    return used === undefined ? null : [address, Number(used)];
  } catch {
    return null;
  } finally {
    connection.disconnect();
  }
}

async function lookAt(stack: Stack): Promise<Look> {
  const up = stack.redis.filter(({ state }) => state === 'up');
  const [ingest, flusher, query, partitions, ...memory] = await Promise.all([
    scrape(stack.ingest.ops),
    scrape(stack.flusher.ops),
    scrape(stack.query.ops),
    partitionsNow(stack),
    ...up.map((node) => memoryOf(stack, node)),
  ]);
  const known = memory.filter((one) => one !== null);
  return { atMs: performance.now(), ingest, flusher, query, partitions, memory: new Map(known) };
}

const badnessOf = ({ health, loss_window_ms }: PartitionNow): number =>
  health === 'ok' ? (loss_window_ms ?? 0) : Number.MAX_SAFE_INTEGER;

export class TopWatch {
  readonly #places: Places;
  readonly #darkWatch = new DarkWatch();
  readonly #looks: Look[] = [];

  constructor(places: Places) {
    this.#places = places;
  }

  /** Rates are null at the first look: there is nothing to compare with. */
  async look(stack: Stack): Promise<TopSnapshot> {
    const now = await lookAt(stack);
    this.#looks.push(now);
    if (this.#looks.length > LOOKS_OF_A_RATE) this.#looks.shift();
    const before = this.#looks[0] as Look;
    const rates = ratesBetween(before, now);
    const rows = now.partitions ?? [];
    const dark = now.partitions && this.#darkWatch.look(rows);
    return {
      at: new Date().toISOString(),
      ...rates,
      services: servicesOf(stack, before, now),
      nodes: stack.redis.map((node) => nodeFigures(node, rows, now.memory)),
      dark: dark && this.#darkFigures(dark),
      worst: [...rows]
        .sort((a, b) => badnessOf(b) - badnessOf(a))
        .slice(0, WORST)
        .map((row) => this.#partitionFigures(row)),
    };
  }

  #darkFigures({ rows, partitions, sinceMs }: Dark): NonNullable<TopSnapshot['dark']> {
    const since = new Date(sinceMs).toISOString();
    const where = this.#places.textOf(rows);
    return { since, partitions: rows.length, of: partitions, where, nodes: nodesOf(rows) };
  }

  #partitionFigures(row: PartitionNow): PartitionFigures {
    const { partition, from, to, node, health, drivers, loss_window_ms } = row;
    return { partition, from, to, city: this.#places.cityOf(row), node, health, drivers, loss_window_ms };
  }
}

function ratesBetween(before: Look, now: Look): Pick<TopSnapshot, 'fleet' | 'archive' | 'questions'> {
  const seconds = (now.atMs - before.atMs) / 1000;
  const rate = (service: 'ingest' | 'flusher' | 'query', name: string, counted = (_: Sample) => true) => {
    const grown = growth(before[service].filter(counted), now[service].filter(counted), name);
    if (seconds <= 0) return null;
    // A counter with labels does not exist before its first increment.
    if (grown === null) return now[service].length > 0 && before[service].length > 0 ? 0 : null;
    return grown / seconds;
  };
  const isAsked = ({ labels }: Sample) => labels.route !== WATCHED_ROUTE;
  const gauge = (name: string) => orNull(largest(now.flusher, `whereabouts_flusher_${name}`));
  const inMs = (s: number | null) => (s === null ? null : Math.round(s * 1000));
  const postgresUp = gauge('archive_up');
  const exceeded = gauge('loss_budget_exceeded');
  const known = orNull(largest(now.flusher, SHOWN.lossWindow));
  const unknown = gauge('loss_window_unknown_at_most_seconds');
  return {
    fleet: {
      connected: orNull(total(now.ingest, SHOWN.connections)),
      positions_per_s: rate('ingest', SHOWN.accepted),
      acks_per_s: rate('ingest', 'whereabouts_ingest_acks_total'),
      nacks_per_s: rate('ingest', 'whereabouts_ingest_nacks_total'),
      ack_p99_ms: p99Ms(before.ingest, now.ingest, SHOWN.ackLatency),
    },
    archive: {
      postgres_up: postgresUp === null ? null : postgresUp === 1,
      rows_per_s: rate('flusher', SHOWN.rows),
      loss_window_ms: inMs(known === null ? null : Math.max(known, unknown ?? 0)),
      loss_budget_ms: inMs(gauge('loss_budget_seconds')),
      over_budget: exceeded === null ? null : exceeded === 1,
    },
    questions: {
      per_s: rate('query', `${REQUESTS}_count`, isAsked),
      p99_ms: p99Ms(before.query.filter(isAsked), now.query.filter(isAsked), REQUESTS),
      incomplete_per_s: rate('query', 'whereabouts_query_api_incomplete_answers_total'),
      refused_per_s: rate('query', 'whereabouts_query_api_refused_questions_total'),
    },
  };
}

function servicesOf(stack: Stack, before: Look, now: Look): ServiceFigures[] {
  const seconds = (now.atMs - before.atMs) / 1000;
  const figures = (name: string, pids: number[], from: Sample[], to: Sample[]): ServiceFigures => {
    const cpu = growth(from, to, 'process_cpu_seconds_total');
    return {
      name,
      pids,
      answers: to.length > 0,
      cpu: cpu === null || seconds <= 0 ? null : cpu / seconds,
      memory_bytes: orNull(total(to, 'process_resident_memory_bytes')),
    };
  };
  return [
    figures('ingest', stack.ingest.pids, before.ingest, now.ingest),
    figures('flusher', [stack.flusher.pid], before.flusher, now.flusher),
    figures('query-api', [stack.query.pid], before.query, now.query),
  ];
}

function nodeFigures(
  node: StackNode,
  rows: readonly PartitionNow[],
  memory: ReadonlyMap<string, number>,
): NodeFigures {
  const address = formatAddress(node);
  const own = rows.filter((row) => row.node === address);
  const drivers = own.map((row) => row.drivers).filter((count) => count !== null);
  const windows = own.map((row) => row.loss_window_ms).filter((ms) => ms !== null);
  const { role, state, pid } = node;
  return {
    address,
    role,
    state,
    pid,
    memory_bytes: orNull(memory.get(address)),
    partitions: own.length,
    drivers: drivers.length === 0 ? null : drivers.reduce((sum, count) => sum + count, 0),
    loss_window_ms: windows.length === 0 ? null : Math.max(...windows),
  };
}
