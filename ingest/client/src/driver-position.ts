// A position as an app has it, and as it is sent.
import type { PositionReport, Status } from './protocol.js';

/** Phones give null, NaN or -1 for a heading, speed or accuracy that they do not know; that counts as not given. */
export interface DriverPosition {
  lat: number;
  lon: number;
  headingDeg?: number | null | undefined;
  speedMps?: number | null | undefined;
  accuracyM?: number | null | undefined;
  status?: Status | undefined;
  /** Bits 0 to 15: the kinds of ride that the driver takes now. */
  services?: number | undefined;
}

export type ReportFields = Omit<PositionReport, 'seq' | 'recorded_at_ms'>;

const MAX_SERVICES = 0xffff;

function known(value: number | null | undefined): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
}

/** Throws if the caller is wrong; the service itself refuses places that it does not cover. */
export function reportFields(position: DriverPosition): ReportFields {
  const { lat, lon, status, services, headingDeg } = position;
  if (!(Math.abs(lat) <= 90)) throw new RangeError(`lat: ${lat} is not a latitude`);
  if (!(Math.abs(lon) <= 180)) throw new RangeError(`lon: ${lon} is not a longitude`);
  if (services !== undefined && !(Number.isInteger(services) && services >= 0 && services <= MAX_SERVICES))
    throw new RangeError(`services: ${services} is not a mask of 16 bits`);
  const heading = known(headingDeg);
  return {
    lat,
    lon,
    heading_deg: heading === undefined ? undefined : heading % 360,
    speed_mps: known(position.speedMps),
    accuracy_m: known(position.accuracyM),
    status,
    services,
  };
}
