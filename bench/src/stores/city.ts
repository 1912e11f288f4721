// A fleet of one city that stands still, half of it available, in a live store that is kept awake as ingest does, with
// query-api on it; and the places of the questions about it.

import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import type { Position } from '@whereabouts/infra/position';
import { cityFleet, type Place, seeded } from '../load/places.js';
import { FRESHNESS_MS, QueryService } from './query-service.js';
import { StoreSearch } from './store-search.js';
import { positionOf, StoreUnderTest } from './store-under-test.js';

export const FLEET_SEED = 1;
export const QUESTION_SEED = 2;
export const MASTERS = 3;
const QUESTIONS = 10_000;
const TOUCH_EVERY_MS = 2000;

export interface Question {
  radiusM: number;
  limit: number;
}

/** Somebody who answers: how many drivers were found. */
export interface Side {
  /** Whose CPU counts. */
  pids: readonly number[];
  ask(point: Place): Promise<number>;
}

export class City {
  readonly places: readonly Place[];
  readonly fleet: readonly Position[];
  readonly own: StoreUnderTest;
  readonly #query: QueryService;
  readonly #timer: NodeJS.Timeout;

  private constructor(
    places: readonly Place[],
    fleet: readonly Position[],
    own: StoreUnderTest,
    query: QueryService,
    timer: NodeJS.Timeout,
  ) {
    this.places = places;
    this.fleet = fleet;
    this.own = own;
    this.#query = query;
    this.#timer = timer;
  }

  static async start(drivers: number, sigmaKm?: number): Promise<City> {
    const places = cityFleet(drivers, FLEET_SEED, sigmaKm);
    const nowMs = Date.now();
    // Every second one is on the way with a passenger.
    const fleet = places.map((place, i) => positionOf(place, i % 2 === 0 ? 'available' : 'busy', nowMs));
    const own = await StoreUnderTest.start(buildPartitionMap(places), MASTERS);
    let timer: NodeJS.Timeout | undefined;
    try {
      await own.load(fleet);
      await own.healthy();
      // Where one fails, the question that finds the partition silent says so.
      timer = setInterval(() => void own.touchAll().catch(() => {}), TOUCH_EVERY_MS);
      return new City(places, fleet, own, await QueryService.start(own), timer);
    } catch (error) {
      clearInterval(timer);
      await own.stop();
      throw error;
    }
  }

  /** At random drivers' places. */
  questions(): Place[] {
    const random = seeded(QUESTION_SEED);
    const anyOne = () => this.places[Math.floor(random() * this.places.length)] as Place;
    return Array.from({ length: QUESTIONS }, anyOne);
  }

  querySide({ radiusM, limit }: Question): Side {
    return { pids: this.own.pids, ask: (point) => this.#query.nearby(point, radiusM, limit) };
  }

  /** `asks()`: how many calls of the store a question took. */
  searchSide(question: Question): Side & { asks(): number } {
    const search = new StoreSearch(this.own.store, { ...question, maxAgeMs: FRESHNESS_MS });
    let questions = 0;
    return {
      pids: this.own.pids,
      async ask(point) {
        questions++;
        return (await search.nearest(point)).length;
      },
      asks: () => search.asks / questions,
    };
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#query.stop();
    await this.own.stop();
  }
}
