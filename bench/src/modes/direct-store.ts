// The two naive ways to keep positions in Redis and Postgres, each at its best: prepared statements pipelined over
// several connections (a driver always on the same one), a Redis without append-only file, plain SETs pipelined.
//
//   through  upsert, then SET, then acknowledged          read: GET
//   around   upsert, then acknowledged                    read: GET, or SELECT and SET with a lifetime

import { COLUMNS, fromE7, type Position } from '@whereabouts/infra/position';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { rowValues, UPSERT_ROW } from '../postgres/upsert-statement.js';

export type DirectMode = 'through' | 'around';

export const CONNECTIONS = 12;
export const CACHE_TTL_S = 5;
/** If more than this wait for Postgres, a position is refused: some seconds' worth. */
const MAX_WAITING = 20_000;
/** Map and partition for the rows, which the flusher has; here there are none. */
const NO_MAP = 'none';
const SELECT_ROW = `SELECT ${COLUMNS.map(({ name }) => name).join(', ')} FROM driver_positions WHERE driver_id = $1`;

export interface DirectCounts {
  statements: number;
  refused: number;
  reads: number;
  cacheHits: number;
}

export class DirectStore {
  readonly counts: DirectCounts = { statements: 0, refused: 0, reads: 0, cacheHits: 0 };
  readonly #mode: DirectMode;
  readonly #writers: Client[];
  readonly #reader: Client;
  readonly #redis: Redis;
  #waiting = 0;

  private constructor(mode: DirectMode, clients: Client[], redis: Redis) {
    this.#mode = mode;
    this.#reader = clients[0] as Client;
    this.#writers = clients.slice(1);
    this.#redis = redis;
  }

  static async open(mode: DirectMode, databaseUrl: string, redisPort: number): Promise<DirectStore> {
    const clients = Array.from({ length: CONNECTIONS + 1 }, () => connection(databaseUrl));
    await Promise.all(clients.map((client) => client.connect()));
    const redis = new Redis({
      port: redisPort,
      enableAutoPipelining: true,
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      lazyConnect: true,
    });
    redis.on('error', () => {});
    await redis.connect();
    await redis.config('SET', 'appendonly', 'no');
    return new DirectStore(mode, clients, redis);
  }

  /** Resolves when it may be acknowledged. */
  async write(position: Position): Promise<void> {
    if (this.#waiting >= MAX_WAITING) {
      this.counts.refused++;
      throw new Error(`${MAX_WAITING} positions wait for Postgres`);
    }
    this.#waiting++;
    try {
      this.counts.statements++;
      const values = rowValues(NO_MAP, { partition: 0, position });
      await this.#writerOf(position.driverId).query({ name: 'upsert', text: UPSERT_ROW, values });
    } finally {
      this.#waiting--;
    }
    if (this.#mode === 'through') await this.#redis.set(position.driverId, answerOf(position));
  }

  /** JSON, or null if the driver is not known. */
  async read(driverId: string): Promise<string | null> {
    this.counts.reads++;
    const cached = await this.#redis.get(driverId);
    if (cached !== null) {
      this.counts.cacheHits++;
      return cached;
    }
    if (this.#mode === 'through') return null;
    this.counts.statements++;
    const { rows } = await this.#reader.query({ name: 'select', text: SELECT_ROW, values: [driverId] });
    const [row] = rows as Record<string, unknown>[];
    if (row === undefined) return null;
    const answer = JSON.stringify(row);
    await this.#redis.set(driverId, answer, 'EX', CACHE_TTL_S);
    return answer;
  }

  #writerOf(driverId: string): Client {
    let hash = 0;
    for (let i = 0; i < driverId.length; i++) hash = (Math.imul(hash, 31) + driverId.charCodeAt(i)) >>> 0;
    return this.#writers[hash % this.#writers.length] as Client;
  }
}

function connection(connectionString: string): Client {
  // As in the flusher: an acknowledged position is on disk.
  const client = new Client({ connectionString, pipeline: true, options: '-c synchronous_commit=on' });
  client.on('error', () => {});
  return client;
}

const answerOf = (p: Position): string =>
  JSON.stringify({
    driver_id: p.driverId,
    recorded_at: new Date(p.recordedAtMs).toISOString(),
    lat: fromE7(p.latE7),
    lon: fromE7(p.lonE7),
    status: p.status,
    services: p.services,
  });
