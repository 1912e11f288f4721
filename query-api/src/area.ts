// The area of a question: a `bbox`, a `polygon` (with the boxes around it), or the intersection of both. An area has
// one box, or two that meet at the antimeridian. Their bounds are also given in the index's own units, so that
// comparing whole numbers decides whether a driver is within.

import type { Bounds } from '@whereabouts/infra/geohash';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { fromE7, MAX_LATITUDE, STATUSES, toE7 } from '@whereabouts/infra/position';
import type { GridBox } from './adaptive-grid.js';
import type { Coverage, PartitionViews } from './coverage.js';
import type { DriverIndex } from './driver-index.js';
import type { Polygon } from './polygon.js';
import { polygonOf } from './polygon-text.js';
import { unavailable } from './problem.js';

/** If the boxes hold more drivers than this, all slots are scanned in their order instead. */
const FOUND_AT_MOST = 20_000;
const SLOTS_EACH_TURN = 16_384;
/** Testing a place against this many edges takes about as long as looking it up. */
const EDGES_EACH = 8;
const ON_DUTY = [STATUSES.indexOf('available'), STATUSES.indexOf('busy')];

/** In degrees and in units of 1e-7 degree; all bounds are inclusive. */
export interface Box extends GridBox {
  minLat: number;
  minLon: number;
  maxLat: number;
  maxLon: number;
}

export interface Area {
  boxes: readonly Box[];
  /** Null: everything within the boxes. */
  polygon: Polygon | null;
}

const EVERYWHERE: readonly number[] = [-180, -90, 180, 90];

/**
 * The area of the box, of the polygon, or of their intersection. With neither it is everywhere, as no schema can say
 * "one of".
 */
export function areaOf({ bbox, polygon: text }: { bbox?: readonly number[]; polygon?: string }): Area {
  const polygon = text === undefined ? null : polygonOf(text);
  return { boxes: boxesOf(bbox ?? (polygon ? boundsOf(polygon) : EVERYWHERE)), polygon };
}

function boundsOf({ bounds: { minLon, minLat, maxLon, maxLat } }: Polygon): readonly number[] {
  return [minLon, minLat, maxLon, maxLat];
}

/** Of `minLon,minLat,maxLon,maxLat`. */
export function boxesOf(bbox: readonly number[]): Box[] {
  const [minLon, oneLat, maxLon, otherLat] = bbox as [number, number, number, number];
  const south = Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, oneLat, otherLat));
  const north = Math.min(MAX_LATITUDE, Math.max(-MAX_LATITUDE, oneLat, otherLat));
  if (minLon <= maxLon && !(maxLon === 180 && minLon > -180)) return [boxOf(south, minLon, north, maxLon)];
  // A position recorded at 180 degrees is stored at -180, so a box that ends there gets a second, hair-thin part.
  const east = maxLon === 180 ? -180 : maxLon;
  return [boxOf(south, minLon, north, 180), boxOf(south, -180, north, east)];
}

/** The partitions that the area touches, and perhaps a neighbour that it nearly touches. */
export function partitionsOf(map: PartitionMap, { boxes, polygon }: Area): number[] {
  const touches = (bounds: Bounds) => polygon === null || isTouched(polygon, bounds);
  const cover = ({ minLat, minLon, maxLat, maxLon }: Box) =>
    map.coverBox(minLat, minLon, maxLat, maxLon, touches);
  return [...new Set(boxes.flatMap(cover))];
}

/** Throws if nothing was found and no partition of the area is seen: that is no answer. */
export function coverageWithin(
  { store, views }: { store: { map: PartitionMap }; views: PartitionViews },
  area: Area,
  isAnyFound: boolean,
): Coverage {
  const partitions = partitionsOf(store.map, area);
  if (!isAnyFound && partitions.length > 0 && !partitions.some((partition) => views.isSeen(partition))) {
    const missing = views.rangesOf(partitions);
    throw unavailable('region_unavailable', 'no partition in the area can be seen', { missing });
  }
  return views.coverageOf(partitions);
}

/** The column at -180 degrees also holds what is at 180. */
function isTouched(polygon: Polygon, bounds: Bounds): boolean {
  return polygon.touches(bounds) || (bounds.minLon === -180 && polygon.bounds.maxLon === 180);
}

export function isWithin(latE7: number, lonE7: number, { boxes, polygon }: Area): boolean {
  for (const { minLatE7, minLonE7, maxLatE7, maxLonE7 } of boxes) {
    if (latE7 < minLatE7 || latE7 > maxLatE7 || lonE7 < minLonE7 || lonE7 > maxLonE7) continue;
    return polygon === null || isHeld(polygon, latE7, lonE7);
  }
  return false;
}

/** A position recorded at 180 degrees is stored at -180. */
function isHeld(polygon: Polygon, latE7: number, lonE7: number): boolean {
  const lat = fromE7(latE7);
  return polygon.holds(lat, fromE7(lonE7)) || (lonE7 === -180e7 && polygon.holds(lat, 180));
}

/** A driver within the area, whose position is recent enough for an answer. */
export function isShown(index: DriverIndex, slot: number, area: Area, notBeforeMs: number): boolean {
  if ((index.recordedAtMs[slot] as number) < notBeforeMs || !index.isListed(slot)) return false;
  return isWithin(index.latE7[slot] as number, index.lonE7[slot] as number, area);
}

/** How many plain looks one look at a driver counts for. */
export function looksEach({ polygon }: Area): number {
  return polygon === null ? 1 : 1 + Math.floor(polygon.edgesEach / EDGES_EACH);
}

/** Slots to examine, as the index has them when their turn comes: from a list, or all in a range. */
export interface Turn {
  slots: readonly number[] | null;
  from: number;
  to: number;
}

/** A turn ends before other requests have waited long. Each slot is in one turn, in ascending order. */
export function turnsOf(index: DriverIndex, area: Area): Turn[] {
  const slots = slotsWithin(index, area.boxes);
  const end = slots ? slots.length : index.slotsUsed;
  const each = Math.ceil(SLOTS_EACH_TURN / looksEach(area));
  const turns: Turn[] = [];
  for (let from = 0; from < end; from += each) turns.push({ slots, from, to: Math.min(from + each, end) });
  return turns;
}

/** The slots of the drivers on duty within the area, fresh or not, ascending. Null if they are too many for a list. */
function slotsWithin({ grid }: DriverIndex, boxes: readonly Box[]): number[] | null {
  const found: number[] = [];
  for (const box of boxes) {
    for (const root of ON_DUTY) {
      if (!grid.within(root, box, FOUND_AT_MOST - found.length, (slot) => found.push(slot))) return null;
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

/** The smallest coordinate that is not below. */
function firstFrom(degrees: number): number {
  const e7 = toE7(degrees);
  return fromE7(e7) < degrees ? e7 + 1 : e7;
}
