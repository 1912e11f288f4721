// A position as callers see it, written as JSON (`Driver` in schemas.ts). Measured: building an object for each driver
// and serializing it takes nearly twice as long, more than the search. Every number is a whole number of some decimal
// unit.

import { bearingDeg, fromE7, NONE_U16, STATUSES } from '@whereabouts/infra/position';
import { STATUS_BITS } from '@whereabouts/infra/record';
import type { DriverIndex } from './driver-index.js';

/** Where the caller is, and how far away the driver is. */
export interface Sight {
  lat: number;
  lon: number;
  distanceM: number;
}

const DAY_MS = 86_400_000;
const padded = (digits: number) =>
  Array.from({ length: 10 ** digits }, (_, i) => String(i).padStart(digits, '0'));
const TWO = padded(2);
const THREE = padded(3);
const FOUR = padded(4);
let day = { number: Number.NaN, text: '' };

/** The id needs no escaping: it consists of A-Z a-z 0-9 _ -. */
export function driverText(index: DriverIndex, slot: number, nowMs: number, sight: Sight | null): string {
  const latE7 = index.latE7[slot] as number;
  const lonE7 = index.lonE7[slot] as number;
  const recordedAtMs = index.recordedAtMs[slot] as number;
  const status = STATUSES[(index.statusAndFlags[slot] as number) & STATUS_BITS];
  const ageMs = Math.max(0, nowMs - recordedAtMs);
  return (
    `{"driver_id":"${index.idOf(slot)}","lat":${e7Text(latE7)},"lon":${e7Text(lonE7)},` +
    `${sightText(latE7, lonE7, sight)},"heading_deg":${knownText(index.headingCdeg[slot] as number, 100)},` +
    `"speed_mps":${knownText(index.speedCmps[slot] as number, 100)},` +
    `"accuracy_m":${knownText(index.accuracyDm[slot] as number, 10)},"status":"${status}",` +
    `"services":${index.services[slot]},"recorded_at":"${timeText(recordedAtMs)}","age_ms":${ageMs},` +
    `"persisted":${index.isPersisted(slot)},"source":"${index.isArchived(slot) ? 'archive' : 'live'}",` +
    `"provisional":true}`
  );
}

export function featureText(index: DriverIndex, slot: number, nowMs: number, sight: Sight | null): string {
  const coordinates = `${e7Text(index.lonE7[slot] as number)},${e7Text(index.latE7[slot] as number)}`;
  const properties = driverText(index, slot, nowMs, sight);
  return `{"type":"Feature","id":"${index.idOf(slot)}","geometry":{"type":"Point","coordinates":[${coordinates}]},"properties":${properties}}`;
}

/** An object with further members, which are already written. */
export function withMembers(object: object, written: string): string {
  return `${JSON.stringify(object).slice(0, -1)},${written}}`;
}

function sightText(latE7: number, lonE7: number, sight: Sight | null): string {
  if (sight === null) return '"distance_m":null,"bearing_deg":null';
  const bearing = bearingDeg(sight.lat, sight.lon, fromE7(latE7), fromE7(lonE7));
  const distance = decimalText(Math.round(sight.distanceM * 100), 100);
  return `"distance_m":${distance},"bearing_deg":${decimalText(Math.round(bearing * 10) % 3_600, 10)}`;
}

function knownText(units: number, unitsEach: 10 | 100): string {
  return units === NONE_U16 ? 'null' : decimalText(units, unitsEach);
}

function decimalText(units: number, unitsEach: 10 | 100): string {
  const whole = Math.floor(units / unitsEach);
  const part = units - whole * unitsEach;
  if (part === 0) return `${whole}`;
  if (unitsEach === 10) return `${whole}.${part}`;
  return part % 10 === 0 ? `${whole}.${part / 10}` : `${whole}.${TWO[part]}`;
}

function e7Text(e7: number): string {
  const units = Math.abs(e7);
  const whole = Math.floor(units / 1e7);
  const part = units - whole * 1e7;
  const sign = e7 < 0 ? '-' : '';
  if (part === 0) return `${sign}${whole}`;
  const upper = Math.floor(part / 1e4);
  const digits = `${THREE[upper]}${FOUR[part - upper * 1e4]}`;
  let end = 7;
  while (digits.charCodeAt(end - 1) === 48) end--;
  return `${sign}${whole}.${end === 7 ? digits : digits.slice(0, end)}`;
}

/** RFC 3339. */
function timeText(ms: number): string {
  const number = Math.floor(ms / DAY_MS);
  if (number !== day.number) day = { number, text: new Date(number * DAY_MS).toISOString().slice(0, 11) };
  let rest = ms - number * DAY_MS;
  const millis = rest % 1_000;
  rest = (rest - millis) / 1_000;
  const seconds = rest % 60;
  rest = (rest - seconds) / 60;
  return `${day.text}${TWO[Math.floor(rest / 60)]}:${TWO[rest % 60]}:${TWO[seconds]}.${THREE[millis]}Z`;
}
