// Reads what a person types or pastes into the search field: a point, or a driver's id.

import { MAX_LATITUDE } from './geohash.js';

export interface Point {
  lat: number;
  lon: number;
}

export type Typed =
  | { kind: 'point'; point: Point }
  | { kind: 'driver'; driverId: string }
  | { kind: 'refused'; why: string };

const EXAMPLE = 'Write a point as 52.2297, 21.0122.';
export const DRIVER_ID = /^[A-Za-z0-9_-]{1,64}$/;
const NUMBER = String.raw`([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)`;
const POINT = new RegExp(`^${NUMBER}\\s*°?\\s*([NSns])?\\s*(?:[,;]|\\s)\\s*${NUMBER}\\s*°?\\s*([EWew])?$`);
/** 52,23 beside another number: is the comma a separator or a decimal one? */
const DECIMAL_COMMA = /^[+-]?\d+,\d+\s*[;,\s]\s*[+-]?\d+(,\d+)?$|^[+-]?\d+(\.\d+)?\s*[;\s]\s*[+-]?\d+,\d+$/;

const refused = (why: string): Typed => ({ kind: 'refused', why });

export function readTyped(text: string): Typed {
  const trimmed = text
    .trim()
    .replace(/^\((.*)\)$/, '$1')
    .trim();
  if (trimmed === '') return refused(`Nothing was typed. ${EXAMPLE}`);
  if (DECIMAL_COMMA.test(trimmed)) return refused('Decimals have a point, not a comma: 52.23, 21.01.');
  const match = POINT.exec(trimmed);
  if (match) return pointOf(match);
  if (/^[A-Za-z_-]/.test(trimmed) || DRIVER_ID.test(trimmed)) {
    if (DRIVER_ID.test(trimmed)) return { kind: 'driver', driverId: trimmed };
    return refused("A driver's id has 1 to 64 letters, digits, - and _.");
  }
  return refused(`That is neither a point nor a driver's id. ${EXAMPLE}`);
}

function pointOf([, first, northSouth = '', second, eastWest = '']: RegExpExecArray): Typed {
  const lat = Number(first) * (/s/i.test(northSouth) ? -1 : 1);
  const lon = Number(second) * (/w/i.test(eastWest) ? -1 : 1);
  if (Math.abs(lat) > 90) return refused(`Latitude comes first, and ${lat} is not between -90 and 90.`);
  if (Math.abs(lon) > 180) return refused(`Longitude comes second, and ${lon} is not between -180 and 180.`);
  if (Math.abs(lat) > MAX_LATITUDE) return refused(`The map ends at latitude ±${MAX_LATITUDE.toFixed(2)}.`);
  return { kind: 'point', point: { lat, lon } };
}
