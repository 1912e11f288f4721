// What of a ring or a line lies within bounds, { west, south, east, north }.

/** Sutherland and Hodgman: one side after the other. A ring in several parts keeps edges along the side, which a fill hides. */
export function clipRing(ring, bounds) {
  let points = ring.slice(0, -1);
  for (const side of sidesOf(bounds)) {
    const kept = [];
    points.forEach((point, i) => {
      const before = points.at(i - 1);
      if (side.isInside(point) !== side.isInside(before)) kept.push(side.crossing(before, point));
      if (side.isInside(point)) kept.push(point);
    });
    points = kept;
  }
  return points.length === 0 ? [] : [...points, points[0]];
}

/** In several parts where it leaves and comes back. */
export function clipLine(line, bounds) {
  let parts = [line];
  for (const side of sidesOf(bounds)) parts = parts.flatMap((part) => clipAtSide(part, side));
  return parts.filter(({ length }) => length >= 2);
}

function clipAtSide(line, side) {
  const parts = [[]];
  line.forEach((point, i) => {
    const before = line[i - 1];
    if (before && side.isInside(point) !== side.isInside(before)) {
      parts.at(-1).push(side.crossing(before, point));
      if (!side.isInside(point)) parts.push([]);
    }
    if (side.isInside(point)) parts.at(-1).push(point);
  });
  return parts;
}

function sidesOf({ west, south, east, north }) {
  return [sideAt(0, west, 1), sideAt(0, east, -1), sideAt(1, south, 1), sideAt(1, north, -1)];
}

/** `sign` is 1 where greater values are inside. */
function sideAt(axis, at, sign) {
  return {
    isInside: (point) => (point[axis] - at) * sign >= 0,
    crossing(a, b) {
      const share = (at - a[axis]) / (b[axis] - a[axis]);
      const other = a[1 - axis] + share * (b[1 - axis] - a[1 - axis]);
      return axis === 0 ? [at, other] : [other, at];
    },
  };
}
