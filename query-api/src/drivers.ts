// GET /v1/drivers/{id} and GET /v1/drivers?ids=: where are these drivers?

import type { Api } from './api-instance.js';
import { driverBody, driverCollection, driverFeature } from './driver-body.js';
import { DriverIdPath, IdsParameters, NoParameters } from './parameter-schemas.js';
import { Problem, unavailable } from './problem.js';
import { askQuestion, type Ground, type Looked } from './questions.js';
import { GEOJSON_TYPE, JSON_TYPE, responses } from './route-schema.js';
import {
  DriverAnswer,
  DriverAnswerFeature,
  type DriverBody,
  DriversAnswer,
  DriversCollection,
} from './schemas.js';
import { weightOfIds } from './weight.js';

export function addDriver(app: Api, ground: Ground): void {
  const { views } = ground;
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
      { 404: 'No such driver', 503: 'Not found, but a part of the map cannot be seen' },
    ),
  };
  // Anything but the empty name, which is a path that is not there.
  app.get('/v1/drivers/:id([\\s\\S]+)', { schema }, ({ params: { id }, subject, answerType }) => {
    const question = { caller: subject, route: '/v1/drivers/{id}', weight: weightOfIds(1) };
    const [driver] = askQuestion(ground, question, (looked) => locate(ground, [id], looked));
    if (!driver && views.missingOf().length === 0) {
      throw new Problem(404, 'driver_not_found', `no position of driver ${id} is known`);
    }
    if (!driver) {
      const detail = `driver ${id} was not found, but a part of the map cannot be seen now`;
      throw unavailable('region_unavailable', detail, { missing: views.rangesOf() });
    }
    const coverage = views.coverageOf();
    return { ...(answerType === GEOJSON_TYPE ? driverFeature(driver) : driver), ...coverage };
  });
}

export function addDrivers(app: Api, ground: Ground): void {
  const route = '/v1/drivers';
  const { views } = ground;
  const schema = {
    operationId: 'drivers',
    summary: 'The last known positions of up to 100 drivers',
    description:
      'As for one driver. `absent` names those found nowhere; believe it where `complete` is true.',
    querystring: IdsParameters,
    response: responses(
      { [JSON_TYPE]: DriversAnswer, [GEOJSON_TYPE]: DriversCollection },
      { 503: 'No partition can be seen, or the service is overloaded' },
    ),
  };
  app.get(route, { schema }, ({ query, subject, answerType }) => {
    const ids = [...new Set(query.ids)];
    const question = { caller: subject, route, weight: weightOfIds(ids.length) };
    const found = askQuestion(ground, question, (looked) => locate(ground, ids, looked));
    if (found.length === 0 && !ground.follower.partitions.some(({ partition }) => views.isSeen(partition))) {
      const missing = views.rangesOf();
      throw unavailable('region_unavailable', 'no partition can be seen', { missing });
    }
    const known = new Set(found.map((driver) => driver.driver_id));
    const absent = ids.filter((id) => !known.has(id));
    const members = { query: { ids }, ...views.coverageOf(), absent };
    return answerType === GEOJSON_TYPE ? driverCollection(found, members) : { ...members, drivers: found };
  });
}

/** Those that are known, in the order asked for. */
function locate({ store, index }: Ground, ids: readonly string[], looked: Looked): DriverBody[] {
  const nowMs = store.nowMs();
  looked.count += ids.length;
  return ids.flatMap((id) => {
    const slot = index.slotOf(id);
    return slot === undefined ? [] : [driverBody(index, slot, nowMs, null)];
  });
}
