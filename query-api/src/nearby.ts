// GET /v1/drivers/nearby and POST /v1/drivers/nearby:batch: who is nearest?

import type { Static } from 'typebox';
import type { Api } from './api.js';
import type { Asking } from './asking.js';
import { driverBody, driverCollection } from './driver-body.js';
import { type MissingPartition, missingRanges } from './missing.js';
import { type Found, findNearest, type Question } from './nearest.js';
import { batchSchema, NoParameters, type QuestionParameters, questionSchema } from './parameter-schemas.js';
import { badParameters, type ParameterError, unavailable } from './problem.js';
import { askQuestion, coverageOf, type Ground } from './questions.js';
import { GEOJSON_TYPE, JSON_TYPE, responses } from './route-schema.js';
import { BatchAnswer, NearbyAnswer, NearbyCollection, type Query } from './schemas.js';
import { weightOfCircles } from './weight.js';

export function addNearby(app: Api, ground: Ground): void {
  const route = '/v1/drivers/nearby';
  const schema = {
    operationId: 'nearby',
    summary: 'The drivers nearest to a point',
    description:
      'Sorted by distance (haversine, R = 6,371,008.8 m), ties by id. Where a part of the circle could not be ' +
      'seen, `complete` is false and `missing` names it: "no drivers" and "region down" are different answers.',
    querystring: questionSchema(ground.freshnessMs),
    response: responses(
      { [JSON_TYPE]: NearbyAnswer, [GEOJSON_TYPE]: NearbyCollection },
      { 503: 'No partition that the circle touches gave an answer, or the service is overloaded' },
    ),
  };
  app.get(route, { schema }, async ({ query, subject, answerType }) => {
    const errors = longitudeErrors(query, '');
    if (errors.length > 0) throw badParameters(errors);
    const { drivers, ...members } = await askQuestion(ground, {
      ...{ caller: subject, route, weight: weightOfCircles([query]) },
      answer: (asking) => answerNearby(ground, query, asking),
    });
    return answerType === GEOJSON_TYPE ? driverCollection(drivers, members) : { ...members, drivers };
  });
}

export function addNearbyBatch(app: Api, ground: Ground): void {
  const route = '/v1/drivers/nearby:batch';
  const schema = {
    operationId: 'nearbyBatch',
    summary: 'The drivers nearest to each of up to 100 points',
    description:
      'Each point has its own parameters and its own answer, in the same order. The body has a limit of its ' +
      'own, which allows for ten excluded drivers for each of 100 points.',
    querystring: NoParameters,
    body: batchSchema(ground.freshnessMs),
    response: responses(
      { [JSON_TYPE]: BatchAnswer },
      { 503: 'No partition gave an answer for any point, or the service is overloaded' },
      { hasBody: true },
    ),
  };
  // A colon is written twice, or it begins a parameter.
  app.post(route.replace(':', '::'), { schema }, async ({ body: { points }, subject }) => {
    const errors = points.flatMap((point, i) => longitudeErrors(point, `points[${i}].`));
    if (errors.length > 0) throw badParameters(errors);
    const answer = (asking: Asking) => answerBatch(ground, points, asking);
    return await askQuestion(ground, { caller: subject, route, weight: weightOfCircles(points), answer });
  });
}

export async function answerNearby(ground: Ground, parameters: QuestionParameters, asking: Asking) {
  const found = await find(ground, parameters, asking);
  if (found.answered === 0) throw nothingAnswered(ground, found.missing);
  return nearbyBody(ground, parameters, found);
}

async function answerBatch(ground: Ground, points: readonly QuestionParameters[], asking: Asking) {
  const missing = new Map<number, MissingPartition>();
  let answered = 0;
  // All at once: a point that waits for a dark region holds up no other.
  const look = async (point: QuestionParameters) => {
    const found = await find(ground, point, asking);
    answered += found.answered;
    for (const entry of found.missing) missing.set(entry.partition, entry);
    return nearbyBody(ground, point, found);
  };
  const answers = await Promise.all(points.map(look));
  if (answered === 0) throw nothingAnswered(ground, [...missing.values()]);
  return { complete: answers.every(({ complete }) => complete), answers };
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
    searchOf(parameters),
  );
  if (found.ghosts > 0) ground.metrics.ghosts.inc(found.ghosts);
  return found;
}

function searchOf(parameters: QuestionParameters): Question {
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
