// GET /v1/drivers/nearby and POST /v1/drivers/nearby:batch: who is nearest?

import type { Static } from 'typebox';
import type { Asking } from './asking.js';
import { driverBody, driverCollection } from './driver-body.js';
import { type MissingPartition, missingRanges } from './missing.js';
import { type Found, findNearest, type Question } from './nearest.js';
import { coverageOf, GEOJSON_TYPE, type Ground, JSON_TYPE, type Operation, operation } from './operation.js';
import { badParameters, type ParameterError, unavailable } from './problem.js';
import {
  BatchAnswer,
  batchSchema,
  NearbyAnswer,
  NearbyCollection,
  type Query,
  type QuestionParameters,
  questionSchema,
} from './schemas.js';

export function nearbyOperation(ground: Ground): Operation {
  return operation({
    id: 'nearby',
    method: 'GET',
    path: '/v1/drivers/nearby',
    summary: 'The drivers nearest to a point',
    description:
      'Sorted by distance (haversine, R = 6,371,008.8 m), ties by id. Where a part of the circle could not be ' +
      'seen, `complete` is false and `missing` names it: "no drivers" and "region down" are different answers.',
    parameters: questionSchema(ground.freshnessMs),
    answers: { [JSON_TYPE]: NearbyAnswer, [GEOJSON_TYPE]: NearbyCollection },
    problems: { 503: 'No partition that the circle touches gave an answer, or the service is overloaded' },
    async answer({ parameters, type, asking }) {
      const errors = longitudeErrors(parameters, '');
      if (errors.length > 0) throw badParameters(errors);
      const found = await find(ground, parameters, asking);
      if (found.answered === 0) throw nothingAnswered(ground, found.missing);
      const { drivers, ...members } = nearbyBody(ground, parameters, found);
      return type === GEOJSON_TYPE ? driverCollection(drivers, members) : { ...members, drivers };
    },
  });
}

export function nearbyBatchOperation(ground: Ground): Operation {
  return operation({
    id: 'nearbyBatch',
    method: 'POST',
    path: '/v1/drivers/nearby:batch',
    summary: 'The drivers nearest to each of up to 100 points',
    description: 'Each point has its own parameters and its own answer, in the same order.',
    parameters: batchSchema(ground.freshnessMs),
    answers: { [JSON_TYPE]: BatchAnswer },
    problems: { 503: 'No partition gave an answer for any point, or the service is overloaded' },
    weight: ({ points }) => points.length,
    async answer({ parameters: { points }, asking }) {
      const errors = points.flatMap((point, i) => longitudeErrors(point, `points[${i}].`));
      if (errors.length > 0) throw badParameters(errors);
      const found = await Promise.all(points.map((point) => find(ground, point, asking)));
      if (found.every(({ answered }) => answered === 0)) {
        const missing = new Map(found.flatMap((f) => f.missing).map((entry) => [entry.partition, entry]));
        throw nothingAnswered(ground, [...missing.values()]);
      }
      const answers = points.map((point, i) => nearbyBody(ground, point, found[i] as Found));
      return { complete: answers.every(({ complete }) => complete), answers };
    },
  });
}

/** The schema cannot say that exactly one of two is needed. */
function longitudeErrors({ lon, lng }: QuestionParameters, prefix: string): ParameterError[] {
  if (lon === undefined && lng === undefined) {
    return [{ parameter: `${prefix}lon`, code: 'missing', detail: 'is missing (lng is taken too)' }];
  }
  if (lon === undefined || lng === undefined) return [];
  return [{ parameter: `${prefix}lng`, code: 'conflict', detail: 'means the same as lon: give one of them' }];
}

async function find(ground: Ground, parameters: QuestionParameters, asking: Asking): Promise<Found> {
  const { store, density } = ground;
  const found = await findNearest(
    {
      map: store.map,
      density,
      ask: (partition, query) => asking.ask(store.nodeOf(partition), () => store.near(partition, query)),
      get: (partition, ids) => asking.ask(store.nodeOf(partition), () => store.get(partition, ids)),
    },
    questionOf(parameters),
  );
  if (found.ghosts > 0) ground.metrics.ghosts.inc(found.ghosts);
  return found;
}

function questionOf(parameters: QuestionParameters): Question {
  const lon = longitudeOf(parameters);
  return {
    lat: parameters.lat,
    // One meridian has two names, and positions are stored under this one.
    lon: lon === 180 ? -180 : lon,
    radiusM: parameters.radius_m,
    limit: parameters.limit,
    maxAgeMs: parameters.max_age_ms,
    status: parameters.status,
    services: parameters.services,
    exclude: new Set(parameters.exclude),
  };
}

function longitudeOf({ lon, lng }: QuestionParameters): number {
  return (lon ?? lng) as number;
}

function nearbyBody(ground: Ground, parameters: QuestionParameters, found: Found) {
  const { lat, radius_m, limit, status, services, max_age_ms, exclude } = parameters;
  const lon = longitudeOf(parameters);
  const query: Static<typeof Query> = { lat, lon, radius_m, limit, status, services, max_age_ms, exclude };
  const drivers = found.hits.map(({ position, ageMs, distanceM }) =>
    driverBody(position, ageMs, { lat, lon, distanceM }),
  );
  return { query, ...coverageOf(ground, found.missing), drivers };
}

function nothingAnswered({ store }: Ground, missing: readonly MissingPartition[]) {
  const detail = 'no partition that holds this region gave an answer';
  return unavailable('region_unavailable', detail, { missing: missingRanges(store.map, missing) });
}
