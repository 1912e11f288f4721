// Every answer, once: /openapi.json is made from these, as it is from the parameters. A schema with an `$id` is a
// component there, and is referred to by it.

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

const named = ($id: string, description: string) => ({ ...closed, $id, description });
const refTo = (component: object) => Type.Ref((component as { $id: string }).$id);
const orNull = (type: Type.TNumber | Type.TInteger | Type.TString, description: string, example: unknown) =>
  Type.Union([type, Type.Null()], { description, examples: [example] });
const Degrees = Type.Number({ minimum: 0, exclusiveMaximum: 360 });
const NotNegative = Type.Number({ minimum: 0 });

const Driver = Type.Object(
  {
    driver_id: DriverId,
    lat: Latitude,
    lon: Longitude,
    distance_m: orNull(NotNegative, 'From the point asked for, in metres, else null', 339.41),
    bearing_deg: orNull(Degrees, 'From the point asked for, clockwise from north, else null', 62),
    heading_deg: orNull(Degrees, 'Clockwise from north; null where the driver did not say', 17),
    speed_mps: orNull(NotNegative, 'In metres a second; null where the driver did not say', 8.3),
    accuracy_m: orNull(NotNegative, 'Of the position, in metres; null where the driver did not say', 5),
    status: Type.Enum([...STATUSES], {
      type: 'string',
      description: 'What the last report said',
      examples: ['available'],
    }),
    services: Services,
    recorded_at: Type.String({
      format: 'date-time',
      description: 'When the driver took the position (RFC 3339)',
      examples: ['2026-11-23T16:12:34.618Z'],
    }),
    age_ms: Type.Integer({
      minimum: 0,
      description: "How long ago that was, in milliseconds, by the cache's own clock",
      examples: [1_042],
    }),
    persisted: Type.Boolean({
      description: 'Whether exactly this position is in the archive',
      examples: [false],
    }),
    source: Type.Enum(['live', 'archive'], {
      type: 'string',
      description:
        '`archive`: loaded from the archive, the driver has not reported since; only when asked by id',
      examples: ['live'],
    }),
    provisional: Type.Literal(true, { description: 'Where the driver was, not where it is' }),
  },
  named('Driver', 'The newest known position of a driver'),
);

const MissingRange = Type.Object(
  {
    from: Type.String({
      pattern: '^[0-9b-hjkmnp-z]{6}$',
      description: 'The first geohash of the range',
      examples: ['u3qcn5'],
    }),
    to: Type.String({
      pattern: '^([0-9b-hjkmnp-z]{6}|~~~~~~)$',
      description: 'The geohash behind its end; `~~~~~~` is the end of the map',
      examples: ['u3qcnk'],
    }),
    reason: Type.Enum([...MISSING_REASONS], {
      type: 'string',
      description:
        '`unreachable`, `timeout`: its node does not answer. `not_ready`: not read yet, or it cannot be served. ' +
        '`map_mismatch`: written under another partition map. `silent`: no process feeds it. `warming`: its master ' +
        'was new when it was first read',
      examples: ['unreachable'],
    }),
  },
  named('MissingRange', 'A range of geohashes that an answer could not see, and why'),
);

const coverage = {
  complete: Type.Boolean({ description: 'Nothing is missing', examples: [true] }),
  missing: Type.Array(refTo(MissingRange), {
    description: 'Ranges of geohashes that could not be seen, and why',
    examples: [[]],
  }),
  view_age_ms: orNull(
    Type.Integer({ minimum: 0 }),
    'How old the oldest view of a partition is that the answer rests on, in milliseconds; null where none has ' +
      'been read yet',
    85,
  ),
};

export const Query = Type.Object(
  {
    lat: Latitude,
    lon: Longitude,
    radius_m: Type.Number({ description: 'In metres', examples: [3_000] }),
    limit: Type.Integer({ description: 'How many drivers at most', examples: [3] }),
    status: Type.Enum(['available', 'busy'], {
      type: 'string',
      description: 'Of the last report',
      examples: ['available'],
    }),
    services: Services,
    max_age_ms: Type.Integer({ description: 'In milliseconds', examples: [10_000] }),
    exclude: Type.Array(DriverId, { description: 'Drivers that were left out', examples: [['driver-7']] }),
  },
  named('Query', 'The question as it was understood, with its defaults'),
);

export const NearbyAnswer = Type.Object(
  { query: refTo(Query), ...coverage, drivers: Type.Array(refTo(Driver), { description: 'Nearest first' }) },
  named('NearbyAnswer', 'The drivers nearest to a point'),
);
const revision = Type.String({
  description: 'The id of the event: what the process held then',
  examples: ['k3f9-120'],
});
const NearbySnapshot = Type.Object(
  { revision, ...NearbyAnswer.properties },
  named('NearbySnapshot', 'The nearest drivers as a stream begins'),
);
const NearbyChange = Type.Object(
  {
    revision,
    ...coverage,
    entered: Type.Array(refTo(Driver), { description: 'Among the nearest now, and not before' }),
    left: Type.Array(DriverId, { description: 'Among the nearest before, but not now' }),
    moved: Type.Array(refTo(Driver), {
      description: 'Sent before, and now at least `min_move_m` away from there',
    }),
  },
  named('NearbyChange', 'What changed among the nearest'),
);
const StreamEnd = Type.Object(
  {
    reason: Type.String({
      description: '`token_expired`, or `draining`: the process is being stopped',
      examples: ['draining'],
    }),
  },
  named('StreamEnd', 'Why the stream ends'),
);
/**
 * One event, as its fields are parsed. Only people and our tests use the rule for which data comes with which event.
 */
export const NearbyStream = Type.Object(
  {
    event: Type.Enum(['snapshot', 'change', 'end'], {
      type: 'string',
      description: 'With the data of a NearbySnapshot, a NearbyChange, a StreamEnd',
      examples: ['end'],
    }),
    data: Type.String({ description: 'One line of JSON', examples: ['{"reason":"draining"}'] }),
    id: Type.Optional(
      Type.String({ description: 'The revision that it is based on', examples: ['60fd126b-1'] }),
    ),
    retry: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'With the first event: how long to wait before connecting again, in milliseconds',
        examples: [834],
      }),
    ),
  },
  {
    $id: 'NearbyStream',
    description: 'One of the Server-Sent Events',
    'x-events': { snapshot: refTo(NearbySnapshot), change: refTo(NearbyChange), end: refTo(StreamEnd) },
  },
);
export const BatchAnswer = Type.Object(
  {
    complete: Type.Boolean({ description: 'All of the answers are', examples: [true] }),
    answers: Type.Array(refTo(NearbyAnswer), { description: 'One for each point, in their order' }),
  },
  named('BatchAnswer', 'The drivers nearest to each of several points'),
);
export const DriverAnswer = Type.Object(
  { ...Driver.properties, ...coverage },
  named('DriverAnswer', 'The newest known position of one driver'),
);
const idsQuery = Type.Object(IdsParameters.properties, {
  ...closed,
  description: 'The question as it was understood',
});
const absent = Type.Array(DriverId, {
  description: 'Found nowhere, as far as could be seen',
  examples: [['driver-2']],
});
export const DriversAnswer = Type.Object(
  {
    query: idsQuery,
    ...coverage,
    drivers: Type.Array(refTo(Driver), { description: 'In the order asked for' }),
    absent,
  },
  named('DriversAnswer', 'The newest known positions of several drivers'),
);

const asUnderstood = { ...closed, description: 'The question as it was understood' };
const LiveQuery = Type.Object(LiveParameters.properties, asUnderstood);
const truncated = Type.Boolean({ description: 'There are more drivers than these', examples: [false] });
export const LiveAnswer = Type.Object(
  {
    query: LiveQuery,
    ...coverage,
    truncated,
    drivers: Type.Array(refTo(Driver), { description: 'In no order that matters' }),
  },
  named('LiveAnswer', 'Drivers on duty within an area'),
);

const SupplyCell = Type.Object(
  {
    geohash: Type.String({
      pattern: `^[0-9b-hjkmnp-z]{1,${MAX_PRECISION}}$`,
      description: 'The cell',
      examples: ['u3qcjb'],
    }),
    drivers: Type.Integer({
      minimum: 1,
      description: 'Those on duty: available and busy ones together',
      examples: [7],
    }),
    available: Type.Integer({ minimum: 0, description: 'Drivers free to take a ride', examples: [4] }),
    busy: Type.Integer({ minimum: 0, description: 'Drivers on a ride', examples: [3] }),
  },
  named('SupplyCell', 'How many drivers are in a cell of the geohash'),
);
export const SupplyAnswer = Type.Object(
  {
    query: Type.Object(SupplyParameters.properties, asUnderstood),
    ...coverage,
    precision: Type.Integer({
      minimum: 1,
      maximum: MAX_PRECISION,
      description: 'Characters of the geohash of each cell: what was asked for, or fewer',
      examples: [6],
    }),
    cells: Type.Array(refTo(SupplyCell), {
      description: 'Those that hold a driver, in the order of their geohashes',
    }),
    provisional: Type.Literal(true, { description: 'Where the drivers were, not where they are' }),
  },
  named('SupplyAnswer', 'Drivers on duty within an area, counted for each cell'),
);

const count = (description: string, example: number) =>
  orNull(Type.Integer({ minimum: 0 }), description, example);
export const Partition = Type.Object(
  {
    partition: Type.Integer({ minimum: 0, description: 'Its number on the map', examples: [47] }),
    from: MissingRange.properties.from,
    to: MissingRange.properties.to,
    slot: Type.Integer({
      minimum: 0,
      maximum: 16_383,
      description: 'The slot of the Redis Cluster that holds it',
      examples: [12_160],
    }),
    tag: Type.String({ description: 'The hash tag of its keys', examples: ['53t'] }),
    node: orNull(Type.String(), 'host:port of the master believed to own it', '127.0.0.1:7102'),
    health: Type.Enum(['ok', ...MISSING_REASONS], {
      type: 'string',
      description: '`ok`, or why answers do not see it, as `reason` of a missing range',
      examples: ['ok'],
    }),
    unwell_since: orNull(
      Type.String({ format: 'date-time' }),
      'Until when it was well, as far as was seen; null while it is, or where that is not known',
      null,
    ),
    drivers: count('Records, also of drivers who are offline; null where unknown, as below', 18),
    available: count('Those whose last report said available, however old', 9),
    busy: count('The same for busy', 9),
    loss_window_ms: count('Age of the oldest position that is not archived; 0 where all are', 4_598),
  },
  named('Partition', 'A part of the map: a range of geohashes, who owns it, and how it is'),
);
const MapSummary = Type.Object(
  {
    hash: Type.String({
      pattern: '^[0-9a-f]{16}$',
      description: 'The same for the same map',
      examples: ['604a029bd12040b5'],
    }),
    partitions: Type.Integer({ minimum: 1, description: 'How many there are', examples: [64] }),
  },
  { ...closed, description: 'Which partition map this is' },
);
export const PartitionsAnswer = Type.Object(
  {
    map: MapSummary,
    ...coverage,
    partitions: Type.Array(refTo(Partition), { description: 'All of them, in the order of the curve' }),
  },
  named('PartitionsAnswer', 'The partition map, its owners and their state'),
);

// A GeoJSON position or ring; drafts of JSON Schema differ in how they write a tuple.
const Coordinates = Type.Array(Type.Number(), {
  minItems: 2,
  maxItems: 2,
  description: 'Longitude, latitude',
  examples: [[21.0122, 52.2297]],
});
const Point = Type.Object(
  { type: Type.Literal('Point', { description: 'Of GeoJSON' }), coordinates: Coordinates },
  { ...closed, description: 'Where the driver was' },
);
const Feature = Type.Literal('Feature', { description: 'Of GeoJSON' });
const FeatureCollection = Type.Literal('FeatureCollection', { description: 'Of GeoJSON' });
const DriverFeature = Type.Object(
  { type: Feature, id: DriverId, geometry: Point, properties: refTo(Driver) },
  named('DriverFeature', 'A driver as a feature of GeoJSON'),
);
const driverFeatures = {
  type: FeatureCollection,
  features: Type.Array(refTo(DriverFeature), { description: 'One for each driver' }),
  ...coverage,
};
export const NearbyCollection = Type.Object(
  { ...driverFeatures, query: refTo(Query) },
  named('NearbyCollection', 'The drivers nearest to a point, as GeoJSON'),
);
export const DriversCollection = Type.Object(
  { ...driverFeatures, query: idsQuery, absent },
  named('DriversCollection', 'The newest known positions of several drivers, as GeoJSON'),
);
export const LiveCollection = Type.Object(
  { ...driverFeatures, query: LiveQuery, truncated },
  named('LiveCollection', 'Drivers on duty within an area, as GeoJSON'),
);
export const DriverAnswerFeature = Type.Object(
  { ...DriverFeature.properties, ...coverage },
  named('DriverAnswerFeature', 'The newest known position of one driver, as GeoJSON'),
);
const PartitionFeature = Type.Object(
  {
    type: Feature,
    id: Type.Integer({ minimum: 0, description: 'The number of the partition', examples: [47] }),
    geometry: Type.Object(
      {
        type: Type.Literal('MultiPolygon', { description: 'Of GeoJSON' }),
        coordinates: Type.Array(Type.Array(Type.Array(Coordinates)), {
          description: 'Rectangles of the geohash grid that cover it',
          examples: [
            [
              [
                [
                  [21, 52.2],
                  [21.1, 52.2],
                  [21.1, 52.3],
                  [21, 52.3],
                  [21, 52.2],
                ],
              ],
            ],
          ],
        }),
      },
      { ...closed, description: 'Its outline' },
    ),
    properties: refTo(Partition),
  },
  named('PartitionFeature', 'A partition as a feature of GeoJSON'),
);
export const PartitionsCollection = Type.Object(
  {
    type: FeatureCollection,
    map: MapSummary,
    ...coverage,
    features: Type.Array(refTo(PartitionFeature), { description: 'All of them, in the order of the curve' }),
  },
  named('PartitionsCollection', 'The partition map as GeoJSON'),
);

const ParameterProblem = Type.Object(
  {
    parameter: Type.String({
      description: 'As the caller wrote it: `radius_m`, or `points[3].lat` in a body',
      examples: ['radius'],
    }),
    detail: Type.String({
      description: 'For people',
      examples: ['is not a parameter: did you mean radius_m?'],
    }),
    code: Type.String({ description: 'For programs. New ones may come', examples: ['unknown'] }),
  },
  named('ParameterProblem', 'What is wrong with one parameter'),
);
export const ProblemBody = Type.Object(
  {
    type: Type.String({ format: 'uri-reference', description: 'Of RFC 9457', examples: ['about:blank'] }),
    title: Type.String({ description: 'The name of the status', examples: ['Bad Request'] }),
    status: Type.Integer({ description: 'The HTTP status', examples: [400] }),
    detail: Type.String({
      description: 'For people',
      examples: ['radius: is not a parameter: did you mean radius_m?'],
    }),
    code: Type.String({
      description: 'For programs; never changes for the same cause. New ones may come',
      examples: ['bad_parameters'],
    }),
    request_id: Type.String({
      description: 'As in the header X-Request-Id',
      examples: ['63b167fc-5d2f-4c43-8f0e-7a3a5a4f6b1e'],
    }),
    errors: Type.Array(refTo(ParameterProblem), {
      description: 'All that is wrong with the parameters; empty for any other trouble',
    }),
    missing: Type.Optional(
      Type.Array(refTo(MissingRange), { description: 'With 503: what could not be seen', examples: [[]] }),
    ),
  },
  { $id: 'Problem', description: 'Why there is no answer: RFC 9457. Further members may come' },
);

/** Schemas that others refer to. */
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
  PartitionFeature,
  PartitionsCollection,
  ParameterProblem,
  ProblemBody,
];
