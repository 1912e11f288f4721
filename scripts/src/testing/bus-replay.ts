// A trace of buses sent as of now by the drivers of a fleet, with the replies that each should get.
import type { PositionReport } from '@whereabouts/client/protocol';
import type { Random } from '@whereabouts/infra/seeded-random';
import type { DriverSocket, Unnumbered } from '../outside/driver-socket.js';
import type { FleetSockets } from './fleet-sockets.js';
import type { Delivery } from './warsaw.js';

/** What a driver has and a feed of buses lacks. */
export function driverFields(
  random: Random,
): Pick<Unnumbered, 'heading_deg' | 'speed_mps' | 'accuracy_m' | 'status' | 'services'> {
  const knowsMore = random.chance(0.8);
  return {
    ...(knowsMore && { heading_deg: Math.floor(random.between(0, 36_000)) / 100 }),
    ...(knowsMore && { speed_mps: Math.floor(random.between(0, 3_000)) / 100 }),
    ...(knowsMore && { accuracy_m: Math.floor(random.between(0, 500)) / 10 }),
    status: random.chance(0.25) ? 'busy' : random.chance(0.03) ? 'offline' : 'available',
    services: Math.floor(random.between(0, 16)),
  };
}

/** The trace's times as of now, so many times faster. */
export class TraceTime {
  readonly #startedAt = Date.now();
  readonly #traceStart: number;
  readonly #speed: number;

  constructor(traceStart: number, speed: number) {
    this.#traceStart = traceStart;
    this.#speed = speed;
  }

  now(unixMs: number): number {
    return this.#startedAt + Math.round((unixMs - this.#traceStart) / this.#speed);
  }

  async until(unixMs: number): Promise<void> {
    const waitMs = this.now(unixMs) - Date.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

/** Sends one, and records which reply is due: a nack only if it is not newer than the bus's last. */
export class BusReplay {
  readonly staleSeqs = new Map<DriverSocket, number[]>();
  repeats = 0;
  sent = 0;
  readonly #time: TraceTime;
  readonly #fleet: FleetSockets;
  readonly #random: Random;
  readonly #last = new Map<string, PositionReport>();

  constructor(time: TraceTime, fleet: FleetSockets, random: Random) {
    this.#time = time;
    this.#fleet = fleet;
    this.#random = random;
  }

  deliver({ vehicleId, unixMs, lat, lon }: Delivery): void {
    const driver = this.#fleet.driver(vehicleId);
    const timeMs = this.#time.now(unixMs);
    const last = this.#last.get(vehicleId);
    this.sent++;
    if (last === undefined || timeMs > last.recorded_at_ms) {
      const report = { recorded_at_ms: timeMs, lat, lon, ...driverFields(this.#random) };
      this.#last.set(vehicleId, { seq: driver.send(report), ...report });
      return;
    }
    this.repeats++;
    const isSame = last.recorded_at_ms === timeMs && last.lat === lat && last.lon === lon;
    // Delivered twice on its way; or read twice, and reported again.
    if (isSame && last.seq === driver.lastSeq && this.#random.chance(0.5)) driver.sendAgain(last);
    else this.#expectStale(driver, driver.send({ recorded_at_ms: timeMs, lat, lon }));
  }

  #expectStale(driver: DriverSocket, seq: number): void {
    this.staleSeqs.set(driver, [...(this.staleSeqs.get(driver) ?? []), seq]);
  }
}
