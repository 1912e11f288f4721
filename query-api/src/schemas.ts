// Every answer, once: /openapi.json is made of these, as it is of the parameters. What has an `$id` is a component there,
// and is referred to by it.

import { STATUSES } from '@whereabouts/infra/position';
import Type from 'typebox';
import { MISSING_REASONS } from './missing.js';
import {
  closed,
  DriverId,
  IdsParameters,
  Latitude,
  LiveParameters,
  Longitude,
  MAX_PRECISION,
  Services,
  SupplyParameters,
} from './parameter-schemas.js';

const named = ($id: string) => ({ ...closed, $id });
const refTo = (component: object) => Type.Ref((component as { $id: string }).$id);
const nullable = { description: 'null where the driver did not say' };
const orNull = (type: Type.TNumber | Type.TInteger | Type.TString, options = nullable) =>
  Type.Union([type, Type.Null()], options);

/** RFC 3339. */
const Time = Type.String({ format: 'date-time', examples: ['2026-11-23T16:12:34.618Z'] });

const Driver = Type.Object(
  {
    driver_id: Type.String({ ...DriverId, examples: ['driver-1'] }),
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
    recorded_at: Time,
    age_ms: Type.Integer({ minimum: 0, description: "By the cache's own clock" }),
    persisted: Type.Boolean({ description: 'Whether this very position stands in the archive' }),
    source: Type.Enum(['live', 'archive'], {
      description:
        '`archive`: loaded from the archive, the driver has not reported since; only when asked by id',
    }),
    provisional: Type.Literal(true, { description: 'Where the driver was, not where it is' }),
  },
  named('Driver'),
);

const MissingRange = Type.Object(
  {
    from: Type.String({ pattern: '^[0-9b-hjkmnp-z]{6}$' }),
    to: Type.String({
      pattern: '^([0-9b-hjkmnp-z]{6}|~~~~~~)$',
      description: 'Exclusive; `~~~~~~` is the end',
    }),
    reason: Type.Enum([...MISSING_REASONS]),
  },
  named('MissingRange'),
);

const coverage = {
  complete: Type.Boolean({ description: 'Nothing is missing' }),
  missing: Type.Array(refTo(MissingRange), {
    description: 'Ranges of geohashes that could not be seen, and why',
  }),
  view_age_ms: orNull(Type.Integer({ minimum: 0 }), {
    description:
      'How old the oldest view of a partition is that the answer rests on; null where none has been read yet',
  }),
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
  named('Query'),
);

export const NearbyAnswer = Type.Object(
  { query: refTo(Query), ...coverage, drivers: Type.Array(refTo(Driver), { description: 'Nearest first' }) },
  named('NearbyAnswer'),
);
const revision = Type.String({ description: 'The id of the event: what the process held then' });
const NearbySnapshot = Type.Object({ revision, ...NearbyAnswer.properties }, named('NearbySnapshot'));
const NearbyChange = Type.Object(
  {
    revision,
    ...coverage,
    entered: Type.Array(refTo(Driver), { description: 'Among the nearest now, and not before' }),
    left: Type.Array(DriverId, { description: 'Among the nearest before, and not now' }),
    moved: Type.Array(refTo(Driver), {
      description: 'Told before, and at least `min_move_m` away from there now',
    }),
  },
  named('NearbyChange'),
);
const StreamEnd = Type.Object(
  { reason: Type.String({ description: '`token_expired`, or `draining`: the process is being stopped' }) },
  named('StreamEnd'),
);
/** Text to whoever reads the document; the events are named where only people and our tests look. */
export const NearbyStream = Type.String({
  $id: 'NearbyStream',
  description:
    'Events: `snapshot` (NearbySnapshot), `change` (NearbyChange), `end` (StreamEnd), each as one line of JSON',
  'x-events': { snapshot: refTo(NearbySnapshot), change: refTo(NearbyChange), end: refTo(StreamEnd) },
});
export const BatchAnswer = Type.Object(
  {
    complete: Type.Boolean({ description: 'All of the answers are' }),
    answers: Type.Array(refTo(NearbyAnswer), { description: 'One for each point, in their order' }),
  },
  named('BatchAnswer'),
);
export const DriverAnswer = Type.Object({ ...Driver.properties, ...coverage }, named('DriverAnswer'));
export const DriversAnswer = Type.Object(
  {
    query: IdsParameters,
    ...coverage,
    drivers: Type.Array(refTo(Driver), { description: 'In the order asked for' }),
    absent: Type.Array(DriverId, { description: 'Found nowhere, as far as could be seen' }),
  },
  named('DriversAnswer'),
);

const truncated = Type.Boolean({ description: 'There are more drivers than these' });
export const LiveAnswer = Type.Object(
  { query: LiveParameters, ...coverage, truncated, drivers: Type.Array(refTo(Driver)) },
  named('LiveAnswer'),
);

const SupplyCell = Type.Object(
  {
    geohash: Type.String({ pattern: `^[0-9b-hjkmnp-z]{1,${MAX_PRECISION}}$`, examples: ['u3qcjb'] }),
    drivers: Type.Integer({ minimum: 1, description: 'Those on duty: available and busy ones together' }),
    available: Type.Integer({ minimum: 0 }),
    busy: Type.Integer({ minimum: 0 }),
  },
  named('SupplyCell'),
);
export const SupplyAnswer = Type.Object(
  {
    query: SupplyParameters,
    ...coverage,
    cells: Type.Array(refTo(SupplyCell), {
      description: 'Those that hold a driver, in the order of their geohashes',
    }),
    provisional: Type.Literal(true, { description: 'Where the drivers were, not where they are' }),
  },
  named('SupplyAnswer'),
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
    available: count('Those whose last report said available, however old'),
    busy: count('The same for busy'),
    loss_window_ms: count('Age of the oldest position that is not archived; 0 where all are'),
  },
  named('Partition'),
);
const MapSummary = Type.Object(
  { hash: Type.String({ pattern: '^[0-9a-f]{16}$' }), partitions: Type.Integer({ minimum: 1 }) },
  closed,
);
export const PartitionsAnswer = Type.Object(
  { map: MapSummary, ...coverage, partitions: Type.Array(refTo(Partition)) },
  named('PartitionsAnswer'),
);

// A GeoJSON position or ring; drafts of JSON Schema differ in how they write a tuple.
const Coordinates = Type.Array(Type.Number(), { minItems: 2, maxItems: 2 });
const Point = Type.Object({ type: Type.Literal('Point'), coordinates: Coordinates }, closed);
const Feature = Type.Literal('Feature');
const FeatureCollection = Type.Literal('FeatureCollection');
const DriverFeature = Type.Object(
  { type: Feature, id: DriverId, geometry: Point, properties: refTo(Driver) },
  named('DriverFeature'),
);
const driverFeatures = { type: FeatureCollection, features: Type.Array(refTo(DriverFeature)), ...coverage };
export const NearbyCollection = Type.Object(
  { ...driverFeatures, query: refTo(Query) },
  named('NearbyCollection'),
);
export const DriversCollection = Type.Object(
  { ...driverFeatures, query: IdsParameters, absent: Type.Array(DriverId) },
  named('DriversCollection'),
);
export const LiveCollection = Type.Object(
  { ...driverFeatures, query: LiveParameters, truncated },
  named('LiveCollection'),
);
export const DriverAnswerFeature = Type.Object(
  { ...DriverFeature.properties, ...coverage },
  named('DriverAnswerFeature'),
);
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
          properties: refTo(Partition),
        },
        closed,
      ),
    ),
  },
  named('PartitionsCollection'),
);

export const ProblemBody = Type.Object(
  {
    type: Type.String({ format: 'uri-reference' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String({ description: 'For programs; never changes for the same cause' }),
    request_id: Type.String(),
    errors: Type.Array(
      Type.Object({ parameter: Type.String(), detail: Type.String(), code: Type.String() }, closed),
    ),
    missing: Type.Optional(Type.Array(refTo(MissingRange))),
  },
  { $id: 'Problem' },
);

/** Those that others refer to. */
export const COMPONENTS = [
  Driver,
  MissingRange,
  Query,
  NearbyAnswer,
  NearbyCollection,
  BatchAnswer,
  NearbySnapshot,
  NearbyChange,
  StreamEnd,
  NearbyStream,
  DriverFeature,
  DriverAnswer,
  DriverAnswerFeature,
  DriversAnswer,
  DriversCollection,
  LiveAnswer,
  LiveCollection,
  SupplyCell,
  SupplyAnswer,
  Partition,
  PartitionsAnswer,
  PartitionsCollection,
  ProblemBody,
];
