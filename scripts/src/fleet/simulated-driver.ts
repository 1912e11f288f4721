// One driver, as a pure state machine: a seed and the elapsed seconds determine its place and its state.
//
//   waiting ──▶ trip (busy) ──▶ waiting ──▶ ... ──▶ off duty ──▶ waiting
//
//  It drives along the city's street grid, first one way, then the other, with red lights on the way.

import { type Random, seededRandom } from '@whereabouts/infra/seeded-random';
import type { City } from './cities.js';

/** After `trip_ended` it may be off duty. */
export type DriverEvent = 'trip_ended' | 'came_on_duty' | null;

export interface DrivenPosition {
  lat: number;
  lon: number;
  headingDeg: number;
  speedMps: number;
  accuracyM: number;
  status: 'available' | 'busy';
  services: number;
}

export interface DrivingHabits {
  /** How much faster than usual it drives. */
  pace: number;
  /** The share of drivers that go off duty after a trip. */
  offDuty: number;
}

type Activity = 'waiting' | 'trip' | 'off_duty';

const METRES_PER_DEGREE = 111_195;
const BLOCK_M = 120;
const WAIT_S: [number, number] = [20, 240];
const OFF_DUTY_S: [number, number] = [60, 400];
const RED_LIGHT_S = 15;
const RED_LIGHT_CHANCE = 0.3;
const SPEED_MPS: [number, number] = [6, 15];
/** A strip of the world where longitudes run on past the ends. */
const wrapped = (lon: number) => ((((lon + 180) % 360) + 360) % 360) - 180;

export class SimulatedDriver {
  readonly city: City;
  readonly #random: Random;
  readonly #habits: DrivingHabits;
  readonly #services: number;
  /** In the city's grid: metres along its two directions. */
  #at: { u: number; v: number };
  #target: { u: number; v: number };
  #activity: Activity = 'waiting';
  #leftS: number;
  #lightS = 0;
  #speedMps = 0;
  #gridHeadingDeg = 0;

  constructor(seed: number, index: number, cities: readonly City[], habits: DrivingHabits) {
    this.#random = seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));
    this.city = this.#random.weighted(cities);
    this.#habits = habits;
    this.#services = 1 | (this.#random.chance(0.3) ? 2 : 0) | (this.#random.chance(0.1) ? 4 : 0);
    this.#at = this.#somewhere();
    this.#target = this.#at;
    this.#leftS = this.#random.between(0, WAIT_S[1]);
    if (this.#random.chance(0.4)) this.#beginTrip();
  }

  get onDuty(): boolean {
    return this.#activity !== 'off_duty';
  }

  position(): DrivenPosition {
    const turn = (this.city.gridDeg * Math.PI) / 180;
    const { u, v } = this.#at;
    const east = u * Math.cos(turn) + v * Math.sin(turn);
    const north = v * Math.cos(turn) - u * Math.sin(turn);
    const lonMetres = METRES_PER_DEGREE * Math.cos((this.city.lat * Math.PI) / 180);
    return {
      lat: this.city.lat + north / METRES_PER_DEGREE,
      lon: wrapped(this.city.lon + east / lonMetres),
      headingDeg: (this.#gridHeadingDeg + this.city.gridDeg) % 360,
      speedMps: this.#speedMps,
      accuracyM: 5,
      status: this.#activity === 'trip' ? 'busy' : 'available',
      services: this.#services,
    };
  }

  /** Lets time pass; returns at most one event, the last. */
  advance(seconds: number): DriverEvent {
    if (this.#activity === 'trip') return this.#drive(seconds);
    this.#leftS -= seconds;
    if (this.#leftS > 0) return null;
    if (this.#activity === 'off_duty') {
      this.#wait();
      return 'came_on_duty';
    }
    this.#beginTrip();
    return null;
  }

  #drive(seconds: number): DriverEvent {
    const lit = Math.min(this.#lightS, seconds);
    this.#lightS -= lit;
    const left = this.#moveTowardsTarget((seconds - lit) * this.#speedMps * this.#habits.pace);
    if (left > 0) return null;
    if (!this.#random.chance(this.#habits.offDuty)) this.#wait();
    else {
      this.#activity = 'off_duty';
      this.#speedMps = 0;
      this.#leftS = this.#random.between(...OFF_DUTY_S);
    }
    return 'trip_ended';
  }

  /** Along u first, then along v; returns the metres that are left. */
  #moveTowardsTarget(metres: number): number {
    const before = this.#at;
    const du = this.#target.u - before.u;
    const stepU = Math.sign(du) * Math.min(Math.abs(du), metres);
    const rest = metres - Math.abs(stepU);
    const dv = this.#target.v - before.v;
    const stepV = Math.sign(dv) * Math.min(Math.abs(dv), rest);
    this.#at = { u: before.u + stepU, v: before.v + stepV };
    if (stepV !== 0) this.#gridHeadingDeg = stepV > 0 ? 0 : 180;
    else if (stepU !== 0) this.#gridHeadingDeg = stepU > 0 ? 90 : 270;
    if (metres > 0 && this.#random.chance((RED_LIGHT_CHANCE * metres) / (8 * BLOCK_M))) {
      this.#lightS = this.#random.between(0, RED_LIGHT_S);
    }
    return Math.abs(du - stepU) + Math.abs(dv - stepV);
  }

  #wait(): void {
    this.#activity = 'waiting';
    this.#speedMps = 0;
    this.#leftS = this.#random.between(...WAIT_S);
  }

  #beginTrip(): void {
    this.#activity = 'trip';
    this.#target = this.#somewhere();
    this.#speedMps = this.#random.between(...SPEED_MPS);
  }

  /** A street corner, more often near the popular places. */
  #somewhere(): { u: number; v: number } {
    const { places, radiusM } = this.city;
    const place = this.#random.weighted(places);
    const spread = radiusM / 3;
    const around = (centre: number) => centre + this.#random.normal() * spread;
    const corner = (metres: number) => Math.round(metres / BLOCK_M) * BLOCK_M;
    return { u: corner(around(place.east)), v: corner(around(place.north)) };
  }
}

/** The positions of such a fleet over time: the sample that a partition map is built from. */
export function* fleetSample(
  cities: readonly City[],
  seed: number,
  drivers = 4_000,
): Generator<DrivenPosition> {
  for (let index = 0; index < drivers; index++) {
    const driver = new SimulatedDriver(seed, index, cities, { pace: 1, offDuty: 0 });
    for (let step = 0; step < 10; step++) {
      yield driver.position();
      driver.advance(120);
    }
  }
}
