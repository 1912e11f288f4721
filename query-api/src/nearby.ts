// GET /v1/drivers/nearby and POST /v1/drivers/nearby:batch: the nearest drivers.

import type { Static } from 'typebox';
import type { Api } from './api-instance.js';
import type { Coverage } from './coverage.js';
import { driverText, featureText, withMembers } from './driver-text.js';
import type { Question } from './nearest.js';
import { batchSchema, NoParameters, type QuestionParameters, questionSchema } from './parameter-schemas.js';
import { unavailable } from './problem.js';
import { askInTurns, askQuestion, type Ground, type Looked } from './questions.js';
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
  app.get(route, { schema }, ({ query, subject, answerType }) => {
    const question = { caller: subject, route, weight: weightOfCircles([query]) };
    return askQuestion(ground, question, (looked) => answerNearby(ground, query, looked, answerType));
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
  // A colon is written twice, as a single one begins a parameter.
  app.post(route.replace(':', '::'), { schema }, async ({ body: { points }, subject }) => {
    const question = { caller: subject, route, weight: weightOfCircles(points) };
    const all = await askInTurns(ground, question, points, (point, looked) => find(ground, point, looked));
    if (!all.some(isAnswered)) {
      const touched = new Set(all.flatMap(({ partitions }) => partitions ?? []));
      throw nothingAnswered(ground, [...touched]);
    }
    const complete = all.every(({ coverage }) => coverage.complete);
    return withMembers({ complete }, `"answers":[${all.map((one) => nearbyText(one, JSON_TYPE)).join()}]`);
  });
}

interface Found {
  parameters: QuestionParameters;
  /** Partitions that could hold a nearer driver. Null: all of them are complete and current. */
  partitions: readonly number[] | null;
  isSeen: boolean;
  coverage: Coverage;
  /** Already serialized. */
  drivers: string[];
}

export function answerNearby(
  ground: Ground,
  parameters: QuestionParameters,
  looked: Looked,
  type: string,
): string {
  const found = find(ground, parameters, looked, type);
  if (!isAnswered(found)) throw nothingAnswered(ground, found.partitions);
  return nearbyText(found, type);
}

/** No driver found and no partition seen: that is no answer. */
function isAnswered({ isSeen, drivers }: Found): boolean {
  return isSeen || drivers.length > 0;
}

function find(ground: Ground, parameters: QuestionParameters, looked: Looked, type = JSON_TYPE): Found {
  const { store, search, index, views } = ground;
  const nowMs = store.nowMs();
  const question = questionOf(parameters);
  search.find(question, nowMs);
  looked.count += search.looked;
  const { lat, lon } = question;
  const textOf = type === GEOJSON_TYPE ? featureText : driverText;
  const drivers: string[] = [];
  for (let i = 0; i < search.count; i++) {
    const sight = { lat, lon, distanceM: search.distancesM[i] as number };
    drivers.push(textOf(index, search.slots[i] as number, nowMs, sight));
  }
  const partitions = views.areEven ? null : store.map.cover(lat, lon, search.reachM);
  const isSeen = partitions === null || partitions.some((partition) => views.isSeen(partition));
  return { parameters, partitions, isSeen, coverage: views.coverageOf(partitions), drivers };
}

function nearbyText({ parameters, coverage, drivers }: Found, type: string): string {
  const { lat, lon, radius_m, limit, status, services, max_age_ms, exclude } = parameters;
  const query: Static<typeof Query> = { lat, lon, radius_m, limit, status, services, max_age_ms, exclude };
  return type === GEOJSON_TYPE
    ? withMembers({ type: 'FeatureCollection', query, ...coverage }, `"features":[${drivers.join()}]`)
    : withMembers({ query, ...coverage }, `"drivers":[${drivers.join()}]`);
}

export function questionOf(parameters: QuestionParameters): Question {
  const { lat, lon } = parameters;
  return {
    lat,
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

function nothingAnswered({ views }: Ground, partitions: readonly number[] | null) {
  const detail = 'no partition that holds this region can be seen';
  return unavailable('region_unavailable', detail, { missing: views.rangesOf(partitions) });
}
