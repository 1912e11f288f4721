// GET /v1/drivers/live: some of the drivers on duty within a box, for a map to show.

import { fromE7, MAX_LATITUDE, STATUSES, toE7 } from '@whereabouts/infra/position';
import type { Static } from 'typebox';
import type { Api } from './api-instance.js';
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
const ON_DUTY = [STATUSES.indexOf('available'), STATUSES.indexOf('busy')];

interface Box {
  minLat: number;
  minLon: number;
  maxLat: number;
  maxLon: number;
}

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
  const cover = ({ minLat, minLon, maxLat, maxLon }: Box) =>
    store.map.coverBox(minLat, minLon, maxLat, maxLon);
  const partitions = [...new Set(boxes.flatMap(cover))];
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

/** One box, or the two that meet at the antimeridian. */
function boxesOf(bbox: readonly number[]): Box[] {
  const [minLon, oneLat, maxLon, otherLat] = bbox as [number, number, number, number];
  const south = Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, oneLat, otherLat));
  const north = Math.min(MAX_LATITUDE, Math.max(-MAX_LATITUDE, oneLat, otherLat));
  const latitudes = { minLat: south, maxLat: north };
  if (minLon <= maxLon && !(maxLon === 180 && minLon > -180)) return [{ ...latitudes, minLon, maxLon }];
  // What is recorded at 180 degrees is stored at -180, so a box that ends there has a second, hair-thin part.
  const east = maxLon === 180 ? -180 : maxLon;
  return [
    { ...latitudes, minLon, maxLon: 180 },
    { ...latitudes, minLon: -180, maxLon: east },
  ];
}

/** Those of the least slots, so that the same drivers are shown each second. */
function slotsIn(
  index: DriverIndex,
  boxes: readonly Box[],
  limit: number,
  notBeforeMs: number,
  looked: Looked,
): { slots: number[]; isTruncated: boolean } {
  const found = slotsOf(index, boxes, Math.max(FOUND_AT_MOST, 2 * limit));
  const all = found ?? slotRange(index.slotsUsed);
  const slots: number[] = [];
  for (const slot of all) {
    looked.count++;
    const isShown = (index.recordedAtMs[slot] as number) >= notBeforeMs && index.isListed(slot);
    if (!isShown || !boxes.some((box) => isWithin(index, slot, box))) continue;
    if (slots.length === limit) return { slots, isTruncated: true };
    slots.push(slot);
  }
  return { slots, isTruncated: false };
}

/** Null: there are more than so many. */
function slotsOf(index: DriverIndex, boxes: readonly Box[], atMost: number): number[] | null {
  const found: number[] = [];
  for (const { minLat, minLon, maxLat, maxLon } of boxes) {
    // A unit more on each side, as the bounds are rounded.
    const box = {
      ...{ minLatE7: toE7(minLat) - 1, maxLatE7: toE7(maxLat) + 1 },
      ...{ minLonE7: toE7(minLon) - 1, maxLonE7: toE7(maxLon) + 1 },
    };
    for (const root of ON_DUTY) {
      if (!index.grid.within(root, box, atMost - found.length, (slot) => found.push(slot))) return null;
    }
  }
  return found.sort((a, b) => a - b);
}

function* slotRange(end: number): Generator<number> {
  for (let slot = 0; slot < end; slot++) yield slot;
}

function isWithin(index: DriverIndex, slot: number, { minLat, minLon, maxLat, maxLon }: Box): boolean {
  const lat = fromE7(index.latE7[slot] as number);
  const lon = fromE7(index.lonE7[slot] as number);
  return lat >= minLat && lat <= maxLat && lon >= minLon && lon <= maxLon;
}
