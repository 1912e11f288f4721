// What a question weighs. An ordinary one for the nearest ten weighs 1.
//
//   in flight   1 for each 16 calls of the store that it may make, begun, and what it weighs by the positions that it
//               may give back: 1 for each whole hundred around a point, 1 for each 25 in a box
//   rate        the same, with the calls that it made
//
// Measured against an ordinary one: 5,000 drivers of a box cost 230 (and weigh 204), 100 points 39, 100 ids 6, a circle
// of 50 km in which nobody fits 7, and one that gives back 100 drivers 1.8.

export interface Weight {
  /** For the calls that it may make. */
  calls: number;
  /** The least that these count for, made or not. */
  least: number;
  positions: number;
}

const CALLS_EACH = 16;
/** A circle of this radius touches some 14 of the 64 partitions of a city. */
const RADIUS_EACH_M = 5_000;
/** So many ids cost a partition about as much as the call that asks for them. */
const IDS_EACH = 25;
const POSITIONS_EACH = { circle: 100, box: 25 };

export function weightOfCircles(circles: readonly { radius_m: number; limit: number }[]): Weight {
  let [calls, positions] = [0, 0];
  for (const { radius_m, limit } of circles) {
    calls += Math.ceil(radius_m / RADIUS_EACH_M);
    positions += Math.floor(limit / POSITIONS_EACH.circle);
  }
  return { calls, least: circles.length, positions };
}

/** A driver may stand in any partition, so all are asked for all of the ids. */
export function weightOfIds(ids: number, partitions: number): Weight {
  return { ...weightOfMap(partitions), positions: ofCalls(partitions) * Math.floor(ids / IDS_EACH) };
}

/** A box may touch all partitions. */
export function weightOfBox(limit: number, partitions: number): Weight {
  return { calls: ofCalls(partitions), least: 1, positions: Math.floor(limit / POSITIONS_EACH.box) };
}

export function weightOfMap(partitions: number): Weight {
  const calls = ofCalls(partitions);
  return { calls, least: calls, positions: 0 };
}

export function mostOf({ calls, positions }: Weight): number {
  return calls + positions;
}

/** Never more than was said at first. */
export function weightAfter(weight: Weight, callsMade: number): number {
  const { calls, least, positions } = weight;
  return Math.min(calls, Math.max(least, ofCalls(callsMade))) + positions;
}

function ofCalls(count: number): number {
  return Math.ceil(count / CALLS_EACH);
}
