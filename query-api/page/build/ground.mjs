// The files of the map's ground: name and text of each.

import { coarseLand, finePieces } from './land.mjs';
import { places } from './places.mjs';

export function groundFiles() {
  const { cities, towns } = places();
  const pieces = finePieces().map(({ name, bounds: { west, south, east, north }, features }) => {
    const isIn = ({
      geometry: {
        coordinates: [lon, lat],
      },
    }) => lon >= west && lon < east && lat >= south && lat < north;
    return collection(name, [...features, ...towns.filter(isIn)]);
  });
  return [collection('coarse.geojson', coarseLand()), collection('cities.geojson', cities), ...pieces];
}

const collection = (name, features) => ({
  name,
  text: JSON.stringify({ type: 'FeatureCollection', features }),
});
