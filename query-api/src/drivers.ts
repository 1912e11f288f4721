// GET /v1/drivers/{id} and GET /v1/drivers?ids=: where are these drivers?

import type { Api } from './api.js';
import type { Asking } from './asking.js';
import { driverBody, driverCollection, driverFeature } from './driver-body.js';
import { type MissingPartition, missingRanges } from './missing.js';
import { newestOf } from './newest.js';
import { DriverIdPath, IdsParameters, NoParameters } from './parameter-schemas.js';
import { Problem, unavailable } from './problem.js';
import { askQuestion, coverageOf, type Ground } from './questions.js';
import { GEOJSON_TYPE, JSON_TYPE, responses } from './route-schema.js';
import {
  DriverAnswer,
  DriverAnswerFeature,
  type DriverBody,
  DriversAnswer,
  DriversCollection,
} from './schemas.js';
import { weightOfIds } from './weight.js';

interface Located {
  drivers: Map<string, DriverBody>;
  missing: MissingPartition[];
  answered: number;
}

export function addDriver(app: Api, ground: Ground): void {
  const { map } = ground.store;
  const schema = {
    operationId: 'driver',
    summary: 'The last known position of one driver',
    description:
      'Also of one who is offline or has not reported for a while: look at `status` and `age_ms`. Where ' +
      '`complete` is false a newer position may exist. (Drivers called `nearby` or `live`: ask by `?ids=`.)',
    params: DriverIdPath,
    querystring: NoParameters,
    response: responses(
      { [JSON_TYPE]: DriverAnswer, [GEOJSON_TYPE]: DriverAnswerFeature },
      { 404: 'No such driver', 503: 'Not found, but a part of the cache could not be asked' },
    ),
  };
  // Anything but the empty name, which is a path that is not there.
  app.get('/v1/drivers/:id([\\s\\S]+)', { schema }, async ({ params: { id }, subject, answerType }) => {
    const { drivers, missing } = await askQuestion(ground, {
      ...{ caller: subject, route: '/v1/drivers/{id}', weight: weightOfIds(1, map.partitions) },
      answer: (asking) => locate(ground, [id], asking),
    });
    const driver = drivers.get(id);
    if (!driver && missing.length === 0) {
      throw new Problem(404, 'driver_not_found', `no position of driver ${id} is known`);
    }
    if (!driver) {
      const detail = `driver ${id} was not found, but a part of the cache cannot be asked now`;
      throw unavailable('region_unavailable', detail, { missing: missingRanges(map, missing) });
    }
    const coverage = coverageOf(ground, missing);
    return { ...(answerType === GEOJSON_TYPE ? driverFeature(driver) : driver), ...coverage };
  });
}

export function addDrivers(app: Api, ground: Ground): void {
  const route = '/v1/drivers';
  const { map } = ground.store;
  const schema = {
    operationId: 'drivers',
    summary: 'The last known positions of up to 100 drivers',
    description:
      'As for one driver. `absent` names those found nowhere; believe it where `complete` is true.',
    querystring: IdsParameters,
    response: responses(
      { [JSON_TYPE]: DriversAnswer, [GEOJSON_TYPE]: DriversCollection },
      { 503: 'No partition gave an answer, or the service is overloaded' },
    ),
  };
  app.get(route, { schema }, async ({ query, subject, answerType }) => {
    const ids = [...new Set(query.ids)];
    const { drivers, missing, answered } = await askQuestion(ground, {
      ...{ caller: subject, route, weight: weightOfIds(ids.length, map.partitions) },
      answer: (asking) => locate(ground, ids, asking),
    });
    if (answered === 0) {
      const ranges = missingRanges(map, missing);
      throw unavailable('region_unavailable', 'no partition gave an answer', { missing: ranges });
    }
    const absent = ids.filter((id) => !drivers.has(id));
    const found = ids.flatMap((id) => drivers.get(id) ?? []);
    const members = { query: { ids }, ...coverageOf(ground, missing), absent };
    return answerType === GEOJSON_TYPE ? driverCollection(found, members) : { ...members, drivers: found };
  });
}

async function locate({ store }: Ground, ids: readonly string[], asking: Asking): Promise<Located> {
  const { seen, missing, answered } = await newestOf(store, ids, asking);
  const drivers = new Map<string, DriverBody>();
  for (const [id, { position, nowMs }] of seen) {
    drivers.set(id, driverBody(position, Math.max(0, nowMs - position.recordedAtMs), null));
  }
  return { drivers, missing, answered };
}
