// The load of a drill and its observers: drivers in every partition, and a dispatcher in every region.

import { waitFor } from '@whereabouts/infra/local/server-process';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { driverTokens } from '../driver-tokens.js';
import type { Acknowledged } from '../outside/driver-socket.js';
import { Truth } from '../outside/truth.js';
import type { Stack } from '../stack-file.js';
import { DrillDriver, type DriverBook, spotOf } from './drill-driver.js';
import { Observations } from './observations.js';
import { watchOwnPauses } from './own-pauses.js';
import { watchRegion } from './region-watch.js';
import { type Region, readerHeaders } from './regions.js';
import { watchStream } from './stream-watch.js';

/** Four reports a second are within the limit of five; staggered, a partition reports every 80 ms or so. */
export const REPORT_INTERVAL_MS = 250;
/** One in each partition reports seldom: after a failover only recording again makes it visible soon. */
export const QUIET_INTERVAL_MS = 4_000;
const DRIVERS = 192;
const ASK_TIMEOUT_MS = 2_000;
const CONNECT_AT_ONCE = 32;
const CONNECT_DEADLINE_MS = 30_000;
/** Longer than any deadline on the way: an older report will get no answer. */
const UNHEARD_MS = 5_000;
const SETTLE_DEADLINE_MS = 20_000;

export class Load implements DriverBook {
  readonly truth = new Truth();
  /** When `persisted` came, for each driver and seq. */
  readonly #persistedAtMs = new Map<string, number>();
  readonly observations: Observations;
  readonly drivers: DrillDriver[] = [];
  readonly #stack: Stack;
  readonly #regions: readonly Region[];
  readonly #headers: Record<string, string>;
  readonly #regionOfPartition = new Map<number, number>();
  #timers: NodeJS.Timeout[] = [];
  #asking = false;
  readonly #endPauses: () => void;

  private constructor(stack: Stack, regions: readonly Region[], headers: Record<string, string>) {
    this.#stack = stack;
    this.#regions = regions;
    this.#headers = headers;
    this.observations = new Observations(regions.length);
    this.#endPauses = watchOwnPauses(this.observations.pauses);
    for (const [index, { partitions }] of regions.entries()) {
      for (const { partition } of partitions) this.#regionOfPartition.set(partition, index);
    }
  }

  /** Connected and reporting. */
  static async start(stack: Stack, map: PartitionMap, regions: readonly Region[]): Promise<Load> {
    const load = new Load(stack, regions, await readerHeaders(stack));
    await load.#connect(map);
    load.#report();
    load.#asking = true;
    for (const index of regions.keys()) {
      void load.#watch(index, map);
      void load.#watchStream(index, map);
    }
    return load;
  }

  regionOf(driver: DrillDriver): number {
    return this.#regionOfPartition.get(driver.spot.partition) as number;
  }

  driversOf(region: number): DrillDriver[] {
    return this.drivers.filter((driver) => this.regionOf(driver) === region);
  }

  /** Those that have drivers. */
  partitionsOf(region: number): ReadonlySet<number> {
    return new Set(this.driversOf(region).map(({ spot }) => spot.partition));
  }

  acknowledged(driver: DrillDriver, acknowledged: Acknowledged): void {
    this.truth.acknowledged(acknowledged);
    const { driverId, sentAtMs, session, durability, report } = acknowledged;
    this.observations.acks[this.regionOf(driver)]?.push({
      driverId,
      sentAtMs,
      ackAtMs: performance.now(),
      partition: driver.spot.partition,
      session,
      recordedAtMs: report.recorded_at_ms,
      durability,
    });
  }

  persisted({ driverId }: DrillDriver, seq: number): void {
    this.#persistedAtMs.set(`${driverId} ${seq}`, performance.now());
  }

  /** One in each region. Returns when the last of them was `persisted`; null: not yet all. */
  sendCheckpoints(): () => number | null {
    const keys = this.#regions.map((_, region) => {
      const driver = this.driversOf(region).find(({ isOpen }) => isOpen);
      return `${driver?.driverId} ${driver?.report(`drill-${Date.now()}-${region}`)}`;
    });
    return () => {
      const times = keys.map((key) => this.#persistedAtMs.get(key));
      return times.some((atMs) => atMs === undefined) ? null : Math.max(...(times as number[]));
    };
  }

  refused(driver: DrillDriver, code: string): void {
    this.observations.nacks[this.regionOf(driver)]?.push({ atMs: performance.now(), code });
  }

  connected(driver: DrillDriver): void {
    this.observations.connections.push({ atMs: performance.now(), driverId: driver.driverId });
  }

  /** Of each region: reports without any answer although their time is up. */
  unheard(nowMs: number): number[] {
    const isUnheard = ({ sentAtMs }: { sentAtMs: number }) => sentAtMs < nowMs - UNHEARD_MS;
    return this.#regions.map((_, index) =>
      this.driversOf(index).reduce((sum, { unsettled }) => sum + unsettled.filter(isUnheard).length, 0),
    );
  }

  /** Every driver reports once more and is acknowledged: from then on the truth is complete. */
  async settle(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#asking = false;
    const startedAtMs = Date.now();
    const isSettled = (driver: DrillDriver) =>
      driver.unsettled.length === 0 &&
      (this.truth.newest.get(driver.driverId)?.recordedAtMs ?? 0) >= startedAtMs;
    await waitFor('every driver is acknowledged once more', SETTLE_DEADLINE_MS, () => {
      const waiting = this.drivers.filter((driver) => !isSettled(driver));
      for (const driver of waiting) if (driver.unsettled.length === 0) driver.report();
      return waiting.length === 0 || undefined;
    });
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#asking = false;
    this.#endPauses();
    for (const driver of this.drivers) driver.close();
  }

  async get(path: string): Promise<{ status: number; body: unknown }> {
    const response = await fetch(this.#stack.query.url + path, {
      headers: this.#headers,
      signal: AbortSignal.timeout(ASK_TIMEOUT_MS),
    });
    return { status: response.status, body: await response.json() };
  }

  async #connect(map: PartitionMap): Promise<void> {
    const tokenFor = driverTokens(this.#stack);
    const each = Math.max(1, Math.round(DRIVERS / map.partitions));
    // The same in every drill: ingest remembers a driver that left for a minute, and would count it as lost too.
    for (let i = 0; i < each * map.partitions; i++) {
      const driverId = `drill-${i}`;
      const spot = spotOf(map, i % map.partitions);
      const token = await tokenFor(driverId);
      this.drivers.push(new DrillDriver(this.#stack.ingest.url, token, driverId, spot, this));
    }
    for (let from = 0; from < this.drivers.length; from += CONNECT_AT_ONCE) {
      const some = this.drivers.slice(from, from + CONNECT_AT_ONCE);
      for (const driver of some) driver.connect();
      await waitFor('the drivers are connected', CONNECT_DEADLINE_MS, () =>
        some.every(({ isOpen }) => isOpen) ? true : undefined,
      );
    }
  }

  #watch(region: number, map: PartitionMap): Promise<void> {
    const partitions = (this.#regions[region]?.partitions ?? []).map(({ partition }) => partition);
    const known = (driver: DrillDriver) => this.truth.newest.has(driver.driverId);
    return watchRegion({
      map,
      partitions,
      get: (path) => this.get(path),
      expected: (partition) =>
        this.drivers
          .filter((driver) => driver.spot.partition === partition && known(driver))
          .map(({ driverId }) => driverId),
      seen: (answer) => this.observations.answers[region]?.push(answer),
      isOver: () => !this.#asking,
    });
  }

  /** Around the drivers of a partition in the middle of the region. */
  #watchStream(region: number, map: PartitionMap): Promise<void> {
    const rows = this.#regions[region]?.partitions ?? [];
    const partition = rows[rows.length >> 1]?.partition ?? 0;
    return watchStream({
      url: this.#stack.query.url,
      authorization: this.#headers.authorization ?? '',
      spot: spotOf(map, partition),
      get: (path) => this.get(path),
      seen: (look) => this.observations.streams.push(look),
      isOver: () => !this.#asking,
    });
  }

  /** The drivers of a partition one after the other, spread evenly over the interval. */
  #report(): void {
    const rounds = Math.ceil(this.drivers.length / new Set(this.drivers.map((d) => d.spot.partition)).size);
    const perRound = this.drivers.length / rounds;
    for (const [i, driver] of this.drivers.entries()) {
      const round = Math.floor(i / perRound);
      const intervalMs = round === 0 && rounds > 1 ? QUIET_INTERVAL_MS : REPORT_INTERVAL_MS;
      const delayMs = (intervalMs * (round + (i % perRound) / perRound)) / rounds;
      setTimeout(() => {
        driver.report();
        this.#timers.push(setInterval(() => driver.report(), intervalMs));
      }, delayMs);
    }
  }
}
