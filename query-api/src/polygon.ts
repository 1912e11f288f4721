// A polygon on the plane of longitude and latitude: its edges are straight there, as in GeoJSON, not great circles.
// Points on an edge are inside. With several rings, or one that crosses itself, a place is inside if a line from it to
// the outside crosses an odd number of edges: so holes are rings like any other.
//
//   edge    from (x1, y1) to (x2, y2), in degrees
//   band    a stretch of latitudes; it lists the edges that run through it, so a place is tested against these alone
//
//  robust-predicates decides exactly whether a place is left or right of an edge.

import type { Bounds } from '@whereabouts/infra/geohash';
import { orient2d } from 'robust-predicates';

/** A closed ring: pairs of longitude and latitude. */
export type Ring = readonly (readonly [lon: number, lat: number])[];

const MAX_BANDS = 512;

export class Polygon {
  readonly bounds: Bounds;
  readonly #edges: Float64Array;
  readonly #bands: Uint16Array[];

  /** Of at most 65,536 edges. */
  constructor(rings: readonly Ring[]) {
    const lons = rings.flatMap((ring) => ring.map(([lon]) => lon));
    const lats = rings.flatMap((ring) => ring.map(([, lat]) => lat));
    this.bounds = {
      ...{ minLon: Math.min(...lons), maxLon: Math.max(...lons) },
      ...{ minLat: Math.min(...lats), maxLat: Math.max(...lats) },
    };
    this.#edges = Float64Array.from(rings.flatMap(edgesOf));
    this.#bands = this.#listed(Math.min(MAX_BANDS, this.#edges.length / 4));
  }

  /** Edges that a place is tested against, at most. */
  get edgesEach(): number {
    return Math.max(...this.#bands.map(({ length }) => length));
  }

  holds(lat: number, lon: number): boolean {
    const { minLat, minLon, maxLat, maxLon } = this.bounds;
    if (lat < minLat || lat > maxLat || lon < minLon || lon > maxLon) return false;
    const edges = this.#edges;
    const band = this.#bands[this.#bandOf(lat, this.#bands.length)] as Uint16Array;
    let isWithin = false;
    for (let i = 0; i < band.length; i++) {
      const at = 4 * (band[i] as number);
      const x1 = edges[at] as number;
      const y1 = edges[at + 1] as number;
      const x2 = edges[at + 2] as number;
      const y2 = edges[at + 3] as number;
      if (y1 > lat === y2 > lat) {
        // Both ends are on the same side; the edge can still lie on the place's latitude, or end there.
        if (y1 === lat && x1 === lon) return true;
        if (y1 === lat && y2 === lat && Math.min(x1, x2) < lon && lon < Math.max(x1, x2)) return true;
        continue;
      }
      const side = orient2d(x1, y1, x2, y2, lon, lat);
      if (side === 0) return true;
      if (side > 0 === y2 > y1) isWithin = !isWithin;
    }
    return isWithin;
  }

  /** Whether a box and the polygon intersect. */
  touches(box: Bounds): boolean {
    const { minLat, minLon, maxLat, maxLon } = box;
    const edges = this.#edges;
    for (let at = 0; at < edges.length; at += 4) {
      const x1 = edges[at] as number;
      const y1 = edges[at + 1] as number;
      const x2 = edges[at + 2] as number;
      const y2 = edges[at + 3] as number;
      if (Math.max(x1, x2) < minLon || Math.min(x1, x2) > maxLon) continue;
      if (Math.max(y1, y2) < minLat || Math.min(y1, y2) > maxLat) continue;
      // Their bounds meet, so they are disjoint only if all four corners are on one side of the edge.
      const sides = [
        orient2d(x1, y1, x2, y2, minLon, minLat),
        orient2d(x1, y1, x2, y2, maxLon, minLat),
        orient2d(x1, y1, x2, y2, minLon, maxLat),
        orient2d(x1, y1, x2, y2, maxLon, maxLat),
      ];
      if (!sides.every((side) => side > 0) && !sides.every((side) => side < 0)) return true;
    }
    // The box has no edge in it: it is entirely inside or entirely outside.
    return this.holds(minLat, minLon);
  }

  #listed(count: number): Uint16Array[] {
    const bands: number[][] = Array.from({ length: count }, () => []);
    for (let edge = 0; edge < this.#edges.length / 4; edge++) {
      const [a, b] = [this.#edges[4 * edge + 1] as number, this.#edges[4 * edge + 3] as number];
      const last = this.#bandOf(Math.max(a, b), count);
      for (let band = this.#bandOf(Math.min(a, b), count); band <= last; band++) bands[band]?.push(edge);
    }
    return bands.map((band) => Uint16Array.from(band));
  }

  /** It never decreases with the latitude, so an edge is listed in every band it runs through. */
  #bandOf(lat: number, count: number): number {
    const { minLat, maxLat } = this.bounds;
    if (maxLat === minLat) return 0;
    return Math.min(count - 1, Math.floor(((lat - minLat) / (maxLat - minLat)) * count));
  }
}

function edgesOf(ring: Ring): number[] {
  return ring.slice(1).flatMap(([lon, lat], i) => [...(ring[i] as [number, number]), lon, lat]);
}
