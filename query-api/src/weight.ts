// What a question weighs against the limits: 1 for each 16 calls of the store that it may make, begun, and 1 more for
// each 25 positions that it may give back, whole. An ordinary question for the nearest ten weighs 1. Measured against
// one, 5,000 drivers of a box cost 230 (and weigh 204), 100 points 39, 100 ids 6, and a circle of 50 km without a fit 7.

const CALLS_EACH = 16;
const POSITIONS_EACH = 25;
/** A circle of this radius touches some 14 of the 64 partitions of a city. */
const RADIUS_EACH_M = 5_000;
/** So many ids cost a partition about as much as the call that asks for them. */
const IDS_EACH = 25;

interface Circle {
  radius_m: number;
  limit: number;
}

export function weightOfCircle({ radius_m, limit }: Circle): number {
  return Math.ceil(radius_m / RADIUS_EACH_M) + positions(limit);
}

/** A driver may stand in any partition, so all are asked for all of the ids. */
export function weightOfIds(ids: number, partitions: number): number {
  return calls(partitions) * (1 + Math.floor(ids / IDS_EACH));
}

/** A box may touch all partitions. */
export function weightOfBox(limit: number, partitions: number): number {
  return calls(partitions) + positions(limit);
}

export function weightOfMap(partitions: number): number {
  return calls(partitions);
}

function calls(count: number): number {
  return Math.ceil(count / CALLS_EACH);
}

function positions(limit: number): number {
  return Math.floor(limit / POSITIONS_EACH);
}
