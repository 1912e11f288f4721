// A stationary fleet of one city, half of it available, in a live store that is kept awake as ingest does, with
// query-api on it; and the places of the questions about it.
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import type { Position } from '@whereabouts/infra/position';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { cityFleet, type Place } from '../load/places.js';
import { QueryService } from './query-service.js';
import { positionOf, StoreUnderTest } from './store-under-test.js';

export const FLEET_SEED = 1;
export const QUESTION_SEED = 2;
export const MASTERS = 3;
const QUESTIONS = 10_000;
const TOUCH_EVERY_MS = 500;

export interface Question {
  radiusM: number;
  limit: number;
}

/** A side that answers; returns how many drivers were found. */
export interface Side {
  /** The processes whose CPU counts. */
  pids: readonly number[];
  ask(point: Place): Promise<number>;
}

/** Every second one has a passenger. */
export const isAvailable = (i: number): boolean => i % 2 === 0;

/** At random drivers' places. */
export function questionsAbout(places: readonly Place[]): Place[] {
  const random = seededRandom(QUESTION_SEED);
  const anyOne = () => places[Math.floor(random.next() * places.length)] as Place;
  return Array.from({ length: QUESTIONS }, anyOne);
}

export class City {
  readonly places: readonly Place[];
  readonly fleet: readonly Position[];
  readonly own: StoreUnderTest;
  readonly query: QueryService;
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
    this.query = query;
    this.#timer = timer;
  }

  /** `queryEnv`: further settings of query-api. */
  static async start(
    drivers: number,
    sigmaKm?: number,
    queryEnv: Record<string, string> = {},
  ): Promise<City> {
    const places = cityFleet(drivers, FLEET_SEED, sigmaKm);
    const nowMs = Date.now();
    const fleet = places.map((place, i) => positionOf(place, isAvailable(i) ? 'available' : 'busy', nowMs));
    const own = await StoreUnderTest.start(buildPartitionMap(places), MASTERS);
    let timer: NodeJS.Timeout | undefined;
    try {
      await own.load(fleet);
      // If one fails, the question that finds the partition silent reports it.
      timer = setInterval(() => void own.touchAll().catch(() => {}), TOUCH_EVERY_MS);
      return new City(places, fleet, own, await QueryService.start(own, queryEnv), timer);
    } catch (error) {
      clearInterval(timer);
      await own.stop();
      throw error;
    }
  }

  /** The masters' part is polls and touches: a question costs them nothing. */
  querySide({ radiusM, limit }: Question): Side {
    return {
      pids: [this.query.pid, ...this.own.pids],
      ask: (point) => this.query.nearby(point, radiusM, limit),
    };
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.query.stop();
    await this.own.stop();
  }
}
