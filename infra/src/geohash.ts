// The geohash curve as numbers. A cell is a geohash of six characters read as 30 bits (longitude first), so cells
// order the map along a Z-curve, and a block (a cell of any coarser precision) is an interval of cells.
//
// A cell holds its upper and right border but not its lower and left one; only the first row and column hold
// both. That is ngeohash's rule, and this is the only file that calls it. ngeohash accepts NaN and (95, 200) silently
// and cannot cross the antimeridian, so coordinates are checked here first.
import ngeohash from 'ngeohash';
import { distanceM } from './position.js';

const CELL_BITS = 30;
const CELL_CHARACTERS = 6;
export const CELL_COUNT = 2 ** CELL_BITS;
const AXIS_BITS = CELL_BITS / 2;
export const AXIS_CELLS = 2 ** AXIS_BITS;
const BASE32 = '0123456789bcdefghjkmnpqrstuvwxyz';
const CELL_TEXT = new RegExp(`^[${BASE32}]{${CELL_CHARACTERS}}$`);
const RADIANS = Math.PI / 180;

/** In degrees; never across the antimeridian. */
export interface Bounds {
  readonly minLat: number;
  readonly minLon: number;
  readonly maxLat: number;
  readonly maxLon: number;
}

export class GeohashError extends RangeError {
  readonly code = 'bad_geohash';
  override readonly name = 'GeohashError';
}

export function cellOf(lat: number, lon: number): number {
  assertPlace(lat, lon);
  return ngeohash.encode_int(lat, lon === 180 ? -180 : lon, CELL_BITS); // one meridian, one name
}

export function cellToString(cell: number): string {
  assertCell(cell);
  return codeToString(cell, CELL_CHARACTERS);
}

/** `code`: a geohash of this many characters, read as a number. */
export function codeToString(code: number, characters: number): string {
  let text = '';
  for (let rest = code; text.length < characters; rest = Math.floor(rest / 32))
    text = BASE32[rest % 32] + text;
  return text;
}

export function cellFromString(geohash: string): number {
  if (!CELL_TEXT.test(geohash)) {
    throw new GeohashError(`"${geohash}" is not a geohash of ${CELL_CHARACTERS} characters`);
  }
  let cell = 0;
  for (const character of geohash) cell = cell * 32 + BASE32.indexOf(character);
  return cell;
}

/** 0 is the column at -180 degrees. */
export function columnOf(lon: number): number {
  assertPlace(0, lon);
  return evenBits(ngeohash.encode_int(0, lon, CELL_BITS) >>> 1);
}

/** 0 is the row at -90 degrees. */
export function rowOf(lat: number): number {
  assertPlace(lat, 0);
  return evenBits(ngeohash.encode_int(lat, 0, CELL_BITS));
}

export function cellAt(column: number, row: number): number {
  return (spreadBits(column) << 1) | spreadBits(row);
}

/** The block of `size` cells (a power of two) that begins at `firstCell`. */
export function blockBounds(firstCell: number, size: number): Bounds {
  assertCell(firstCell);
  const bits = CELL_BITS - Math.log2(size);
  if (!Number.isInteger(bits) || bits < 0 || firstCell % size !== 0) {
    throw new GeohashError(`no block of ${size} cells begins at cell ${firstCell}`);
  }
  // For ngeohash a depth of 0 is no depth given.
  const [minLat, minLon, maxLat, maxLon] =
    bits === 0 ? [-90, -180, 90, 180] : ngeohash.decode_bbox_int(firstCell / size, bits);
  return { minLat, minLon, maxLat, maxLon };
}

/** From a point to the nearest point of the bounds, 0 within; over the antimeridian where that is shorter. */
export function distanceToBoundsM(lat: number, lon: number, bounds: Bounds): number {
  if (lon >= bounds.minLon && lon <= bounds.maxLon) {
    return distanceM(lat, lon, clamp(lat, bounds.minLat, bounds.maxLat), lon);
  }
  return Math.min(
    distanceToMeridianM(lat, lon, bounds.minLon, bounds),
    distanceToMeridianM(lat, lon, bounds.maxLon, bounds),
  );
}

// Along a meridian the cosine of the distance is A * cos(latitude - foot): its greatest value on a stretch is at
// the foot of the perpendicular, if that lies on it, or else at one of the ends. Away from the equator the foot is
// nearer to the pole than the point itself, so that the point's own latitude would measure too far.
function distanceToMeridianM(lat: number, lon: number, meridian: number, bounds: Bounds): number {
  const cosLon = Math.cos((meridian - lon) * RADIANS);
  const foot = Math.atan2(Math.sin(lat * RADIANS), Math.cos(lat * RADIANS) * cosLon) / RADIANS;
  return Math.min(
    distanceM(lat, lon, clamp(foot, bounds.minLat, bounds.maxLat), meridian),
    distanceM(lat, lon, bounds.minLat, meridian),
    distanceM(lat, lon, bounds.maxLat, meridian),
  );
}

function clamp(value: number, min: number, max: number): number {
  return Math.max(min, Math.min(max, value));
}

export function assertPlace(lat: number, lon: number): void {
  if (!(lat >= -90 && lat <= 90)) throw new GeohashError(`latitude ${lat} is not within -90 and 90`);
  if (!(lon >= -180 && lon <= 180)) throw new GeohashError(`longitude ${lon} is not within -180 and 180`);
}

function assertCell(cell: number): void {
  if (!Number.isInteger(cell) || cell < 0 || cell >= CELL_COUNT) throw new GeohashError(`no cell ${cell}`);
}

// abcd -> 0a0b0c0d, for 15 bits
function spreadBits(value: number): number {
  let bits = value;
  bits = (bits | (bits << 8)) & 0x00ff00ff;
  bits = (bits | (bits << 4)) & 0x0f0f0f0f;
  bits = (bits | (bits << 2)) & 0x33333333;
  return (bits | (bits << 1)) & 0x55555555;
}

// 0a0b0c0d -> abcd
function evenBits(value: number): number {
  let bits = value & 0x55555555;
  bits = (bits | (bits >>> 1)) & 0x33333333;
  bits = (bits | (bits >>> 2)) & 0x0f0f0f0f;
  bits = (bits | (bits >>> 4)) & 0x00ff00ff;
  return (bits | (bits >>> 8)) & 0x0000ffff;
}
