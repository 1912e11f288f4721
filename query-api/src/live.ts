// GET /v1/drivers/live: some of the drivers on duty within a box, for a map to show.

import type { Static } from 'typebox';
import type { Api } from './api-instance.js';
import { type Box, boxesOf, isWithin, partitionsOf, slotsWithin } from './boxes.js';
import type { DriverIndex } from './driver-index.js';
import { driverText, featureText, withMembers } from './driver-text.js';
import { LiveParameters } from './parameter-schemas.js';
import { unavailable } from './problem.js';
import { askQuestion, type Ground, type Looked } from './questions.js';
import { GEOJSON_TYPE, JSON_TYPE, responses } from './route-schema.js';
import { LiveAnswer, LiveCollection } from './schemas.js';
import { weightOfBox } from './weight.js';

/** Where a box holds more than this, as many slots as are needed are gone through in their order instead. */
const FOUND_AT_MOST = 20_000;

export function addLive(app: Api, ground: Ground): void {
  const route = '/v1/drivers/live';
  const schema = {
    operationId: 'live',
    summary: 'Drivers on duty within a box',
    description:
      'Available and busy ones, in no order that matters; `truncated` says that there are more than these. ' +
      'For a map: dispatch wants /v1/drivers/nearby.',
    querystring: LiveParameters,
    response: responses(
      { [JSON_TYPE]: LiveAnswer, [GEOJSON_TYPE]: LiveCollection },
      { 503: 'No partition in the box can be seen, or the service is overloaded' },
    ),
  };
  app.get(route, { schema }, ({ query, subject, answerType }) => {
    const boxes = boxesOf(query.bbox);
    const question = { caller: subject, route, weight: weightOfBox(query.limit) };
    return askQuestion(ground, question, (looked) => liveText(ground, query, boxes, looked, answerType));
  });
}

function liveText(
  { store, index, views, freshnessMs }: Ground,
  { bbox, limit }: Static<typeof LiveParameters>,
  boxes: readonly Box[],
  looked: Looked,
  type: string,
): string {
  const nowMs = store.nowMs();
  const partitions = partitionsOf(store.map, boxes);
  const { slots, isTruncated } = slotsIn(index, boxes, limit, nowMs - freshnessMs, looked);
  if (slots.length === 0 && !partitions.some((partition) => views.isSeen(partition))) {
    const missing = views.rangesOf(partitions);
    throw unavailable('region_unavailable', 'no partition in the box can be seen', { missing });
  }
  const byId = (a: number, b: number) => (index.idOf(a) < index.idOf(b) ? -1 : 1);
  const members = { query: { bbox, limit }, ...views.coverageOf(partitions), truncated: isTruncated };
  const isGeoJson = type === GEOJSON_TYPE;
  const textOf = isGeoJson ? featureText : driverText;
  const drivers = slots.sort(byId).map((slot) => textOf(index, slot, nowMs, null));
  return isGeoJson
    ? withMembers({ type: 'FeatureCollection', ...members }, `"features":[${drivers.join()}]`)
    : withMembers(members, `"drivers":[${drivers.join()}]`);
}

/** Those of the least slots, so that the same drivers are shown each second. */
function slotsIn(
  index: DriverIndex,
  boxes: readonly Box[],
  limit: number,
  notBeforeMs: number,
  looked: Looked,
): { slots: number[]; isTruncated: boolean } {
  const found = slotsWithin(index, boxes, Math.max(FOUND_AT_MOST, 2 * limit));
  const all = found ?? slotRange(index.slotsUsed);
  const slots: number[] = [];
  for (const slot of all) {
    looked.count++;
    const isShown = (index.recordedAtMs[slot] as number) >= notBeforeMs && index.isListed(slot);
    if (!isShown || !isWithin(index.latE7[slot] as number, index.lonE7[slot] as number, boxes)) continue;
    if (slots.length === limit) return { slots, isTruncated: true };
    slots.push(slot);
  }
  return { slots, isTruncated: false };
}

function* slotRange(end: number): Generator<number> {
  for (let slot = 0; slot < end; slot++) yield slot;
}
