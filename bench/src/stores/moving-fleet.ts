// A moving fleet: each driver reports in turn, at a fixed interval, from where a steady speed has taken it.
import { seededRandom } from '@whereabouts/infra/seeded-random';
import type { Place } from '../load/places.js';
import { isAvailable } from './city.js';
import { byPartition, positionOf, type StoreUnderTest } from './store-under-test.js';

const SEED = 7;
const SPEED_MPS = 10;
const SLICES = 20;
const METRES_PER_DEGREE = 111_200;

export class MovingFleet {
  readonly #own: StoreUnderTest;
  readonly #places: Place[];
  readonly #headings: number[];
  readonly #stepM: number;
  readonly #timer: NodeJS.Timeout;
  #slice = 0;
  #failure: unknown = null;

  constructor(own: StoreUnderTest, places: readonly Place[], reportEveryMs: number) {
    const { next: random } = seededRandom(SEED);
    this.#own = own;
    this.#places = places.map((place) => ({ ...place }));
    this.#headings = places.map(() => 2 * Math.PI * random());
    this.#stepM = (SPEED_MPS * reportEveryMs) / 1000;
    this.#timer = setInterval(() => void this.#report(), reportEveryMs / SLICES);
  }

  stop(): void {
    clearInterval(this.#timer);
    if (this.#failure !== null) throw this.#failure;
  }

  async #report(): Promise<void> {
    const first = this.#slice++ % SLICES;
    const nowMs = Date.now();
    const positions = [];
    for (let i = first; i < this.#places.length; i += SLICES) {
      positions.push(positionOf(this.#step(i), isAvailable(i) ? 'available' : 'busy', nowMs));
    }
    const batches = byPartition(this.#own.store.map, positions);
    try {
      await Promise.all(
        batches.map((batch, partition) =>
          batch.length > 0 ? this.#own.append(partition, batch) : this.#own.store.touch(partition),
        ),
      );
    } catch (error) {
      this.#failure ??= error;
    }
  }

  #step(i: number): Place {
    const place = this.#places[i] as Place;
    const heading = this.#headings[i] as number;
    place.lat += (this.#stepM * Math.cos(heading)) / METRES_PER_DEGREE;
    const widen = Math.cos((place.lat * Math.PI) / 180) * METRES_PER_DEGREE;
    place.lon += (this.#stepM * Math.sin(heading)) / widen;
    return place;
  }
}
