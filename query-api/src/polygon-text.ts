// Parses the text of a `polygon`: a GeoJSON Polygon (RFC 7946), or Google's encoded polyline of one ring with five
// decimals.

import codec from '@googlemaps/polyline-codec';
import { Polygon, type Ring } from './polygon.js';
import { badParameters, type ParameterError } from './problem.js';

const MAX_VERTICES = 1_000;
const POLYLINE_DECIMALS = 5;
/** Numbers come in pairs. Each has up to five continuation characters, and one that ends it. */
const POLYLINE = /^(?:(?:[_-~]{0,5}[?-^]){2})+$/;

export function polygonOf(text: string): Polygon {
  // GeoJSON always contains a quote and a polyline never does; a polyline may also begin with a brace.
  const isJson = text.includes('"') || (/^\s*[{[]/.test(text) && !POLYLINE.test(text));
  const rings = isJson ? ringsOfGeoJson(text) : [ringOfPolyline(text)];
  const vertices = rings.reduce((sum, { length }) => sum + length, 0);
  if (vertices > MAX_VERTICES)
    throw refused('bad_length', `has ${vertices} positions, ${MAX_VERTICES} at most`);
  for (const [i, ring] of rings.entries()) checkRing(ring, rings.length === 1 ? 'the ring' : `ring ${i}`);
  return new Polygon(rings);
}

function ringsOfGeoJson(text: string): Ring[] {
  let geometry: unknown;
  try {
    geometry = JSON.parse(text);
  } catch (error) {
    throw refused('bad_format', `is neither JSON (${(error as Error).message}) nor an encoded polyline`);
  }
  const { type, coordinates } = (geometry ?? {}) as { type?: unknown; coordinates?: unknown };
  if (type !== 'Polygon') {
    throw refused('bad_format', 'must be a GeoJSON geometry with "type":"Polygon", and no Feature around it');
  }
  if (!Array.isArray(coordinates) || coordinates.length === 0) {
    throw refused('bad_format', '"coordinates" must be a list of rings');
  }
  return coordinates.map((ring, i) => {
    if (!Array.isArray(ring)) throw refused('bad_format', `ring ${i} must be a list of positions`);
    return closed(ring.map((position, j) => positionOf(position, `position ${j} of ring ${i}`)));
  });
}

/** Also for GeoJSON: if a ring does not end where it began, the last edge is implied. */
function closed(ring: Ring): Ring {
  const [first, last] = [ring[0], ring.at(-1)];
  return first && last && !isSame(first, last) ? [...ring, first] : ring;
}

/** A third number, the altitude, is ignored. */
function positionOf(position: unknown, name: string): [lon: number, lat: number] {
  const [lon, lat] = Array.isArray(position) ? position : [];
  if (typeof lon !== 'number' || typeof lat !== 'number') {
    throw refused('bad_format', `${name} must be [longitude, latitude]`);
  }
  return [lon, lat];
}

function ringOfPolyline(text: string): Ring {
  if (!POLYLINE.test(text))
    throw refused('bad_format', 'is neither a GeoJSON Polygon nor an encoded polyline');
  return closed(codec.decode(text, POLYLINE_DECIMALS).map(([lat, lon]): [number, number] => [lon, lat]));
}

function checkRing(ring: Ring, name: string): void {
  for (const [lon, lat] of ring) {
    if (Math.abs(lon) > 180 || Math.abs(lat) > 90) {
      const detail = `${name} has [${lon}, ${lat}]: longitudes are -180 to 180, latitudes -90 to 90`;
      throw refused('out_of_range', detail);
    }
  }
  if (ring.length < 4) throw refused('bad_length', `${name} needs four positions, the last as the first`);
}

function isSame(a: Ring[number], b: Ring[number]): boolean {
  return a[0] === b[0] && a[1] === b[1];
}

function refused(code: ParameterError['code'], detail: string) {
  return badParameters([{ parameter: 'polygon', code, detail }]);
}
