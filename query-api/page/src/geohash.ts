// Geohashes as the page needs them: which cell a point is in, and where a cell lies.

export const MAX_LATITUDE = 85.05112878;
/** The ends of the curve, as ranges of geohashes have them: they are no border. */
export const FIRST = '000000';
export const END = '~~~~~~';
const DIGITS = '0123456789bcdefghjkmnpqrstuvwxyz';

export interface Bounds {
  west: number;
  south: number;
  east: number;
  north: number;
}

/** Degrees of a cell of this many characters. */
export function cellSize(precision: number): { width: number; height: number } {
  const bits = 5 * precision;
  return { width: 360 / 2 ** Math.ceil(bits / 2), height: 180 / 2 ** Math.floor(bits / 2) };
}

export function geohashOf(lat: number, lon: number, precision: number): string {
  let [west, east, south, north] = [-180, 180, -90, 90];
  let text = '';
  let digit = 0;
  for (let bit = 0; bit < 5 * precision; bit++) {
    digit *= 2;
    if (bit % 2 === 0) {
      const middle = (west + east) / 2;
      if (lon >= middle) [digit, west] = [digit + 1, middle];
      else east = middle;
    } else {
      const middle = (south + north) / 2;
      if (lat >= middle) [digit, south] = [digit + 1, middle];
      else north = middle;
    }
    if (bit % 5 === 4) {
      text += DIGITS[digit];
      digit = 0;
    }
  }
  return text;
}

export function boundsOf(geohash: string): Bounds {
  let [west, east, south, north] = [-180, 180, -90, 90];
  let isLongitude = true;
  for (const character of geohash) {
    const digit = DIGITS.indexOf(character);
    for (let bit = 4; bit >= 0; bit--) {
      const isUpper = ((digit >> bit) & 1) === 1;
      if (isLongitude) {
        const middle = (west + east) / 2;
        if (isUpper) west = middle;
        else east = middle;
      } else {
        const middle = (south + north) / 2;
        if (isUpper) south = middle;
        else north = middle;
      }
      isLongitude = !isLongitude;
    }
  }
  return { west, south, east, north };
}

export function centreOf(geohash: string): { lat: number; lon: number } {
  const { west, south, east, north } = boundsOf(geohash);
  return { lat: (south + north) / 2, lon: (west + east) / 2 };
}
