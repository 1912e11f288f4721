// Simulated drivers on real connections. One timer serves all of them: each driver has its place in the interval, so
// that reports come evenly.
import { DriverClient } from '@whereabouts/client/driver-client';
import type { City } from './cities.js';
import { closeAll, type DriverTotals, TotalsOfClients } from './driver-totals.js';
import { type DrivingHabits, SimulatedDriver } from './simulated-driver.js';

export interface FleetOptions {
  url: string;
  tokenFor(driverId: string): Promise<string>;
  drivers: number;
  seed: number;
  cities: readonly City[];
  habits: DrivingHabits;
  reportIntervalMs: number;
}

interface Member {
  id: string;
  driver: SimulatedDriver;
  client: DriverClient | null;
  movedAtMs: number;
}

const TICK_MS = 50;
const CHECKPOINT_DEADLINE_MS = 3_000;

export class Fleet {
  readonly #options: FleetOptions;
  readonly #members: Member[] = [];
  readonly #totals = new TotalsOfClients();
  #timer: NodeJS.Timeout | undefined;
  /** Drivers moved so far, over all rounds: determines the next one. */
  #moved = 0;
  #startedAtMs = 0;
  #trips = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    const { drivers, seed, cities, habits } = options;
    for (let index = 0; index < drivers; index++) {
      const driver = new SimulatedDriver(seed, index, cities, habits);
      this.#members.push({ id: `sim-${seed}-${index}`, driver, client: null, movedAtMs: 0 });
    }
  }

  start(): void {
    this.#startedAtMs = performance.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  totals(): DriverTotals & { on_duty: number; trips: number } {
    const onDuty = this.#members.filter(({ client }) => client !== null).length;
    return { ...this.#totals.now(), on_duty: onDuty, trips: this.#trips };
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await closeAll(this.#totals, CHECKPOINT_DEADLINE_MS);
  }

  /** Every driver whose place in the interval has come. */
  #tick(): void {
    const now = performance.now();
    const due = Math.floor(
      ((now - this.#startedAtMs) / this.#options.reportIntervalMs) * this.#members.length,
    );
    // After a stall of ours no driver is moved twice.
    this.#moved = Math.max(this.#moved, due - this.#members.length);
    for (; this.#moved < due; this.#moved++) {
      this.#move(this.#members[this.#moved % this.#members.length] as Member, now);
    }
  }

  #move(member: Member, now: number): void {
    const seconds = member.movedAtMs === 0 ? 0 : (now - member.movedAtMs) / 1000;
    member.movedAtMs = now;
    const { driver } = member;
    const before = driver.position();
    const event = driver.advance(seconds);
    if (event === 'trip_ended') this.#endTrip(member, before.services);
    else if (driver.onDuty) this.#clientOf(member).report(driver.position());
  }

  /** The end of a trip must not be lost, so it is a checkpoint; after it the driver may go off duty. */
  #endTrip(member: Member, services: number): void {
    this.#trips++;
    const client = this.#clientOf(member);
    const { driver } = member;
    const persisted = client.checkpoint({ ...driver.position(), status: 'busy', services }).catch(() => {
      // The client counts it, as a refusal or as a connection that was closed.
    });
    if (driver.onDuty) return;
    member.client = null;
    void persisted.then(async () => {
      await client.close();
      this.#totals.remove(client);
    });
  }

  #clientOf(member: Member): DriverClient {
    if (member.client === null) {
      const { url, tokenFor } = this.#options;
      member.client = new DriverClient({ url, getToken: () => tokenFor(member.id) });
      this.#totals.add(member.client);
    }
    return member.client;
  }
}
