// GET /v1/drivers/{id} and GET /v1/drivers?ids=: where are these drivers?

import type { Asking } from './asking.js';
import { driverBody, driverCollection, driverFeature } from './driver-body.js';
import { type MissingPartition, missingRanges } from './missing.js';
import { newestOf } from './newest.js';
import { coverageOf, GEOJSON_TYPE, type Ground, JSON_TYPE, type Operation, operation } from './operation.js';
import { Problem, unavailable } from './problem.js';
import {
  DriverAnswer,
  DriverAnswerFeature,
  type DriverBody,
  DriversAnswer,
  DriversCollection,
  IdsParameters,
  NoParameters,
} from './schemas.js';

interface Located {
  drivers: Map<string, DriverBody>;
  missing: MissingPartition[];
  answered: number;
}

export function driverOperation(ground: Ground): Operation {
  return operation({
    id: 'driver',
    method: 'GET',
    path: '/v1/drivers/{id}',
    summary: 'The last known position of one driver',
    description:
      'Also of one who is offline or has not reported for a while: look at `status` and `age_ms`. Where ' +
      '`complete` is false a newer position may exist. (Drivers called `nearby` or `live`: ask by `?ids=`.)',
    parameters: NoParameters,
    answers: { [JSON_TYPE]: DriverAnswer, [GEOJSON_TYPE]: DriverAnswerFeature },
    problems: { 404: 'No such driver', 503: 'Not found, but a part of the cache could not be asked' },
    async answer({ path: { id }, type, asking }) {
      const { drivers, missing } = await locate(ground, [id], asking);
      const driver = drivers.get(id);
      if (!driver && missing.length === 0) {
        throw new Problem(404, 'driver_not_found', `no position of driver ${id} is known`);
      }
      if (!driver) {
        const detail = `driver ${id} was not found, but a part of the cache cannot be asked now`;
        const ranges = missingRanges(ground.store.map, missing);
        throw unavailable('region_unavailable', detail, { missing: ranges });
      }
      const coverage = coverageOf(ground, missing);
      return { ...(type === GEOJSON_TYPE ? driverFeature(driver) : driver), ...coverage };
    },
  });
}

export function driversOperation(ground: Ground): Operation {
  return operation({
    id: 'drivers',
    method: 'GET',
    path: '/v1/drivers',
    summary: 'The last known positions of up to 100 drivers',
    description:
      'As for one driver. `absent` names those found nowhere; believe it where `complete` is true.',
    parameters: IdsParameters,
    answers: { [JSON_TYPE]: DriversAnswer, [GEOJSON_TYPE]: DriversCollection },
    problems: { 503: 'No partition gave an answer, or the service is overloaded' },
    async answer({ parameters, type, asking }) {
      const ids = [...new Set(parameters.ids)];
      const { drivers, missing, answered } = await locate(ground, ids, asking);
      if (answered === 0) {
        const ranges = missingRanges(ground.store.map, missing);
        throw unavailable('region_unavailable', 'no partition gave an answer', { missing: ranges });
      }
      const absent = ids.filter((id) => !drivers.has(id));
      const found = ids.flatMap((id) => drivers.get(id) ?? []);
      const members = { query: { ids }, ...coverageOf(ground, missing), absent };
      return type === GEOJSON_TYPE ? driverCollection(found, members) : { ...members, drivers: found };
    },
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
