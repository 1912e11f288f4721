// What callers may ask for: the parameters of every route, and the fields that answers share with them.

import { DRIVER_ID, MAX_LATITUDE } from '@whereabouts/infra/position';
import Type, { type Static } from 'typebox';

const MAX_RADIUS_M = 50_000;
export const MAX_LIMIT = 100;
const MAX_IDS = 100;
export const MAX_POINTS = 100;
const MAX_LIVE_LIMIT = 5_000;
export const MAX_PRECISION = 7;

/** Nothing besides. */
export const closed = { additionalProperties: false } as const;

export const Latitude = Type.Number({ minimum: -MAX_LATITUDE, maximum: MAX_LATITUDE });
export const Longitude = Type.Number({ minimum: -180, maximum: 180 });
export const DriverId = Type.String({ pattern: DRIVER_ID.source });
export const Services = Type.Integer({ minimum: 0, maximum: 65_535 });

export const DriverIdPath = Type.Object({ id: DriverId }, closed);

export function questionSchema(freshnessMs: number) {
  return Type.Object(
    {
      lat: Type.Number({
        ...Latitude,
        description: 'Latitude of the point, in degrees',
        examples: [52.2297],
      }),
      lon: Type.Optional(
        Type.Number({
          ...Longitude,
          description: 'Its longitude: give `lon` or `lng`',
          examples: [21.0122],
        }),
      ),
      lng: Type.Optional(Type.Number({ ...Longitude, description: 'The same as `lon`' })),
      radius_m: Type.Number({
        minimum: 1,
        maximum: MAX_RADIUS_M,
        default: 5_000,
        description: 'How far to look, in metres',
      }),
      limit: Type.Integer({ minimum: 1, maximum: MAX_LIMIT, default: 10, description: 'How many drivers' }),
      status: Type.Enum(['available', 'busy'], { default: 'available' }),
      services: Type.Integer({
        ...Services,
        default: 0,
        description: 'A mask of bits 0 to 15: a driver fits that has all of them',
      }),
      max_age_ms: Type.Integer({
        minimum: 1,
        maximum: freshnessMs,
        default: freshnessMs,
        description: 'No position older than this',
      }),
      exclude: Type.Array(DriverId, {
        maxItems: MAX_IDS,
        default: [],
        description:
          'Drivers that are not wanted (they have refused already); in a query separated by commas or repeated',
      }),
    },
    closed,
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
        description:
          'A driver who has moved less far than this since he was last told is not told again, in metres',
      }),
    },
    closed,
  );
}

export type QuestionParameters = Static<ReturnType<typeof questionSchema>>;

export function batchSchema(freshnessMs: number) {
  return Type.Object(
    { points: Type.Array(questionSchema(freshnessMs), { minItems: 1, maxItems: MAX_POINTS }) },
    closed,
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

const area = {
  bbox: Type.Optional(
    Type.Array(Type.Number(), {
      minItems: 4,
      maxItems: 4,
      description:
        'minLon,minLat,maxLon,maxLat in degrees; minLon > maxLon is a box across the antimeridian. Give `bbox` or ' +
        '`polygon`',
      examples: [[20.9, 52.1, 21.1, 52.3]],
    }),
  ),
  polygon: Type.Optional(
    Type.String({
      description:
        'A GeoJSON Polygon as text, with holes if it has any, or one ring as an encoded polyline of Google with five ' +
        'decimals, which need not be closed. 1,000 positions at most. Edges are straight in longitude and latitude; ' +
        'what is on an edge is within. A polygon across the antimeridian has to be cut there, into two questions',
      examples: [
        '{"type":"Polygon","coordinates":[[[20.9,52.1],[21.1,52.1],[21,52.3],[20.9,52.1]]]}',
        '_x~|H_`q~B?_af@_af@~oR',
      ],
    }),
  ),
};

export const LiveParameters = Type.Object(
  { ...area, limit: Type.Integer({ minimum: 1, maximum: MAX_LIVE_LIMIT, default: 1_000 }) },
  closed,
);

export const SupplyParameters = Type.Object(
  {
    ...area,
    precision: Type.Integer({
      minimum: 1,
      maximum: MAX_PRECISION,
      default: 5,
      description: 'Characters of the geohash of a cell: 5 is a cell of about 4.9 km, 6 of 1.2 km by 0.6 km',
      examples: [6],
    }),
  },
  closed,
);
