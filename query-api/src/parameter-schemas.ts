// What callers may ask for: the parameters of every route, and the fields that answers share with them.

import { DRIVER_ID, MAX_LATITUDE } from '@whereabouts/infra/position';
import Type, { type Static } from 'typebox';
import { ALIASES, DOCUMENTED_PATTERN } from './schema-shape.js';

const MAX_RADIUS_M = 50_000;
export const MAX_LIMIT = 100;
const MAX_IDS = 100;
export const MAX_POINTS = 100;
const MAX_LIVE_LIMIT = 5_000;
export const MAX_PRECISION = 7;

/** No other properties. */
export const closed = { additionalProperties: false } as const;

export const Latitude = Type.Number({
  minimum: -MAX_LATITUDE,
  maximum: MAX_LATITUDE,
  description: 'Latitude, in degrees',
  examples: [52.2297],
});
export const Longitude = Type.Number({
  minimum: -180,
  maximum: 180,
  description: 'Longitude, in degrees',
  examples: [21.0122],
});
export const DriverId = Type.String({
  pattern: DRIVER_ID.source,
  description: "A driver's id",
  examples: ['driver-1'],
});
export const Services = Type.Integer({
  minimum: 0,
  maximum: 65_535,
  description: 'A mask of bits 0 to 15: the kinds of ride that the driver takes',
  examples: [5],
});

export const DriverIdPath = Type.Object({ id: DriverId }, closed);

export function questionSchema(freshnessMs: number) {
  return Type.Object(
    {
      lat: Type.Number({ ...Latitude, description: 'Latitude of the point, in degrees' }),
      lon: Type.Number({
        ...Longitude,
        description: 'Longitude of the point, in degrees. `lng` is accepted instead',
        [ALIASES]: ['lng'],
      }),
      radius_m: Type.Number({
        minimum: 1,
        maximum: MAX_RADIUS_M,
        default: 5_000,
        description: 'How far to look, in metres',
        examples: [3_000],
      }),
      limit: Type.Integer({
        minimum: 1,
        maximum: MAX_LIMIT,
        default: 10,
        description: 'How many drivers at most',
        examples: [3],
      }),
      status: Type.Enum(['available', 'busy'], {
        type: 'string',
        default: 'available',
        description: 'Only drivers whose last report said this',
        examples: ['available'],
      }),
      services: Type.Integer({
        ...Services,
        default: 0,
        description: 'A mask of bits 0 to 15: only drivers who have all of them',
        examples: [1],
      }),
      max_age_ms: Type.Integer({
        minimum: 1,
        maximum: freshnessMs,
        default: freshnessMs,
        description: 'Only positions that are not older than this, in milliseconds',
        examples: [freshnessMs],
      }),
      exclude: Type.Array(DriverId, {
        maxItems: MAX_IDS,
        default: [],
        description:
          'Drivers to leave out (they have refused already); in a query separated by commas or repeated',
        examples: [['driver-7', 'driver-8']],
      }),
    },
    { ...closed, title: 'NearbyPoint', description: 'A point to look around' },
  );
}
export function streamSchema(freshnessMs: number) {
  return Type.Object(
    {
      ...questionSchema(freshnessMs).properties,
      min_move_m: Type.Number({
        minimum: 0,
        maximum: MAX_RADIUS_M,
        default: 25,
        description: 'In metres: a driver is sent again after having moved this far',
        examples: [50],
      }),
    },
    closed,
  );
}

export type QuestionParameters = Static<ReturnType<typeof questionSchema>>;

export function batchSchema(freshnessMs: number) {
  return Type.Object(
    {
      points: Type.Array(questionSchema(freshnessMs), {
        minItems: 1,
        maxItems: MAX_POINTS,
        description: 'Each with its own parameters',
      }),
    },
    {
      ...closed,
      title: 'NearbyPoints',
      description: 'The points to look around',
      examples: [
        {
          points: [
            { lat: 52.2297, lon: 21.0122, limit: 1 },
            { lat: 50.0647, lng: 19.945, radius_m: 2_000 },
          ],
        },
      ],
    },
  );
}

export const NoParameters = Type.Object({}, closed);

export const IdsParameters = Type.Object(
  {
    ids: Type.Array(DriverId, {
      minItems: 1,
      maxItems: MAX_IDS,
      description: 'Drivers, separated by commas or repeated',
      examples: [['driver-1', 'driver-2']],
    }),
  },
  closed,
);

const BoxLatitude = Type.Number({ minimum: -90, maximum: 90 });
const BoxLongitude = Type.Number({ minimum: -180, maximum: 180 });
/** Five rings of 198 positions: text made from this pattern is always accepted. */
const LONGITUDE_PATTERN = '-?(180|(1[0-7][0-9]|[1-9]?[0-9])([.][0-9]{1,7})?)';
const LATITUDE_PATTERN = '-?(90|[1-8]?[0-9]([.][0-9]{1,7})?)';
const POSITION_PATTERN = `\\[${LONGITUDE_PATTERN}, ?${LATITUDE_PATTERN}\\]`;
const RING_PATTERN = `\\[${POSITION_PATTERN}(, ?${POSITION_PATTERN}){3,197}\\]`;
const GEOJSON_PATTERN = `^\\{"type": ?"Polygon", ?"coordinates": ?\\[${RING_PATTERN}(, ?${RING_PATTERN}){0,4}\\]\\}$`;
const area = {
  bbox: Type.Optional(
    Type.Unsafe<number[]>({
      type: 'array',
      prefixItems: [BoxLongitude, BoxLatitude, BoxLongitude, BoxLatitude],
      items: Type.Number(),
      minItems: 4,
      maxItems: 4,
      description:
        'minLon,minLat,maxLon,maxLat in degrees. minLon > maxLon is a box across the antimeridian; the two latitudes ' +
        'may come in either order. Give `bbox`, `polygon`, or both for what both hold; neither is everywhere',
      examples: [[20.9, 52.1, 21.1, 52.3]],
    }),
  ),
  polygon: Type.Optional(
    Type.String({
      description:
        'A GeoJSON Polygon as text, with holes if it has any. Any JSON of it is taken, not only that of the pattern, and ' +
        'so is one ring as an encoded polyline of Google with five decimals (`_x~|H_`q~B?_af@_af@~oR`). Rings need not ' +
        'be closed. 1,000 positions at most. Edges are straight in longitude and latitude; ' +
        'what is on an edge is within. A polygon across the antimeridian has to be cut there, into two questions',
      minLength: 1,
      [DOCUMENTED_PATTERN]: GEOJSON_PATTERN,
      examples: ['{"type":"Polygon","coordinates":[[[20.9,52.1],[21.1,52.1],[21,52.3],[20.9,52.1]]]}'],
    }),
  ),
};

export const LiveParameters = Type.Object(
  {
    ...area,
    limit: Type.Integer({
      minimum: 1,
      maximum: MAX_LIVE_LIMIT,
      default: 1_000,
      description: 'How many drivers at most',
      examples: [500],
    }),
  },
  closed,
);

export const SupplyParameters = Type.Object(
  {
    ...area,
    precision: Type.Integer({
      minimum: 1,
      maximum: MAX_PRECISION,
      default: 5,
      description:
        'Characters of the geohash of a cell, if not too many cells are touched: 5 is a cell of about 4.9 km, 6 of 1.2 km by 0.6 km',
      examples: [6],
    }),
  },
  closed,
);
