// A position as callers see it.

import type { LivePosition } from '@whereabouts/infra/live-store/answers';
import { bearingDeg, fromE7, NONE_U16 } from '@whereabouts/infra/position';
import type { DriverBody } from './schemas.js';

/** Where the caller stands, and how far away the driver is. */
export interface Sight {
  lat: number;
  lon: number;
  distanceM: number;
}

export function driverBody(position: LivePosition, ageMs: number, sight: Sight | null): DriverBody {
  const lat = fromE7(position.latE7);
  const lon = fromE7(position.lonE7);
  return {
    driver_id: position.driverId,
    lat,
    lon,
    distance_m: sight && rounded(sight.distanceM, 100),
    bearing_deg: sight && rounded(bearingDeg(sight.lat, sight.lon, lat, lon), 10) % 360,
    heading_deg: scaled(position.headingCdeg, 100),
    speed_mps: scaled(position.speedCmps, 100),
    accuracy_m: scaled(position.accuracyDm, 10),
    status: position.status,
    services: position.services,
    recorded_at: new Date(position.recordedAtMs).toISOString(),
    age_ms: ageMs,
    persisted: position.persisted,
    source: position.archived ? 'archive' : 'live',
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
