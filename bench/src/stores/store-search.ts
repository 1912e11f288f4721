// The calls of the store that one nearest-k question takes, as query-api makes them in the common case: first the
// partition that holds the point, in a circle that should hold enough of its drivers; then, in parallel, every other
// partition that the circle through the k-th driver touches. Here for the time that the store's part takes: what
// query-api does besides (ghosts, crowds, outages) has nothing to do in a fleet that stands still.

import type { LiveStore, NearQuery } from '@whereabouts/infra/live-store/live-store';
import { distanceM, fromE7 } from '@whereabouts/infra/position';

/** As query-api: Redis measures on another sphere and by cells; and room for a ghost or two. */
const REDIS_RADIUS_RATIO = 1.0003;
const REDIS_SLACK_M = 1;
const COUNT_MARGIN = 4;
const FIRST_RADIUS_M = 500;
const MIN_RADIUS_M = 50;
const ROOM = 2;

export interface SearchOptions {
  radiusM: number;
  limit: number;
  maxAgeMs: number;
}

interface Point {
  lat: number;
  lon: number;
}

export class StoreSearch {
  /** Calls of the store so far. */
  asks = 0;
  readonly #store: LiveStore;
  readonly #options: SearchOptions;
  /** Drivers on a square metre, as each partition's own last answers tell; 0 where nothing is known. */
  readonly #density: Float64Array;

  constructor(store: LiveStore, options: SearchOptions) {
    this.#store = store;
    this.#options = options;
    this.#density = new Float64Array(store.map.partitions);
  }

  /** Metres to each of the nearest, ascending. */
  async nearest(point: Point): Promise<number[]> {
    const { limit, radiusM } = this.#options;
    const { map } = this.#store;
    const home = map.partitionOf(point.lat, point.lon);
    const found = await this.#ask(home, point, radiusM, this.#startRadiusM(home));
    this.#learn(home, found);
    const reachM = found[limit - 1] ?? radiusM;
    const others = map.cover(point.lat, point.lon, reachM).filter((partition) => partition !== home);
    const more = await Promise.all(others.map((partition) => this.#ask(partition, point, reachM, reachM)));
    return [found, ...more]
      .flat()
      .filter((m) => m <= radiusM)
      .sort((a, b) => a - b)
      .slice(0, limit);
  }

  async #ask(partition: number, { lat, lon }: Point, reachM: number, startM: number): Promise<number[]> {
    this.asks++;
    const { limit, maxAgeMs } = this.#options;
    const askedM = (m: number) => m * REDIS_RADIUS_RATIO + REDIS_SLACK_M;
    const query: NearQuery = {
      lat,
      lon,
      radiusM: askedM(reachM),
      startRadiusM: askedM(startM),
      count: limit + COUNT_MARGIN,
      enough: limit,
      maxAgeMs,
      status: 'available',
      services: 0,
    };
    const { hits } = await this.#store.near(partition, query);
    return hits
      .map(({ latE7, lonE7 }) => distanceM(lat, lon, fromE7(latE7), fromE7(lonE7)))
      .sort((a, b) => a - b);
  }

  #startRadiusM(partition: number): number {
    const density = this.#density[partition] as number;
    const { limit, radiusM } = this.#options;
    const guessM = density === 0 ? FIRST_RADIUS_M : Math.sqrt((limit * ROOM) / (Math.PI * density));
    return Math.min(radiusM, Math.max(MIN_RADIUS_M, guessM));
  }

  #learn(partition: number, found: readonly number[]): void {
    const furthestM = found.at(-1);
    if (furthestM === undefined || furthestM < 1) return;
    const seen = found.length / (Math.PI * furthestM * furthestM);
    const before = this.#density[partition] as number;
    this.#density[partition] = before === 0 ? seen : (before + seen) / 2;
  }
}
