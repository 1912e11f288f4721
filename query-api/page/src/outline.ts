// The outline of an area made of rectangles. The blocks of a partition share edges of different lengths, so edges are
// summed along each line: +1 where the area begins, -1 where it ends. What remains is the outline.

import type { Bounds } from './geohash.js';

export type Line = [[number, number], [number, number]];
type Changes = Map<number, Map<number, number>>;

/** Without the edges along the end of the map. */
export function outlineOf(blocks: readonly Bounds[]): Line[] {
  const upright: Changes = new Map();
  const level: Changes = new Map();
  for (const { west, south, east, north } of blocks) {
    add(upright, west, south, north, 1);
    add(upright, east, south, north, -1);
    add(level, south, west, east, 1);
    add(level, north, west, east, -1);
  }
  return [
    ...stretches(upright, 180).map(
      ([lon, from, to]): Line => [
        [lon, from],
        [lon, to],
      ],
    ),
    ...stretches(level, 90).map(
      ([lat, from, to]): Line => [
        [from, lat],
        [to, lat],
      ],
    ),
  ];
}

/** `sign` from `from` to `to`, stored as the change at either end. */
function add(changes: Changes, place: number, from: number, to: number, sign: number): void {
  const along = changes.get(place) ?? new Map<number, number>();
  changes.set(place, along);
  along.set(from, (along.get(from) ?? 0) + sign);
  along.set(to, (along.get(to) ?? 0) - sign);
}

function stretches(changes: Changes, end: number): [place: number, from: number, to: number][] {
  const found: [number, number, number][] = [];
  for (const [place, along] of changes) {
    if (Math.abs(place) >= end) continue;
    let sum = 0;
    let from = 0;
    for (const at of [...along.keys()].sort((a, b) => a - b)) {
      const next = sum + (along.get(at) as number);
      if (sum === 0 && next !== 0) from = at;
      if (sum !== 0 && next === 0) found.push([place, from, at]);
      sum = next;
    }
  }
  return found;
}
