// GET /v1/drivers/live: some of the drivers on duty within a box, for a map to show.

import type { LivePosition } from '@whereabouts/infra/live-store/answers';
import type { Box } from '@whereabouts/infra/live-store/live-store';
import { isNewer, MAX_LATITUDE } from '@whereabouts/infra/position';
import type { Static } from 'typebox';
import type { Api } from './api.js';
import type { Asking } from './asking.js';
import { driverBody, driverCollection } from './driver-body.js';
import { type MissingPartition, type MissingReason, missingRanges } from './missing.js';
import { LiveParameters } from './parameter-schemas.js';
import { badParameters, type ParameterError, unavailable } from './problem.js';
import { askQuestion, coverageOf, type Ground } from './questions.js';
import { GEOJSON_TYPE, JSON_TYPE, responses } from './route-schema.js';
import { LiveAnswer, LiveCollection } from './schemas.js';
import { weightOfBox } from './weight.js';

// A partition is asked for more than an even share, as the others in the box may have less than theirs.
const SHARES = 4;

interface Seen {
  newest: Map<string, { position: LivePosition; nowMs: number }>;
  missing: Map<number, MissingReason>;
  answered: number;
  truncated: boolean;
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
      { 503: 'No partition in the box gave an answer, or the service is overloaded' },
    ),
  };
  app.get(route, { schema }, async ({ query, subject, answerType }) => {
    const boxes = boxesOf(query.bbox);
    const { drivers, ...members } = await askQuestion(ground, {
      ...{ caller: subject, route, weight: weightOfBox(query.limit, ground.store.map.partitions) },
      answer: async (asking) => liveBody(ground, query, await look(ground, boxes, query.limit, asking)),
    });
    return answerType === GEOJSON_TYPE ? driverCollection(drivers, members) : { ...members, drivers };
  });
}

function liveBody(ground: Ground, { bbox, limit }: Static<typeof LiveParameters>, seen: Seen) {
  const missing = [...seen.missing].map(([partition, reason]): MissingPartition => ({ partition, reason }));
  if (seen.answered === 0) {
    const ranges = missingRanges(ground.store.map, missing);
    throw unavailable('region_unavailable', 'no partition in the box gave an answer', { missing: ranges });
  }
  const all = [...seen.newest.values()];
  // By id, so that the same ones are shown each second.
  all.sort((a, b) => (a.position.driverId < b.position.driverId ? -1 : 1));
  const drivers = all
    .slice(0, limit)
    .map(({ position, nowMs }) => driverBody(position, Math.max(0, nowMs - position.recordedAtMs), null));
  const truncated = seen.truncated || all.length > limit;
  return { query: { bbox, limit }, ...coverageOf(ground, missing), truncated, drivers };
}

/** One box, or the two that meet at the antimeridian. */
function boxesOf(bbox: readonly number[]): Box[] {
  const [minLon, minLat, maxLon, maxLat] = bbox as [number, number, number, number];
  const errors: ParameterError[] = [];
  const check = (ok: boolean, code: ParameterError['code'], detail: string) => {
    if (!ok) errors.push({ parameter: 'bbox', code, detail });
  };
  check(Math.abs(minLon) <= 180 && Math.abs(maxLon) <= 180, 'out_of_range', 'longitudes are -180 to 180');
  check(Math.abs(minLat) <= 90 && Math.abs(maxLat) <= 90, 'out_of_range', 'latitudes are -90 to 90');
  check(minLat <= maxLat, 'conflict', 'minLat is above maxLat: give minLon,minLat,maxLon,maxLat');
  if (errors.length > 0) throw badParameters(errors);
  const south = Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, minLat));
  const north = Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, maxLat));
  const latitudes = { minLat: south, maxLat: north };
  if (minLon <= maxLon && !(maxLon === 180 && minLon > -180)) return [{ ...latitudes, minLon, maxLon }];
  // What is recorded at 180 degrees is stored at -180, so a box that ends there has a second, hair-thin part.
  const east = maxLon === 180 ? -180 : maxLon;
  return [
    { ...latitudes, minLon, maxLon: 180 },
    { ...latitudes, minLon: -180, maxLon: east },
  ];
}

async function look(ground: Ground, boxes: readonly Box[], limit: number, asking: Asking): Promise<Seen> {
  const { store, freshnessMs } = ground;
  const seen: Seen = { newest: new Map(), missing: new Map(), answered: 0, truncated: false };
  const parts = boxes.flatMap((box) =>
    store.map
      .coverBox(box.minLat, box.minLon, box.maxLat, box.maxLon)
      .map((partition) => ({ box, partition })),
  );
  const count = Math.min(limit, Math.ceil((limit * SHARES) / parts.length));
  const askOne = async ({ box, partition }: { box: Box; partition: number }) => {
    const answer = await asking.ask(store.nodeOf(partition), () =>
      store.live(partition, box, count, freshnessMs),
    );
    if (typeof answer === 'string') {
      seen.missing.set(partition, answer);
      return;
    }
    seen.answered++;
    const { health, nowMs, hits, truncated } = answer;
    if (health !== 'ok') seen.missing.set(partition, health);
    seen.truncated ||= truncated;
    for (const position of hits) {
      const other = seen.newest.get(position.driverId);
      if (!other || isNewer(position, other.position))
        seen.newest.set(position.driverId, { position, nowMs });
    }
  };
  await Promise.all(parts.map(askOne));
  return seen;
}
