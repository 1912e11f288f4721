// What to try next: commands that work as they are printed.
import type { City } from '../fleet/cities.js';
import type { Stack } from '../stack-file.js';

const READER = '-H "Authorization: Bearer $(npm run -s token -- --scope drivers:read)"';

/** A driver to ask for by id: the fleet's first, or a placeholder. */
export interface Example {
  lat: number;
  lon: number;
  driverId: string;
}

export const exampleIn = (city: City, driverId: string): Example => ({
  lat: city.lat,
  lon: city.lon,
  driverId,
});

/** The map at the example, with a token in the fragment, which no server sees. */
function mapLink({ query }: Stack, { lat, lon }: Example, token: string): string {
  return `${query.url}/#at=${lat.toFixed(4)},${lon.toFixed(4)}&zoom=11&token=${token}`;
}

/** `token` lets the map read. */
export function whatToTry(stack: Stack, example: Example, token: string): string {
  const point = `lat=${example.lat.toFixed(4)}&lon=${example.lon.toFixed(4)}`;
  const { url } = stack.query;
  return [
    'Now try, in another terminal in this folder:',
    '',
    '  the nearest drivers',
    `  curl -s ${READER} "${url}/v1/drivers/nearby?${point}&limit=3"`,
    '  one driver',
    `  curl -s ${READER} "${url}/v1/drivers/${example.driverId}"`,
    '  the partitions and their nodes',
    `  curl -s ${READER} "${url}/v1/partitions"`,
    '',
    '  the map in a browser (the link carries a token that is valid for a day)',
    `  ${mapLink(stack, example, token)}`,
    '',
    'Ctrl-C stops everything and keeps the data.',
  ].join('\n');
}
