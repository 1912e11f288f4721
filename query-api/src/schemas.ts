// Every parameter and every answer, once: requests are validated by these, and /openapi.json is made of them.

import { DRIVER_ID, MAX_LATITUDE, STATUSES } from '@whereabouts/infra/position';
import Type, { type Static } from 'typebox';
import { MISSING_REASONS } from './missing.js';

const MAX_RADIUS_M = 50_000;
const MAX_LIMIT = 100;
export const MAX_IDS = 100;
export const MAX_POINTS = 100;
const MAX_LIVE_LIMIT = 5_000;

const closed = { additionalProperties: false } as const;
const nullable = { description: 'null where the driver did not say' };
const orNull = (type: Type.TNumber | Type.TInteger | Type.TString, options = nullable) =>
  Type.Union([type, Type.Null()], options);

const Latitude = Type.Number({ minimum: -MAX_LATITUDE, maximum: MAX_LATITUDE });
const Longitude = Type.Number({ minimum: -180, maximum: 180 });
const DriverId = Type.String({ pattern: DRIVER_ID.source });
const Services = Type.Integer({ minimum: 0, maximum: 65_535 });

export const DriverIdPath = Type.Object({ id: DriverId }, closed);

export function questionSchema(freshnessMs: number) {
  return Type.Object(
    {
      lat: Type.Number({ ...Latitude, description: 'Latitude of the point, in degrees' }),
      lon: Type.Optional(Type.Number({ ...Longitude, description: 'Its longitude: give `lon` or `lng`' })),
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
        description: 'Drivers that are not wanted (they have refused already)',
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
      description: 'Drivers, separated by commas',
    }),
  },
  closed,
);

export const LiveParameters = Type.Object(
  {
    bbox: Type.Array(Type.Number(), {
      minItems: 4,
      maxItems: 4,
      description: 'minLon,minLat,maxLon,maxLat in degrees; minLon > maxLon is a box across the antimeridian',
    }),
    limit: Type.Integer({ minimum: 1, maximum: MAX_LIVE_LIMIT, default: 1_000 }),
  },
  closed,
);

export const Driver = Type.Object(
  {
    driver_id: DriverId,
    lat: Latitude,
    lon: Longitude,
    distance_m: orNull(Type.Number({ minimum: 0 }), { description: 'From the point asked for, else null' }),
    bearing_deg: orNull(Type.Number({ minimum: 0, exclusiveMaximum: 360 }), {
      description: 'From the point asked for, clockwise from north, else null',
    }),
    heading_deg: orNull(Type.Number({ minimum: 0, exclusiveMaximum: 360 })),
    speed_mps: orNull(Type.Number({ minimum: 0 })),
    accuracy_m: orNull(Type.Number({ minimum: 0 })),
    status: Type.Enum([...STATUSES]),
    services: Services,
    recorded_at: Type.String({ format: 'date-time' }),
    age_ms: Type.Integer({ minimum: 0, description: "By the cache's own clock" }),
    persisted: Type.Boolean({ description: 'Whether this very position stands in the archive' }),
    source: Type.Enum(['live', 'archive'], {
      description:
        '`archive`: loaded from the archive, the driver has not reported since; only when asked by id',
    }),
    provisional: Type.Literal(true, { description: 'Where the driver was, not where it is' }),
  },
  closed,
);
export type DriverBody = Static<typeof Driver>;

export const MissingRange = Type.Object(
  {
    from: Type.String({ pattern: '^[0-9b-hjkmnp-z]{6}$' }),
    to: Type.String({
      pattern: '^([0-9b-hjkmnp-z]{6}|~~~~~~)$',
      description: 'Exclusive; `~~~~~~` is the end',
    }),
    reason: Type.Enum([...MISSING_REASONS]),
  },
  closed,
);

const coverage = {
  complete: Type.Boolean({ description: 'Nothing is missing' }),
  missing: Type.Array(MissingRange, { description: 'Ranges of geohashes that could not be seen, and why' }),
};

export const Query = Type.Object(
  {
    lat: Latitude,
    lon: Longitude,
    radius_m: Type.Number(),
    limit: Type.Integer(),
    status: Type.Enum(['available', 'busy']),
    services: Services,
    max_age_ms: Type.Integer(),
    exclude: Type.Array(DriverId),
  },
  closed,
);

export const NearbyAnswer = Type.Object(
  { query: Query, ...coverage, drivers: Type.Array(Driver, { description: 'Nearest first' }) },
  closed,
);
export const BatchAnswer = Type.Object(
  {
    complete: Type.Boolean({ description: 'All of the answers are' }),
    answers: Type.Array(NearbyAnswer, { description: 'One for each point, in their order' }),
  },
  closed,
);
export const DriverAnswer = Type.Object({ ...Driver.properties, ...coverage }, closed);
export const DriversAnswer = Type.Object(
  {
    query: IdsParameters,
    ...coverage,
    drivers: Type.Array(Driver, { description: 'In the order asked for' }),
    absent: Type.Array(DriverId, { description: 'Found nowhere, as far as could be seen' }),
  },
  closed,
);

const LiveQuery = Type.Object(
  { bbox: Type.Array(Type.Number(), { minItems: 4, maxItems: 4 }), limit: Type.Integer() },
  closed,
);
const truncated = Type.Boolean({ description: 'There are more drivers than these' });
export const LiveAnswer = Type.Object(
  { query: LiveQuery, ...coverage, truncated, drivers: Type.Array(Driver) },
  closed,
);

const count = (description: string) => orNull(Type.Integer({ minimum: 0 }), { description });
export const Partition = Type.Object(
  {
    partition: Type.Integer(),
    from: MissingRange.properties.from,
    to: MissingRange.properties.to,
    slot: Type.Integer({ minimum: 0, maximum: 16_383 }),
    tag: Type.String(),
    node: orNull(Type.String(), { description: 'host:port of the master believed to own it' }),
    health: Type.Enum(['ok', ...MISSING_REASONS]),
    drivers: count('Records, also of drivers who are offline; null where unknown, as below'),
    available: count('Listed as available'),
    busy: count('Listed as busy'),
    loss_window_ms: count('Age of the oldest position that is not archived; 0 where all are'),
  },
  closed,
);
const MapSummary = Type.Object(
  { hash: Type.String({ pattern: '^[0-9a-f]{16}$' }), partitions: Type.Integer({ minimum: 1 }) },
  closed,
);
export const PartitionsAnswer = Type.Object(
  { map: MapSummary, ...coverage, partitions: Type.Array(Partition) },
  closed,
);

// A GeoJSON position or ring; drafts of JSON Schema differ in how they write a tuple.
const Coordinates = Type.Array(Type.Number(), { minItems: 2, maxItems: 2 });
const Point = Type.Object({ type: Type.Literal('Point'), coordinates: Coordinates }, closed);
const Feature = Type.Literal('Feature');
const FeatureCollection = Type.Literal('FeatureCollection');
export const DriverFeature = Type.Object(
  { type: Feature, id: DriverId, geometry: Point, properties: Driver },
  closed,
);
const driverFeatures = { type: FeatureCollection, features: Type.Array(DriverFeature), ...coverage };
export const NearbyCollection = Type.Object({ ...driverFeatures, query: Query }, closed);
export const DriversCollection = Type.Object(
  { ...driverFeatures, query: IdsParameters, absent: Type.Array(DriverId) },
  closed,
);
export const LiveCollection = Type.Object({ ...driverFeatures, query: LiveQuery, truncated }, closed);
export const DriverAnswerFeature = Type.Object({ ...DriverFeature.properties, ...coverage }, closed);
export const PartitionsCollection = Type.Object(
  {
    type: FeatureCollection,
    map: MapSummary,
    ...coverage,
    features: Type.Array(
      Type.Object(
        {
          type: Feature,
          id: Type.Integer(),
          geometry: Type.Object(
            {
              type: Type.Literal('MultiPolygon'),
              coordinates: Type.Array(Type.Array(Type.Array(Coordinates))),
            },
            closed,
          ),
          properties: Partition,
        },
        closed,
      ),
    ),
  },
  closed,
);

export const ProblemBody = Type.Object({
  type: Type.String({ format: 'uri-reference' }),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  code: Type.String({ description: 'For programs; never changes for the same cause' }),
  request_id: Type.String(),
  errors: Type.Array(
    Type.Object({ parameter: Type.String(), detail: Type.String(), code: Type.String() }, closed),
  ),
  missing: Type.Optional(Type.Array(MissingRange)),
});
