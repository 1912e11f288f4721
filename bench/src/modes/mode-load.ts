// One load on one mode: what was acknowledged, how fast, and what each position cost.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { Latencies } from '../load/latencies.js';
import { Load } from '../load/load.js';
import type { Place } from '../load/places.js';
import { difference, type PostgresCounters, PostgresProbe } from '../postgres/postgres-counters.js';
import { cpuS } from '../process-cpu.js';
import type { ModeCounts, ModeSetting } from './mode-setting.js';
import type { WatcherReport, WatcherTask } from './watcher.js';

const WATCHER = fileURLToPath(new URL('./watcher.js', import.meta.url));
export const INTERVAL_MS = 2000;
export const READS_PER_S = 200;
export const WATCHED = 100;
/** By then every driver has a row, even behind a flush every 5 s, so updates are measured. */
export const WARM_UP_S = 8;
const LOAD_PROCESSES = 2;
const CONNECT_DEADLINE_MS = 30_000;
/** By then, everything acknowledged just before the cache died is written, if it ever will be. */
const SETTLE_MS = 2_000;

/** This share acknowledged, and 99 of 100 within a second: then the rate was held. */
const HELD = { share: 0.97, p99Ms: 1000 };

export interface ModeCost {
  /** If all drivers report. */
  askedPerS: number;
  ackedPerS: number;
  p50Ms: number;
  p99Ms: number;
  stalenessP50Ms: number;
  stalenessP99Ms: number;
  readP99Ms: number;
  failedReads: number;
  cacheHitShare: number | null;
  /** For each acknowledged position. */
  statements: number;
  commits: number;
  rows: number;
  walBytes: number;
  serverUs: number;
  redisUs: number;
  postgresUs: number;
}

export interface Loss {
  watched: number;
  /** Of them: drivers whose newest acknowledged position is not in Postgres. */
  behind: number;
  /** How much older the row is, in the worst case. */
  worstMs: number;
}

interface Counts {
  acks: number;
  latencies: Latencies;
  watched: WatcherReport;
  mode: ModeCounts;
  serverCpuS: number;
  redisCpuS: number;
  postgres: PostgresCounters;
}

export const isHeld = ({ askedPerS, ackedPerS, p99Ms }: ModeCost): boolean =>
  ackedPerS >= HELD.share * askedPerS && p99Ms < HELD.p99Ms;

export class ModeLoad {
  readonly #setting: ModeSetting;
  readonly #load: Load;
  readonly #watcher: ChildProcess;
  readonly #askedPerS: number;

  constructor(setting: ModeSetting, drivers: readonly Place[]) {
    const { port, auth, reads } = setting;
    const common = { host: '127.0.0.1', port, auth, intervalMs: INTERVAL_MS };
    const others = drivers.slice(WATCHED);
    this.#setting = setting;
    this.#askedPerS = (1000 * drivers.length) / INTERVAL_MS;
    this.#load = new Load({ ...common, ack: 'each', format: 'bin', drivers: others }, LOAD_PROCESSES);
    this.#watcher = fork(WATCHER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const task: WatcherTask = {
      ...common,
      localAddress: `127.0.0.${LOAD_PROCESSES + 2}`,
      drivers: drivers.slice(0, WATCHED),
      reads: { ...reads, perS: READS_PER_S },
    };
    this.#watcher.send(task);
  }

  async measure(seconds: number): Promise<ModeCost> {
    const { adminUrl, postgresPid } = this.#setting;
    await once(this.#watcher, 'message');
    // A server that is overwhelmed before all have connected has not held the rate. That is no reason to stop
    // measuring.
    await this.#load.connected(CONNECT_DEADLINE_MS).catch(() => {});
    await delay(WARM_UP_S * 1000);
    this.#load.clearLatencies();
    this.#watcher.send('clear');
    const probe = await PostgresProbe.connect(adminUrl, postgresPid);
    try {
      const before = await this.#counts(probe);
      await delay(seconds * 1000);
      return costOf(before, await this.#counts(probe), seconds, this.#askedPerS);
    } finally {
      await probe.close();
    }
  }

  /** `kill -9` of every process of the cache at once, under load. */
  async killCache(): Promise<Loss> {
    for (const pid of this.#setting.redisPids) process.kill(pid, 'SIGKILL');
    await delay(SETTLE_MS);
    const { acked } = await this.#watched();
    const client = new Client({ connectionString: this.#setting.adminUrl });
    await client.connect();
    try {
      const { rows } = await client.query(
        'SELECT driver_id, recorded_at FROM driver_positions WHERE driver_id = ANY ($1)',
        [Object.keys(acked)],
      );
      return lossOf(acked, rows as { driver_id: string; recorded_at: Date }[]);
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    if (this.#watcher.exitCode === null) {
      const exited = once(this.#watcher, 'exit');
      this.#watcher.disconnect();
      await exited;
    }
    await this.#load.stop();
  }

  async #watched(): Promise<WatcherReport> {
    this.#watcher.send('report');
    const [report] = (await once(this.#watcher, 'message')) as [WatcherReport];
    return report;
  }

  async #counts(probe: PostgresProbe): Promise<Counts> {
    const { serverPids, redisPids } = this.#setting;
    const [load, watched] = await Promise.all([this.#load.snapshot(), this.#watched()]);
    load.latencies.merge(watched.latencies);
    return {
      acks: load.totals.acks + watched.totals.acks,
      latencies: load.latencies,
      watched,
      mode: await this.#setting.counts(),
      serverCpuS: cpuS(serverPids),
      redisCpuS: cpuS(redisPids),
      postgres: await probe.read(),
    };
  }
}

function costOf(before: Counts, after: Counts, seconds: number, askedPerS: number): ModeCost {
  const acked = after.acks - before.acks;
  const postgres = difference(before.postgres, after.postgres);
  const ms = (counts: Latencies, q: number) => counts.quantile(q) ?? Number.NaN;
  const { watched, latencies, mode } = after;
  const staleness = new Latencies();
  staleness.merge(watched.staleness);
  const readTimes = new Latencies();
  readTimes.merge(watched.readTimes);
  return {
    askedPerS,
    ackedPerS: acked / seconds,
    p50Ms: ms(latencies, 0.5),
    p99Ms: ms(latencies, 0.99),
    stalenessP50Ms: ms(staleness, 0.5),
    stalenessP99Ms: ms(staleness, 0.99),
    readP99Ms: ms(readTimes, 0.99),
    failedReads: watched.failedReads,
    cacheHitShare: mode.cacheHitShare,
    statements: (mode.statements - before.mode.statements) / acked,
    commits: postgres.commits / acked,
    rows: postgres.rows / acked,
    walBytes: postgres.walBytes / acked,
    serverUs: (1e6 * (after.serverCpuS - before.serverCpuS)) / acked,
    redisUs: (1e6 * (after.redisCpuS - before.redisCpuS)) / acked,
    postgresUs: (1e6 * postgres.cpuS) / acked,
  };
}

/** A driver without a row counts as behind, by an unknown time. */
export function lossOf(
  acked: Readonly<Record<string, number>>,
  rows: readonly { driver_id: string; recorded_at: Date }[],
): Loss {
  const archivedMs = new Map(rows.map((row) => [row.driver_id, row.recorded_at.getTime()]));
  let behind = 0;
  let worstMs = 0;
  for (const [id, ackedMs] of Object.entries(acked)) {
    const rowMs = archivedMs.get(id);
    if (ackedMs === 0 || (rowMs !== undefined && rowMs >= ackedMs)) continue;
    behind++;
    if (rowMs !== undefined) worstMs = Math.max(worstMs, ackedMs - rowMs);
  }
  return { watched: Object.keys(acked).length, behind, worstMs };
}
