// Names for places: the city that a person would name for a point.

import type { Point } from './typed-point.js';

export interface City extends Point {
  name: string;
  population: number;
}

/** As the build writes them, for the map too. */
export interface CityFile {
  features: {
    properties: { name: string; population: number };
    geometry: { coordinates: [lon: number, lat: number] };
  }[];
}

const DEGREES_KM = 111.2;
/** Beyond this distance even a city with ten times the people is no better name. */
const TEN_TIMES_KM = 40;

export class Cities {
  readonly #cities: readonly City[];

  constructor({ features }: CityFile) {
    this.#cities = features.map(({ properties, geometry: { coordinates } }) => ({
      ...{ name: properties.name, population: properties.population },
      ...{ lat: coordinates[1], lon: coordinates[0] },
    }));
  }

  near(point: Point): City | null {
    let best: City | null = null;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (const city of this.#cities) {
      const score = Math.log10(city.population) - distanceKm(point, city) / TEN_TIMES_KM;
      if (score > bestScore) [best, bestScore] = [city, score];
    }
    return best;
  }

  named(text: string): City | null {
    const wanted = plain(text);
    return this.#cities.find(({ name }) => plain(name) === wanted) ?? null;
  }
}

/** On a plane, which is accurate enough to choose a name. */
function distanceKm(a: Point, b: Point): number {
  const lonDegrees = Math.abs(((a.lon - b.lon + 540) % 360) - 180);
  const x = lonDegrees * Math.cos(((a.lat + b.lat) / 2 / 180) * Math.PI);
  return Math.hypot(x, a.lat - b.lat) * DEGREES_KM;
}

/** `São Paulo` as `sao-paulo`. */
function plain(text: string): string {
  return text
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-');
}
