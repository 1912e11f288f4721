// The comparisons for nearest-k questions: Tile38, and a plain geo set of Redis, each with the same fleet.

import type { Position } from '@whereabouts/infra/position';
import type { Question, Side } from './city.js';
import { latOf, lonOf } from './feed.js';
import { pieces, type StoreUnderTest } from './store-under-test.js';
import type { Tile38 } from './tile38.js';

const COMMANDS_AT_ONCE = 1000;
const PLAIN_BATCH = 500;
/** No driver expires before the bench is over. */
const TILE38_TTL_S = 24 * 3600;

/** Among all drivers, and among the available ones alone. */
export async function tile38Sides(
  tile38: Tile38,
  fleet: readonly Position[],
  { radiusM, limit }: Question,
): Promise<Record<'tile38' | 'tile38Available' | 'tile38Http', Side>> {
  for (const some of pieces(fleet, COMMANDS_AT_ONCE)) {
    await Promise.all(
      some.map((position) => {
        const available = position.status === 'available' ? 1 : 0;
        const at = ['POINT', latOf(position), lonOf(position)];
        const fields = ['FIELD', 'available', available];
        return tile38.call('SET', 'fleet', position.driverId, ...fields, 'EX', TILE38_TTL_S, ...at);
      }),
    );
  }
  const side = (...where: (string | number)[]): Side => ({
    pids: [tile38.pid],
    async ask({ lat, lon }) {
      const reply = await tile38.call(
        'NEARBY',
        'fleet',
        ...where,
        'LIMIT',
        limit,
        'POINT',
        lat,
        lon,
        radiusM,
      );
      return ((reply as unknown[])[1] as unknown[]).length;
    },
  });
  const http: Side = {
    pids: [tile38.pid],
    async ask({ lat, lon }) {
      const near = ['NEARBY', 'fleet', 'LIMIT', limit, 'POINT', lat, lon, radiusM];
      return ((await tile38.get(...near)) as { objects: unknown[] }).objects.length;
    },
  };
  return { tile38: side(), tile38Available: side('WHERE', 'available', 1, 1), tile38Http: http };
}

/** The same two, each a separate set. Both are on one master of the live store, beside its own keys. */
export async function plainSides(
  own: StoreUnderTest,
  fleet: readonly Position[],
  question: Question,
): Promise<Record<'plain' | 'plainAvailable', Side>> {
  const available = fleet.filter(({ status }) => status === 'available');
  return {
    plain: await plainSide(own, 'all', fleet, question),
    plainAvailable: await plainSide(own, 'available', available, question),
  };
}

async function plainSide(
  own: StoreUnderTest,
  name: string,
  members: readonly Position[],
  { radiusM, limit }: Question,
): Promise<Side> {
  const node = await own.nodeOf(0);
  const key = `plain:${name}{${own.store.map.tagOf(0)}}`;
  for (const some of pieces(members, PLAIN_BATCH)) {
    const points = some.flatMap((position) => [lonOf(position), latOf(position), position.driverId]);
    await node.call(['GEOADD', key, ...points]);
  }
  return {
    pids: own.pids,
    async ask({ lat, lon }) {
      const circle = ['FROMLONLAT', lon, lat, 'BYRADIUS', radiusM / 1000, 'km'];
      return ((await node.call(['GEOSEARCH', key, ...circle, 'ASC', 'COUNT', limit])) as unknown[]).length;
    },
  };
}
