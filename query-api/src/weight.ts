// What a question weighs. An ordinary one for the nearest ten weighs 1; nearly all of that is the cost of a request.
//
//   in flight   what it may cost the index, by the radius or the number asked for, and what it may return: 1 for each
//               whole hundred drivers around a point, 1 for each 25 in a box or asked for by id, 1 for each whole 250
//               cells of a supply
//   rate        the same, with the points and cells of the index that it looked at

export interface Weight {
  /** For what it will look at, as far as that can be estimated beforehand. */
  looks: number;
  /** The least that this counts for. */
  least: number;
  drivers: number;
}

/** Takes about as long as an ordinary question over HTTP. */
const LOOKED_EACH = 1_000;
const RADIUS_EACH_M = 5_000;
const PARTITIONS_EACH = 64;
const CELLS_EACH = 250;
const DRIVERS_EACH = { circle: 100, box: 25 };

export function weightOfCircles(circles: readonly { radius_m: number; limit: number }[]): Weight {
  let [looks, drivers] = [0, 0];
  for (const { radius_m, limit } of circles) {
    looks += Math.ceil(radius_m / RADIUS_EACH_M);
    drivers += Math.floor(limit / DRIVERS_EACH.circle);
  }
  return { looks, least: circles.length, drivers };
}

export const weightOfIds = (ids: number): Weight => weightOfList(ids, DRIVERS_EACH.box);
export const weightOfBox = (limit: number): Weight => weightOfList(limit, DRIVERS_EACH.box);
export const weightOfCells = (cells: number): Weight => weightOfList(cells, CELLS_EACH);

function weightOfList(length: number, each: number): Weight {
  return { looks: 1, least: 1, drivers: Math.floor(length / each) };
}

export function weightOfMap(partitions: number): Weight {
  const looks = Math.ceil(partitions / PARTITIONS_EACH);
  return { looks, least: looks, drivers: 0 };
}

export function expectedOf({ looks, drivers }: Weight): number {
  return looks + drivers;
}

/** For a look for changes, which is no request. */
export function weightOfLooks(looked: number): number {
  return looked / LOOKED_EACH;
}

/** It may be more than was expected. */
export function weightAfter({ least, drivers }: Weight, looked: number): number {
  return Math.max(least, Math.ceil(looked / LOOKED_EACH)) + drivers;
}
