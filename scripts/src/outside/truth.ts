// The expected state: for each driver the newest acknowledged position. It is derived from the sockets' traffic alone,
// with separate calculations, so that the project's mistakes are not repeated here.
import type { PositionReport, Status } from '@whereabouts/client/protocol';
import type { Acknowledged } from './driver-socket.js';

export interface Known {
  driverId: string;
  session: number;
  seq: number;
  recordedAtMs: number;
  lat: number;
  lon: number;
  headingDeg: number | null;
  speedMps: number | null;
  accuracyM: number | null;
  status: Status;
  services: number;
}

const EARTH_RADIUS_M = 6_371_008.8;
const radians = (degrees: number) => (degrees * Math.PI) / 180;
const stored = (degrees: number) => Math.round(degrees * 1e7) / 1e7;

/** Haversine, computed with the arc tangent. */
export function metresBetween(latA: number, lonA: number, latB: number, lonB: number): number {
  const a =
    Math.sin(radians(latB - latA) / 2) ** 2 +
    Math.cos(radians(latA)) * Math.cos(radians(latB)) * Math.sin(radians(lonB - lonA) / 2) ** 2;
  return 2 * EARTH_RADIUS_M * Math.atan2(Math.sqrt(a), Math.sqrt(Math.max(0, 1 - a)));
}

function knownOf(driverId: string, session: number, report: PositionReport): Known {
  const lon = stored(report.lon);
  return {
    driverId,
    session,
    seq: report.seq,
    recordedAtMs: report.recorded_at_ms,
    lat: stored(report.lat),
    lon: lon === 180 ? -180 : lon,
    headingDeg: report.heading_deg ?? null,
    speedMps: report.speed_mps ?? null,
    accuracyM: report.accuracy_m ?? null,
    status: report.status ?? 'available',
    services: report.services ?? 0,
  };
}

export class Truth {
  readonly newest = new Map<string, Known>();
  acknowledgements = 0;

  readonly acknowledged = ({
    driverId,
    session,
    report,
  }: Pick<Acknowledged, 'driverId' | 'session' | 'report'>): void => {
    this.acknowledgements++;
    const held = this.newest.get(driverId);
    const isNewer =
      held === undefined ||
      session > held.session ||
      (session === held.session && report.recorded_at_ms > held.recordedAtMs);
    if (isNewer) this.newest.set(driverId, knownOf(driverId, session, report));
  };
}
