// A position as callers see it.

import { bearingDeg, fromE7, NONE_U16, STATUSES, type Status } from '@whereabouts/infra/position';
import { STATUS_BITS } from '@whereabouts/infra/record';
import type { DriverIndex } from './driver-index.js';
import type { DriverBody } from './schemas.js';

/** Where the caller stands, and how far away the driver is. */
export interface Sight {
  lat: number;
  lon: number;
  distanceM: number;
}

export function driverBody(index: DriverIndex, slot: number, nowMs: number, sight: Sight | null): DriverBody {
  const lat = fromE7(index.latE7[slot] as number);
  const lon = fromE7(index.lonE7[slot] as number);
  const recordedAtMs = index.recordedAtMs[slot] as number;
  return {
    driver_id: index.idOf(slot),
    lat,
    lon,
    distance_m: sight && rounded(sight.distanceM, 100),
    bearing_deg: sight && rounded(bearingDeg(sight.lat, sight.lon, lat, lon), 10) % 360,
    heading_deg: scaled(index.headingCdeg[slot] as number, 100),
    speed_mps: scaled(index.speedCmps[slot] as number, 100),
    accuracy_m: scaled(index.accuracyDm[slot] as number, 10),
    status: STATUSES[(index.statusAndFlags[slot] as number) & STATUS_BITS] as Status,
    services: index.services[slot] as number,
    recorded_at: new Date(recordedAtMs).toISOString(),
    age_ms: Math.max(0, nowMs - recordedAtMs),
    persisted: index.isPersisted(slot),
    source: index.isArchived(slot) ? 'archive' : 'live',
    provisional: true,
  };
}

export function driverFeature(driver: DriverBody) {
  const coordinates = [driver.lon, driver.lat];
  return {
    type: 'Feature',
    id: driver.driver_id,
    geometry: { type: 'Point', coordinates },
    properties: driver,
  };
}

/** `members` stand beside the features, as RFC 7946 allows. */
export function driverCollection(drivers: readonly DriverBody[], members: object) {
  return { type: 'FeatureCollection', ...members, features: drivers.map(driverFeature) };
}

function rounded(value: number, unitsEach: number): number {
  return Math.round(value * unitsEach) / unitsEach;
}

function scaled(value: number, unitsEach: number): number | null {
  return value === NONE_U16 ? null : value / unitsEach;
}
