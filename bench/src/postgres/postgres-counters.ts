// Postgres's current counters, CPU among them. Its own counters lag by up to a second.

import { Client } from 'pg';
import { treeCpuS } from '../process-cpu.js';

export interface PostgresCounters {
  commits: number;
  /** Of driver_positions: inserted or updated. */
  rows: number;
  updates: number;
  /** Updates that stayed on their page and touched no index. */
  hotUpdates: number;
  walBytes: number;
  /** Of the server and all processes that it started. */
  cpuS: number;
}

const COUNTERS = `
SELECT
  (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) AS commits,
  n_tup_ins + n_tup_upd AS rows, n_tup_upd AS updates, n_tup_hot_upd AS hot_updates,
  pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS wal_bytes
FROM pg_stat_user_tables WHERE relname = 'driver_positions'`;

export class PostgresProbe {
  readonly #client: Client;
  readonly #pid: number;

  private constructor(client: Client, pid: number) {
    this.#client = client;
    this.#pid = pid;
  }

  static async connect(adminUrl: string, pid: number): Promise<PostgresProbe> {
    const client = new Client({ connectionString: adminUrl });
    client.on('error', () => {});
    await client.connect();
    return new PostgresProbe(client, pid);
  }

  async read(): Promise<PostgresCounters> {
    const { rows } = await this.#client.query(COUNTERS);
    const [row] = rows as Record<string, string>[];
    return {
      commits: Number(row?.commits),
      rows: Number(row?.rows),
      updates: Number(row?.updates),
      hotUpdates: Number(row?.hot_updates),
      walBytes: Number(row?.wal_bytes),
      cpuS: treeCpuS(this.#pid),
    };
  }

  close(): Promise<void> {
    return this.#client.end();
  }
}

export function difference(before: PostgresCounters, after: PostgresCounters): PostgresCounters {
  const keys = Object.keys(after) as (keyof PostgresCounters)[];
  return Object.fromEntries(
    keys.map((key) => [key, after[key] - before[key]]),
  ) as unknown as PostgresCounters;
}
