// Where drivers went since the page was opened. A position is kept when the driver has moved, and only the newest ones
// of each driver; a driver that was not seen for long is forgotten.

import type { Point } from './typed-point.js';

const POINTS_EACH = 240;
const DRIVERS_AT_MOST = 10_000;
const MOVED_DEGREES = 15 / 111_200;
const FORGET_AFTER_MS = 600_000;

interface Trail {
  /** lon, lat, lon, lat, a ring; single precision is a metre. */
  points: Float32Array;
  count: number;
  seenAtMs: number;
  last: Point;
}

export class Trails {
  readonly #trails = new Map<string, Trail>();

  seen(driverId: string, lat: number, lon: number, nowMs: number): void {
    const trail = this.#trails.get(driverId) ?? this.#begun(driverId, { lat, lon }, nowMs);
    if (!trail) return;
    trail.seenAtMs = nowMs;
    const { last } = trail;
    const hasMoved = Math.abs(last.lat - lat) + Math.abs(last.lon - lon) > MOVED_DEGREES;
    if (trail.count > 0 && !hasMoved) return;
    const at = 2 * (trail.count % POINTS_EACH);
    trail.points[at] = lon;
    trail.points[at + 1] = lat;
    trail.count++;
    trail.last = { lat, lon };
  }

  /** [lon, lat] each, the oldest first. */
  of(driverId: string): [number, number][] {
    const trail = this.#trails.get(driverId);
    if (!trail) return [];
    const { points, count } = trail;
    const first = Math.max(0, count - POINTS_EACH);
    return Array.from({ length: count - first }, (_, i): [number, number] => {
      const at = 2 * ((first + i) % POINTS_EACH);
      return [points[at] as number, points[at + 1] as number];
    });
  }

  forgetOld(nowMs: number): void {
    for (const [driverId, { seenAtMs }] of this.#trails) {
      if (nowMs - seenAtMs > FORGET_AFTER_MS) this.#trails.delete(driverId);
    }
  }

  #begun(driverId: string, last: Point, seenAtMs: number): Trail | null {
    if (this.#trails.size >= DRIVERS_AT_MOST) return null;
    const trail = { points: new Float32Array(2 * POINTS_EACH), count: 0, seenAtMs, last };
    this.#trails.set(driverId, trail);
    return trail;
  }
}
