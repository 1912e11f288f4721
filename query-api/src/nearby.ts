// GET /v1/drivers/nearby and POST /v1/drivers/nearby:batch: who is nearest?

import type { Static } from 'typebox';
import type { Api } from './api-instance.js';
import { driverBody, driverCollection } from './driver-body.js';
import type { Question } from './nearest.js';
import { batchSchema, NoParameters, type QuestionParameters, questionSchema } from './parameter-schemas.js';
import { badParameters, type ParameterError, unavailable } from './problem.js';
import { askInTurns, askQuestion, type Ground, type Looked } from './questions.js';
import { GEOJSON_TYPE, JSON_TYPE, responses } from './route-schema.js';
import { BatchAnswer, type DriverBody, NearbyAnswer, NearbyCollection, type Query } from './schemas.js';
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
  app.get(route, { schema }, ({ query, subject, answerType }) => {
    const errors = longitudeErrors(query, '');
    if (errors.length > 0) throw badParameters(errors);
    const question = { caller: subject, route, weight: weightOfCircles([query]) };
    const answer = (looked: Looked) => answerNearby(ground, query, looked);
    const { drivers, ...members } = askQuestion(ground, question, answer);
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
    const question = { caller: subject, route, weight: weightOfCircles(points) };
    const all = await askInTurns(ground, question, points, (point, looked) => search(ground, point, looked));
    if (!all.some(isAnswered)) {
      const touched = new Set(all.flatMap(({ partitions }) => partitions));
      throw nothingAnswered(ground, [...touched]);
    }
    const answers = all.map((one) => nearbyBody(ground, one));
    return { complete: answers.every(({ complete }) => complete), answers };
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

interface Found {
  parameters: QuestionParameters;
  /** That a nearer driver could be in. */
  partitions: readonly number[];
  isSeen: boolean;
  drivers: DriverBody[];
}

export function answerNearby(ground: Ground, parameters: QuestionParameters, looked: Looked) {
  const found = search(ground, parameters, looked);
  if (!isAnswered(found)) throw nothingAnswered(ground, found.partitions);
  return nearbyBody(ground, found);
}

/** Nobody there, and nothing seen, is no answer. */
function isAnswered({ isSeen, drivers }: Found): boolean {
  return isSeen || drivers.length > 0;
}

function search(ground: Ground, parameters: QuestionParameters, looked: Looked): Found {
  const { store, search, index, views } = ground;
  const nowMs = store.nowMs();
  const question = questionOf(parameters);
  search.find(question, nowMs);
  looked.count += search.looked;
  const { lat, lon } = question;
  const drivers = Array.from({ length: search.count }, (_, i) => {
    const distanceM = search.distancesM[i] as number;
    return driverBody(index, search.slots[i] as number, nowMs, { lat, lon, distanceM });
  });
  const partitions = store.map.cover(lat, lon, search.reachM);
  const isSeen = partitions.some((partition) => views.isSeen(partition));
  return { parameters, partitions, isSeen, drivers };
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
    exclude: parameters.exclude,
  };
}

function longitudeOf({ lon, lng }: QuestionParameters): number {
  return (lon ?? lng) as number;
}

function nearbyBody({ views }: Ground, { parameters, partitions, drivers }: Found) {
  const { lat, radius_m, limit, status, services, max_age_ms, exclude } = parameters;
  const lon = longitudeOf(parameters);
  const query: Static<typeof Query> = { lat, lon, radius_m, limit, status, services, max_age_ms, exclude };
  return { query, ...views.coverageOf(partitions), drivers };
}

function nothingAnswered({ views }: Ground, partitions: readonly number[]) {
  const detail = 'no partition that holds this region can be seen';
  return unavailable('region_unavailable', detail, { missing: views.rangesOf(partitions) });
}
