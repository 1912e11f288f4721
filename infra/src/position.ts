// What a driver reports, from the edge to the archive: its limits, its order, its measures.
//
// A Position is always valid: only `validatePosition` and `decodeRecord` make one. Coordinates are int32 in
// units of 1e-7 degree, so what is stored, measured and answered is the same number everywhere.

export const STATUSES = ['offline', 'available', 'busy'] as const; // the index is the code in the record
export type Status = (typeof STATUSES)[number];

export interface Position {
  driverId: string;
  session: number;
  seq: number;
  recordedAtMs: number;
  latE7: number;
  lonE7: number;
  headingCdeg: number;
  speedCmps: number;
  accuracyDm: number;
  status: Status;
  services: number;
  checkpoint: boolean;
  checkpointId: string | null;
}

export interface StoredPosition extends Position {
  revision: number;
  /** Postgres refused it: never `persisted`. */
  quarantined: boolean;
  /** In no geo set. */
  unlisted: boolean;
  /** Recorded in that partition since, or null. */
  movedTo: number | null;
  /** Loaded from Postgres. */
  archived: boolean;
}

/** What the edge hands over for validation, by whatever protocol it came. */
export interface PositionInput {
  seq?: unknown;
  recordedAtMs?: unknown;
  lat?: unknown;
  lon?: unknown;
  headingDeg?: unknown;
  speedMps?: unknown;
  accuracyM?: unknown;
  status?: unknown;
  services?: unknown;
  checkpoint?: unknown;
  checkpointId?: unknown;
}

export const NONE_U16 = 65_535;
/** Redis GEO (Web Mercator) holds no latitude beyond this one. */
export const MAX_LATITUDE = 85.05112878;
export const DRIVER_ID = /^[A-Za-z0-9_-]{1,64}$/;
export const MAX_BATCH_RECORDS = 512;

const MAX_U32 = 2 ** 32 - 1;
const MAX_U48 = 2 ** 48 - 1;
// Rounding MAX_LATITUDE to 1e-7 would go up, past what Redis takes.
export const MAX_LAT_E7 = Math.floor(MAX_LATITUDE * 1e7);
const EARTH_RADIUS_M = 6_371_008.8;
const RADIANS = Math.PI / 180;

export class PositionError extends Error {
  readonly code: 'bad_message' | 'bad_position' | 'bad_record';

  constructor(code: PositionError['code'], message: string) {
    super(message);
    this.name = 'PositionError';
    this.code = code;
  }
}

/** A column of the archive, with the type that its migration gave it. */
export interface Column {
  name: string;
  type: string;
  value(p: Position): string | number | null;
}

const known = (value: number, unitsEach: number) => (value === NONE_U16 ? null : value / unitsEach);

/** A position in the archive, in units of the world; null where the driver gave nothing. The order is free. */
export const COLUMNS: readonly Column[] = [
  { name: 'driver_id', type: 'text', value: (p) => p.driverId },
  { name: 'session', type: 'bigint', value: (p) => p.session },
  { name: 'seq', type: 'bigint', value: (p) => p.seq },
  { name: 'recorded_at', type: 'timestamptz', value: (p) => new Date(p.recordedAtMs).toISOString() },
  { name: 'lat', type: 'double precision', value: (p) => fromE7(p.latE7) },
  { name: 'lon', type: 'double precision', value: (p) => fromE7(p.lonE7) },
  { name: 'heading_deg', type: 'real', value: (p) => known(p.headingCdeg, 100) },
  { name: 'speed_mps', type: 'real', value: (p) => known(p.speedCmps, 100) },
  { name: 'accuracy_m', type: 'real', value: (p) => known(p.accuracyDm, 10) },
  { name: 'status', type: 'text', value: (p) => p.status },
  { name: 'services', type: 'integer', value: (p) => p.services },
];

type Order = Pick<Position, 'session' | 'recordedAtMs'>;

/** The one order of positions, everywhere: the greatest (session, recorded at), as numbers. */
export function isNewer(a: Order, b: Order): boolean {
  return a.session === b.session ? a.recordedAtMs > b.recordedAtMs : a.session > b.session;
}

export function toE7(degrees: number): number {
  return Math.round(degrees * 1e7) + 0; // + 0 turns -0 into 0
}

export function fromE7(e7: number): number {
  return e7 / 1e7;
}

/** Haversine on the mean sphere. */
export function distanceM(latA: number, lonA: number, latB: number, lonB: number): number {
  const sinLat = Math.sin(((latB - latA) * RADIANS) / 2);
  const sinLon = Math.sin(((lonB - lonA) * RADIANS) / 2);
  const h = sinLat * sinLat + Math.cos(latA * RADIANS) * Math.cos(latB * RADIANS) * sinLon * sinLon;
  return 2 * EARTH_RADIUS_M * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** The bearing at which one sets out from A to B, 0 <= bearing < 360. */
export function bearingDeg(latA: number, lonA: number, latB: number, lonB: number): number {
  const lon = (lonB - lonA) * RADIANS;
  const cosB = Math.cos(latB * RADIANS);
  const y = Math.sin(lon) * cosB;
  const x =
    Math.cos(latA * RADIANS) * Math.sin(latB * RADIANS) - Math.sin(latA * RADIANS) * cosB * Math.cos(lon);
  return (Math.atan2(y, x) / RADIANS + 360) % 360;
}

/** `driverId` and `session` are the connection's, already proven; everything in `input` is doubted. */
export function validatePosition(input: PositionInput, driverId: string, session: number): Position {
  const checkpoint = flag('checkpoint', input.checkpoint);
  return {
    driverId,
    session,
    seq: integer('seq', input.seq, 1, MAX_U32),
    recordedAtMs: integer('recorded_at_ms', rounded(input.recordedAtMs), 1, MAX_U48),
    latE7: latitudeE7(input.lat),
    lonE7: longitudeE7(input.lon),
    headingCdeg: headingCdeg(input.headingDeg),
    speedCmps: scaledU16('speed_mps', input.speedMps, 100),
    accuracyDm: scaledU16('accuracy_m', input.accuracyM, 10),
    status: status(input.status),
    services: isGiven(input.services) ? integer('services', input.services, 0, 0xffff) : 0,
    checkpoint,
    checkpointId: checkpointId(input.checkpointId, checkpoint),
  };
}

function refuse(field: string, why: string): never {
  throw new PositionError('bad_message', `${field} ${why}`);
}

/** Platforms spell "not given" as null too. */
function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Clocks of a higher resolution give fractions of a millisecond. */
function rounded(value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value) : value;
}

function integer(field: string, value: unknown, min: number, max: number): number {
  if (value === undefined) refuse(field, 'is missing');
  if (typeof value !== 'number' || !Number.isInteger(value)) refuse(field, 'must be an integer');
  if (value < min || value > max) refuse(field, `must be within ${min} and ${max}`);
  return value + 0;
}

function flag(field: string, value: unknown): boolean {
  if (!isGiven(value)) return false;
  if (typeof value !== 'boolean') refuse(field, 'must be true or false');
  return value;
}

function degrees(field: string, value: unknown, limit: number): number {
  if (value === undefined) refuse(field, 'is missing');
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new PositionError('bad_position', `${field} must be a finite number`);
  }
  if (value < -limit || value > limit) {
    throw new PositionError('bad_position', `${field} must be within -${limit} and ${limit} degrees`);
  }
  return value;
}

function latitudeE7(value: unknown): number {
  const e7 = toE7(degrees('lat', value, MAX_LATITUDE));
  return Math.max(-MAX_LAT_E7, Math.min(MAX_LAT_E7, e7));
}

function longitudeE7(value: unknown): number {
  const e7 = toE7(degrees('lon', value, 180));
  return e7 === 1_800_000_000 ? -1_800_000_000 : e7; // one meridian, one name, one partition
}

/** Phones report null or a negative number for a heading, speed or accuracy that they do not know. */
function isKnown(value: unknown): boolean {
  return isGiven(value) && !(typeof value === 'number' && value < 0);
}

function headingCdeg(value: unknown): number {
  if (!isKnown(value)) return NONE_U16;
  if (typeof value !== 'number' || !(value <= 360)) {
    refuse('heading_deg', 'must be a number up to 360');
  }
  return Math.round(value * 100) % 36_000;
}

function scaledU16(field: string, value: unknown, unitsEach: number): number {
  if (!isKnown(value)) return NONE_U16;
  if (typeof value !== 'number' || !(value < Infinity)) {
    refuse(field, 'must be a finite number');
  }
  return Math.min(Math.round(value * unitsEach), NONE_U16 - 1);
}

function status(value: unknown): Status {
  if (!isGiven(value)) return 'available';
  if (!STATUSES.includes(value as Status)) refuse('status', `must be one of ${STATUSES.join(', ')}`);
  return value as Status;
}

function checkpointId(value: unknown, checkpoint: boolean): string | null {
  if (!isGiven(value)) return null;
  if (!checkpoint) refuse('checkpoint_id', 'goes only with "checkpoint": true');
  if (typeof value !== 'string' || !DRIVER_ID.test(value)) {
    refuse('checkpoint_id', 'must be 1 to 64 of A-Z a-z 0-9 _ -');
  }
  return value;
}
