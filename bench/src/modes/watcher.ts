// A process with some drivers of the load whose reports it remembers, so that it can determine the age of an answer
// about them: for each read, how much newer the newest position is that had been acknowledged before the question was
// sent.

import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { Latencies } from '../load/latencies.js';
import { LoadDriver, type LoadTotals } from '../load/load-driver.js';
import type { Place } from '../load/places.js';

export interface WatcherTask {
  host: string;
  port: number;
  auth: { secret: string; issuer: string; audience: string };
  intervalMs: number;
  localAddress: string;
  drivers: Place[];
  reads: { url: string; headers: Record<string, string>; perS: number };
}

export interface WatcherReport {
  totals: LoadTotals;
  latencies: number[];
  /** In ms, as Latencies counts. */
  staleness: number[];
  readTimes: number[];
  failedReads: number;
  /** Recorded-at of the newest acknowledged report, by driver. */
  acked: Record<string, number>;
}

const STEP_MS = 10;
const MAX_READS_UNDER_WAY = 200;
const READ_DEADLINE_MS = 5_000;
const RECORDED_AT = /"recorded_at":"([^"]+)"/;

class Watcher {
  readonly #task: WatcherTask;
  readonly #totals: LoadTotals = { open: 0, closed: 0, sent: 0, acks: 0, nacks: 0 };
  readonly #latencies = new Latencies();
  readonly #staleness = new Latencies();
  readonly #readTimes = new Latencies();
  readonly #drivers = new Map<string, LoadDriver>();
  #failedReads = 0;
  #underWay = 0;

  constructor(task: WatcherTask) {
    this.#task = task;
  }

  async connect(): Promise<void> {
    const { host, port, auth, localAddress, drivers } = this.#task;
    for (const { id, lat, lon } of drivers) {
      const token = await signDevelopmentToken({
        ...auth,
        subject: id,
        scope: 'location:write',
        ttlS: 24 * 3600,
      });
      const headers = {
        'Sec-WebSocket-Protocol': 'whereabouts.v1.bin',
        Authorization: `Bearer ${token}`,
      };
      const options = {
        host,
        port,
        localAddress,
        headers,
        path: '/v1/stream?ack=each',
        format: 'bin' as const,
      };
      this.#drivers.set(id, new LoadDriver({ ...options, lat, lon }, this.#totals, this.#latencies));
    }
  }

  /** Each driver has its moment within the interval, each read its own within the second. */
  start(): void {
    const { intervalMs, reads } = this.#task;
    const drivers = [...this.#drivers];
    const startedAtMs = performance.now();
    let nextReport = 0;
    let nextRead = 0;
    setInterval(() => {
      const nowMs = performance.now();
      const elapsedMs = nowMs - startedAtMs;
      for (const due = (elapsedMs / intervalMs) * drivers.length; nextReport < due; nextReport++) {
        const driver = drivers[nextReport % drivers.length]?.[1];
        if (driver?.isOpen) driver.report(nowMs);
      }
      for (const due = (elapsedMs / 1000) * reads.perS; nextRead < due; nextRead++) {
        const [id, driver] = drivers[nextRead % drivers.length] as [string, LoadDriver];
        if (driver.ackedRecordedAtMs > 0) void this.#read(id, driver);
      }
    }, STEP_MS);
  }

  clear(): void {
    for (const counted of [this.#latencies, this.#staleness, this.#readTimes]) counted.clear();
    this.#failedReads = 0;
  }

  report(): WatcherReport {
    const acked = [...this.#drivers].map(([id, driver]) => [id, driver.ackedRecordedAtMs] as const);
    return {
      totals: this.#totals,
      latencies: Array.from(this.#latencies.counts),
      staleness: Array.from(this.#staleness.counts),
      readTimes: Array.from(this.#readTimes.counts),
      failedReads: this.#failedReads,
      acked: Object.fromEntries(acked),
    };
  }

  async #read(id: string, driver: LoadDriver): Promise<void> {
    if (this.#underWay >= MAX_READS_UNDER_WAY) {
      this.#failedReads++;
      return;
    }
    this.#underWay++;
    const { url, headers } = this.#task.reads;
    const newestMs = driver.ackedRecordedAtMs;
    const sentMs = performance.now();
    try {
      const signal = AbortSignal.timeout(READ_DEADLINE_MS);
      const response = await fetch(`${url}/v1/drivers/${id}`, { headers, signal });
      const text = await response.text();
      this.#readTimes.add(performance.now() - sentMs);
      const recordedAt = RECORDED_AT.exec(text)?.[1];
      if (recordedAt === undefined) this.#failedReads++;
      else this.#staleness.add(Math.max(0, newestMs - Date.parse(recordedAt)));
    } catch {
      this.#failedReads++;
    } finally {
      this.#underWay--;
    }
  }
}

process.once('message', async (task) => {
  const watcher = new Watcher(task as WatcherTask);
  await watcher.connect();
  watcher.start();
  process.on('message', (message) => {
    if (message === 'report') process.send?.(watcher.report());
    else if (message === 'clear') watcher.clear();
  });
  process.send?.('started');
});
process.on('disconnect', () => process.exit(0));
