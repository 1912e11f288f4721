// Names regions by their cities: for people who think of Warsaw, not of u3qcn5.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { blockBounds, cellFromString, cellOf, cellToString } from '@whereabouts/infra/geohash';
import { distanceM } from '@whereabouts/infra/position';
import type { Place } from './city-list.js';

/** Of geohashes, `to` exclusive. */
export interface Range {
  from: string;
  to: string;
}

type NamedCell = Place & { geohash: string };

/** A suburb is named after the city that it belongs to. */
const SUBURB_M = 40_000;
const LAST_CELL = 'zzzzzz';

export class Places {
  #cities: readonly NamedCell[] = [];
  /** As many as the map has partitions. */
  readonly #found = new Map<string, string | null>();

  /** A few thousand, read in a separate thread; until then, and without them, regions are shown as geohashes. */
  async load(): Promise<void> {
    const worker = new Worker(new URL('./city-list-worker.js', import.meta.url));
    worker.unref();
    const [places] = (await once(worker, 'message')) as [Place[]];
    this.#cities = places.map((place) => ({ ...place, geohash: cellToString(cellOf(place.lat, place.lon)) }));
    this.#found.clear();
  }

  /** The largest city in it, else the one nearest to its middle; null: the cities are not known. */
  cityOf(range: Range): string | null {
    const key = `${range.from} ${range.to}`;
    const found = this.#found.get(key) ?? this.#find(range);
    this.#found.set(key, found);
    return found;
  }

  #find({ from, to }: Range): string | null {
    const inside = this.#cities.filter(({ geohash }) => geohash >= from && geohash < to);
    const city = largest(inside) ?? this.#nearest(middleOf(from, to));
    if (city === null) return null;
    const around = this.#cities.filter((one) => distanceM(city.lat, city.lon, one.lat, one.lon) <= SUBURB_M);
    return (largest(around) ?? city).name;
  }

  /** Each city once, in the order of the ranges: `Warsaw, Nairobi and 3 more`. */
  textOf(ranges: readonly Range[], most = 3): string {
    const names = [...new Set(ranges.map((range) => this.cityOf(range) ?? `${range.from} to ${range.to}`))];
    const more = names.length - most;
    return more > 0 ? `${names.slice(0, most).join(', ')} and ${more} more` : names.join(', ');
  }

  #nearest({ lat, lon }: { lat: number; lon: number }): NamedCell | null {
    let nearest: NamedCell | null = null;
    let leastM = Number.POSITIVE_INFINITY;
    for (const city of this.#cities) {
      const m = distanceM(lat, lon, city.lat, city.lon);
      if (m < leastM) [nearest, leastM] = [city, m];
    }
    return nearest;
  }
}

function largest(cities: readonly NamedCell[]): NamedCell | undefined {
  return [...cities].sort((a, b) => b.population - a.population)[0];
}

function middleOf(from: string, to: string): { lat: number; lon: number } {
  const last = to > LAST_CELL ? LAST_CELL : to;
  const cell = Math.floor((cellFromString(from) + cellFromString(last)) / 2);
  const { minLat, maxLat, minLon, maxLon } = blockBounds(cell, 1);
  return { lat: (minLat + maxLat) / 2, lon: (minLon + maxLon) / 2 };
}
