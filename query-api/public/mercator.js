// Web Mercator: the world is a square from (0, 0) in the north-west to (1, 1), and a view is a window on it.

export const MAX_LATITUDE = 85.05112878;
const MIN_PIXELS = 256;
const MAX_PIXELS = 2 ** 28; // a metre is about 7 pixels at the equator
const EQUATOR_M = 2 * Math.PI * 6_371_008.8;

export function toWorld(lat, lon) {
  const clamped = Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, lat));
  const y = Math.asinh(Math.tan((clamped * Math.PI) / 180)) / Math.PI;
  return { x: (lon + 180) / 360, y: (1 - y) / 2 };
}

export function fromWorld(x, y) {
  const lat = (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI;
  return { lat, lon: wrapLongitude(x * 360 - 180) };
}

export function wrapLongitude(lon) {
  return ((((lon + 180) % 360) + 360) % 360) - 180;
}

/** `pixels`: how wide the whole world would be drawn; (x, y): the world's point in the middle of the window. */
export class View {
  x = 0.5;
  y = 0.5;
  pixels = 1024;
  width = 1;
  height = 1;

  resize(width, height) {
    this.width = width;
    this.height = height;
  }

  toScreen(world) {
    return {
      x: (world.x - this.x) * this.pixels + this.width / 2,
      y: (world.y - this.y) * this.pixels + this.height / 2,
    };
  }

  toWorld(screenX, screenY) {
    return {
      x: this.x + (screenX - this.width / 2) / this.pixels,
      y: this.y + (screenY - this.height / 2) / this.pixels,
    };
  }

  moveBy(screenX, screenY) {
    this.x = (((this.x - screenX / this.pixels) % 1) + 1) % 1;
    this.y = Math.max(0, Math.min(1, this.y - screenY / this.pixels));
  }

  /** The point under the pointer stays there. */
  zoomAt(screenX, screenY, factor) {
    const before = this.toWorld(screenX, screenY);
    this.pixels = Math.max(MIN_PIXELS, Math.min(MAX_PIXELS, this.pixels * factor));
    const after = this.toWorld(screenX, screenY);
    this.x += before.x - after.x;
    this.y = Math.max(0, Math.min(1, this.y + before.y - after.y));
  }

  /** Shows all of these points, each { lat, lon }. */
  fit(points) {
    if (points.length === 0) return;
    const worlds = points.map(({ lat, lon }) => toWorld(lat, lon));
    const xs = worlds.map(({ x }) => x);
    const ys = worlds.map(({ y }) => y);
    const [left, right, top, bottom] = [least(xs), most(xs), least(ys), most(ys)];
    this.x = (left + right) / 2;
    this.y = (top + bottom) / 2;
    const room = 0.85;
    const wide = (this.width * room) / Math.max(right - left, 1e-5);
    const high = (this.height * room) / Math.max(bottom - top, 1e-5);
    this.pixels = Math.max(MIN_PIXELS, Math.min(MAX_PIXELS, wide, high));
  }

  /** [minLon, minLat, maxLon, maxLat]; minLon > maxLon where the window lies across the antimeridian. */
  bounds() {
    const { x: left, y: top } = this.toWorld(0, 0);
    const { x: right, y: bottom } = this.toWorld(this.width, this.height);
    const north = fromWorld(0, Math.max(0, top)).lat;
    const south = fromWorld(0, Math.min(1, bottom)).lat;
    if (right - left >= 1) return [-180, south, 180, north];
    return [fromWorld(left, 0).lon, south, fromWorld(right, 0).lon, north];
  }

  metresPerPixel() {
    const { lat } = fromWorld(this.x, this.y);
    return (EQUATOR_M * Math.cos((lat * Math.PI) / 180)) / this.pixels;
  }
}

// Math.min(...list) has a limit on how long the list may be.
function least(numbers) {
  return numbers.reduce((a, b) => Math.min(a, b), Infinity);
}

function most(numbers) {
  return numbers.reduce((a, b) => Math.max(a, b), -Infinity);
}
