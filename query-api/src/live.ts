// GET /v1/drivers/live: some of the drivers on duty within a box or a polygon, for a map to show.

import type { Static } from 'typebox';
import type { Api } from './api-instance.js';
import { type Area, areaOf, coverageWithin, isShown, looksEach, type Turn, turnsOf } from './area.js';
import type { DriverIndex } from './driver-index.js';
import { driverText, featureText, withMembers } from './driver-text.js';
import { LiveParameters } from './parameter-schemas.js';
import { askInTurns, type Ground, type Looked } from './questions.js';
import { GEOJSON_TYPE, JSON_TYPE, responses } from './route-schema.js';
import { LiveAnswer, LiveCollection } from './schemas.js';
import { weightOfBox } from './weight.js';

export function addLive(app: Api, ground: Ground): void {
  const route = '/v1/drivers/live';
  const schema = {
    operationId: 'live',
    summary: 'Drivers on duty within a box or a polygon',
    description:
      'Available and busy ones, in no order that matters; `truncated` says that there are more than these. ' +
      'Meant for a map; dispatch should use /v1/drivers/nearby.',
    querystring: LiveParameters,
    response: responses(
      { [JSON_TYPE]: LiveAnswer, [GEOJSON_TYPE]: LiveCollection },
      { 503: 'No partition in the area can be seen, or the service is overloaded' },
    ),
  };
  app.get(route, { schema }, async ({ query, subject, answerType }) => {
    const { limit } = query;
    const shown = new ShownDrivers(ground, areaOf(query));
    const question = { caller: subject, route, weight: weightOfBox(limit) };
    const turns = turnsOf(ground.index, shown.area);
    await askInTurns(ground, question, turns, (turn, looked) => shown.look(turn, limit, looked));
    return liveText(ground, query, shown, answerType);
  });
}

function liveText(
  { store, index, views }: Ground,
  { bbox, polygon, limit }: Static<typeof LiveParameters>,
  shown: ShownDrivers,
  type: string,
): string {
  const nowMs = store.nowMs();
  const { slots, isTruncated } = shown.taken(limit);
  const coverage = coverageWithin({ store, views }, shown.area, slots.length > 0);
  const byId = (a: number, b: number) => (index.idOf(a) < index.idOf(b) ? -1 : 1);
  const query = { bbox, polygon, limit };
  const members = { query, ...coverage, truncated: isTruncated };
  const isGeoJson = type === GEOJSON_TYPE;
  const textOf = isGeoJson ? featureText : driverText;
  const drivers = slots.sort(byId).map((slot) => textOf(index, slot, nowMs, null));
  return isGeoJson
    ? withMembers({ type: 'FeatureCollection', ...members }, `"features":[${drivers.join()}]`)
    : withMembers(members, `"drivers":[${drivers.join()}]`);
}

/** The drivers with the lowest slots, so that the same drivers are shown each second. */
class ShownDrivers {
  readonly area: Area;
  readonly #index: DriverIndex;
  readonly #notBeforeMs: number;
  readonly #found: number[] = [];

  constructor({ index, store, freshnessMs }: Ground, area: Area) {
    this.area = area;
    this.#index = index;
    this.#notBeforeMs = store.nowMs() - freshnessMs;
  }

  /** Stops at one more than `limit`, which shows that there are more. */
  look({ slots, from, to }: Turn, limit: number, looked: Looked): void {
    let i = from;
    for (; i < to && this.#found.length <= limit; i++) {
      const slot = slots ? (slots[i] as number) : i;
      if (this.#isShown(slot)) this.#found.push(slot);
    }
    looked.count += (i - from) * looksEach(this.area);
  }

  /** Drivers that left between two turns are not among them. */
  taken(limit: number): { slots: number[]; isTruncated: boolean } {
    const slots = this.#found.slice(0, limit).filter((slot) => this.#isShown(slot));
    return { slots, isTruncated: this.#found.length > limit };
  }

  #isShown(slot: number): boolean {
    return isShown(this.#index, slot, this.area, this.#notBeforeMs);
  }
}
