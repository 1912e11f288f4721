// GET /v1/drivers/{id} and GET /v1/drivers?ids=: where are these drivers?

import type { Api } from './api-instance.js';
import { driverText, featureText, withMembers } from './driver-text.js';
import { DriverIdPath, IdsParameters, NoParameters } from './parameter-schemas.js';
import { Problem, unavailable } from './problem.js';
import { askQuestion, type Ground, type Looked } from './questions.js';
import { GEOJSON_TYPE, JSON_TYPE, responses } from './route-schema.js';
import { DriverAnswer, DriverAnswerFeature, DriversAnswer, DriversCollection } from './schemas.js';
import { weightOfIds } from './weight.js';

export function addDriver(app: Api, ground: Ground): void {
  const { views, index, store } = ground;
  const schema = {
    operationId: 'driver',
    summary: 'The last known position of one driver',
    description:
      'Also of one who is offline or has not reported for a while: look at `status` and `age_ms`. If ' +
      '`complete` is false a newer position may exist. (For drivers called `nearby` or `live` use `?ids=`.)',
    params: DriverIdPath,
    querystring: NoParameters,
    response: responses(
      { [JSON_TYPE]: DriverAnswer, [GEOJSON_TYPE]: DriverAnswerFeature },
      { 404: 'No such driver', 503: 'Not found, but a part of the map cannot be seen' },
    ),
  };
  // Anything but the empty name, which is a path that does not exist.
  app.get('/v1/drivers/:id([\\s\\S]+)', { schema }, ({ params: { id }, subject, answerType }) => {
    const question = { caller: subject, route: '/v1/drivers/{id}', weight: weightOfIds(1) };
    const [slot] = askQuestion(ground, question, (looked) => locate(ground, [id], looked));
    if (slot === undefined && views.missingOf().length === 0) {
      throw new Problem(404, 'driver_not_found', `no position of driver ${id} is known`);
    }
    if (slot === undefined) {
      const detail = `driver ${id} was not found, but a part of the map cannot be seen now`;
      throw unavailable('region_unavailable', detail, { missing: views.rangesOf() });
    }
    const textOf = answerType === GEOJSON_TYPE ? featureText : driverText;
    // The driver's own members come first.
    const coverage = JSON.stringify(views.coverageOf()).slice(1);
    return `${textOf(index, slot, store.nowMs(), null).slice(0, -1)},${coverage}`;
  });
}

export function addDrivers(app: Api, ground: Ground): void {
  const route = '/v1/drivers';
  const { views, index, store } = ground;
  const schema = {
    operationId: 'drivers',
    summary: 'The last known positions of up to 100 drivers',
    description: 'As for one driver. `absent` names those not found; it is reliable if `complete` is true.',
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
    const nowMs = store.nowMs();
    const absent = ids.filter((id) => index.slotOf(id) === undefined);
    const members = { query: { ids }, ...views.coverageOf(), absent };
    const isGeoJson = answerType === GEOJSON_TYPE;
    const textOf = isGeoJson ? featureText : driverText;
    const drivers = found.map((slot) => textOf(index, slot, nowMs, null)).join();
    return isGeoJson
      ? withMembers({ type: 'FeatureCollection', ...members }, `"features":[${drivers}]`)
      : withMembers(members, `"drivers":[${drivers}]`);
  });
}

/** The known drivers, in the order requested. */
function locate({ index }: Ground, ids: readonly string[], looked: Looked): number[] {
  looked.count += ids.length;
  return ids.flatMap((id) => index.slotOf(id) ?? []);
}
