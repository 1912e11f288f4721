// Land and borders out of world-atlas (Natural Earth, public domain), as GeoJSON that a browser can draw at once: the
// whole world coarsely, and finely in pieces, of which the page fetches those that are in view.

import { createRequire } from 'node:module';
import { feature, mesh } from 'topojson-client';
import { clipLine, clipRing } from './clip.mjs';

const require = createRequire(import.meta.url);
/** Where Web Mercator ends. */
const MAX_LATITUDE = 85.0511;
const PIECE_DEGREES = 30;

export function coarseLand() {
  const { polygons, lines } = atlas(require('world-atlas/countries-50m.json'));
  return pieceOf(polygons, lines, { west: -180, south: -MAX_LATITUDE, east: 180, north: MAX_LATITUDE }, 2);
}

/** Each with its name and bounds. */
export function finePieces() {
  const { polygons, lines } = atlas(require('world-atlas/countries-10m.json'));
  const pieces = [];
  for (let west = -180; west < 180; west += PIECE_DEGREES) {
    for (let south = -90; south < 90; south += PIECE_DEGREES) {
      const bounds = {
        west,
        south: Math.max(-MAX_LATITUDE, south),
        east: west + PIECE_DEGREES,
        north: Math.min(MAX_LATITUDE, south + PIECE_DEGREES),
      };
      const water = piece('water', { type: 'Polygon', coordinates: [ringOf(bounds)] });
      pieces.push({
        name: `fine_${west}_${south}.geojson`,
        bounds,
        // Over the coarse land, which does not end at the same coast.
        features: [water, ...pieceOf(polygons, lines, bounds, 4)],
      });
    }
  }
  return pieces;
}

function atlas(topology) {
  const land = feature(topology, topology.objects.land);
  const polygons = land.features.flatMap(({ geometry: { type, coordinates } }) =>
    type === 'Polygon' ? [coordinates] : coordinates,
  );
  const lines = mesh(topology, topology.objects.countries, (a, b) => a !== b).coordinates;
  const withBounds = (outer, shape) => ({ shape, bounds: boundsOf(outer) });
  return {
    polygons: polygons.flatMap(copiesOf).map((rings) => withBounds(rings[0], rings)),
    lines: lines.flatMap((line) => copiesOf([unrolled(line)]).map(([copy]) => withBounds(copy, copy))),
  };
}

/** The atlas's rings go on at -180 where they reach 180: as they are unrolled, and a whole turn to either side. */
function copiesOf(rings) {
  const whole = rings.map(unrolled);
  return [-360, 0, 360].map((turn) => whole.map((ring) => ring.map(([lon, lat]) => [lon + turn, lat])));
}

function unrolled(line) {
  let turns = 0;
  const points = line.map(([lon, lat], i) => {
    const before = line[i - 1]?.[0] ?? lon;
    if (Math.abs(lon - before) > 180) turns += lon < before ? 360 : -360;
    return [lon + turns, lat];
  });
  if (turns === 0) return points;
  // Around a pole, which is Antarctica's: down to it and back.
  const isRing = line[0][0] === line.at(-1)[0] && line[0][1] === line.at(-1)[1];
  const [first, last] = [points[0], points.at(-1)];
  return isRing ? [...points, [last[0], -90], [first[0], -90], first] : points;
}

function boundsOf(points) {
  const bounds = { west: Infinity, south: Infinity, east: -Infinity, north: -Infinity };
  for (const [lon, lat] of points) {
    bounds.west = Math.min(bounds.west, lon);
    bounds.south = Math.min(bounds.south, lat);
    bounds.east = Math.max(bounds.east, lon);
    bounds.north = Math.max(bounds.north, lat);
  }
  return bounds;
}

const meet = (a, b) => a.west <= b.east && a.east >= b.west && a.south <= b.north && a.north >= b.south;

function pieceOf(polygons, lines, bounds, digits) {
  const within = (all) => all.filter((each) => meet(each.bounds, bounds)).map(({ shape }) => shape);
  const land = within(polygons)
    .map((rings) =>
      rings.map((ring) => rounded(clipRing(ring, bounds), digits)).filter(({ length }) => length >= 4),
    )
    .filter(({ length }) => length > 0);
  const borders = within(lines)
    .flatMap((line) => clipLine(line, bounds))
    .map((line) => rounded(line, digits))
    .filter(({ length }) => length >= 2);
  return [
    ...land.map((coordinates) => piece('land', { type: 'Polygon', coordinates })),
    piece('border', { type: 'MultiLineString', coordinates: borders }),
  ];
}

const piece = (kind, geometry) => ({ type: 'Feature', properties: { kind }, geometry });

const ringOf = ({ west, south, east, north }) => [
  [west, south],
  [east, south],
  [east, north],
  [west, north],
  [west, south],
];

/** Points that fall together are one. */
function rounded(line, digits) {
  const points = [];
  for (const degrees of line) {
    const [lon, lat] = degrees.map((each) => Number(each.toFixed(digits)));
    const last = points.at(-1);
    if (last === undefined || last[0] !== lon || last[1] !== lat) points.push([lon, lat]);
  }
  return points;
}
