// The boxes of a `bbox`: one, or the two that meet at the antimeridian. Their bounds are also given in the index's own
// units, so that whether a driver is within is decided by comparing whole numbers.

import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { fromE7, MAX_LATITUDE, STATUSES, toE7 } from '@whereabouts/infra/position';
import type { GridBox } from './adaptive-grid.js';
import type { DriverIndex } from './driver-index.js';
import { badParameters, type ParameterError } from './problem.js';

const ON_DUTY = [STATUSES.indexOf('available'), STATUSES.indexOf('busy')];

/** In degrees, and the same in units of 1e-7 degree; all bounds belong to it. */
export interface Box extends GridBox {
  minLat: number;
  minLon: number;
  maxLat: number;
  maxLon: number;
}

/** Of `minLon,minLat,maxLon,maxLat`. */
export function boxesOf(bbox: readonly number[]): Box[] {
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
  if (minLon <= maxLon && !(maxLon === 180 && minLon > -180)) return [boxOf(south, minLon, north, maxLon)];
  // What is recorded at 180 degrees is stored at -180, so a box that ends there has a second, hair-thin part.
  const east = maxLon === 180 ? -180 : maxLon;
  return [boxOf(south, minLon, north, 180), boxOf(south, -180, north, east)];
}

export function partitionsOf(map: PartitionMap, boxes: readonly Box[]): number[] {
  const cover = ({ minLat, minLon, maxLat, maxLon }: Box) => map.coverBox(minLat, minLon, maxLat, maxLon);
  return [...new Set(boxes.flatMap(cover))];
}

export function isWithin(latE7: number, lonE7: number, boxes: readonly Box[]): boolean {
  for (const { minLatE7, minLonE7, maxLatE7, maxLonE7 } of boxes) {
    if (latE7 >= minLatE7 && latE7 <= maxLatE7 && lonE7 >= minLonE7 && lonE7 <= maxLonE7) return true;
  }
  return false;
}

/** The slots of those on duty within, fresh or not, ascending. Null: there are more than so many. */
export function slotsWithin({ grid }: DriverIndex, boxes: readonly Box[], atMost: number): number[] | null {
  const found: number[] = [];
  for (const box of boxes) {
    for (const root of ON_DUTY) {
      if (!grid.within(root, box, atMost - found.length, (slot) => found.push(slot))) return null;
    }
  }
  return found.sort((a, b) => a - b);
}

function boxOf(minLat: number, minLon: number, maxLat: number, maxLon: number): Box {
  return {
    ...{ minLat, minLon, maxLat, maxLon },
    ...{ minLatE7: firstFrom(minLat), maxLatE7: -firstFrom(-maxLat) },
    ...{ minLonE7: firstFrom(minLon), maxLonE7: -firstFrom(-maxLon) },
  };
}

/** The least coordinate that is not below. */
function firstFrom(degrees: number): number {
  const e7 = toE7(degrees);
  return fromE7(e7) < degrees ? e7 + 1 : e7;
}
