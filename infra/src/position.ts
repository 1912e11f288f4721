// What a driver reports, from the edge to the archive: its limits, its order, its measures.
//
// A Position is always valid: only `validatePosition` and `decodeBody` (record.ts) make one. Coordinates are int32 in
// units of 1e-7 degree, so what is stored, measured and answered is the same number everywhere.

import {
  BYTES,
  compile,
  FIELDS,
  type Field,
  type InputName,
  inputNameOf,
  MAX_LATITUDE,
  NONE_U16,
  type NumberFieldName,
  STATUSES,
  type Status,
} from './fields.js';

export { MAX_LATITUDE, NONE_U16, STATUSES, type Status };

export interface Position extends Record<NumberFieldName, number> {
  driverId: string;
  status: Status;
  checkpoint: boolean;
  checkpointId: string | null;
}

/** What the edge hands over for validation, by whatever protocol it came. */
export type PositionInput = { [Name in InputName | 'checkpoint' | 'checkpointId']?: unknown };

export const DRIVER_ID = /^[A-Za-z0-9_-]{1,64}$/;

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

/** A position in the archive, in usual units; null if the driver gave nothing. The order is free. */
export const COLUMNS: readonly Column[] = [
  { name: 'driver_id', type: 'text', value: (p) => p.driverId },
  ...FIELDS.map((field) => ({ ...field.column, value: columnValueOf(field) })),
];

function columnValueOf(field: Field): Column['value'] {
  const { name, kind, absent, scale } = field;
  if (kind === 'status') return (p) => p.status;
  const numberOf = compile<(p: Position) => number>({}, `(p) => p.${name}`);
  if (kind === 'time') return (p) => new Date(numberOf(p)).toISOString();
  if (kind !== 'measure') return scale === 1 ? numberOf : (p) => numberOf(p) / scale;
  return (p) => (numberOf(p) === absent ? null : numberOf(p) / scale);
}

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
  const position = checked(input, driverId, session);
  position.checkpoint = checkpoint;
  position.checkpointId = checkpointId(input.checkpointId, checkpoint);
  return position;
}

/** But for the checkpoint. */
const checked = compiledChecks();

function compiledChecks(): (input: PositionInput, driverId: string, session: number) => Position {
  const checks = (FIELDS as readonly Field[]).filter(({ kind }) => kind !== 'own');
  const known = Object.fromEntries(checks.map((field) => [field.name, checkOf(field)]));
  const values = checks.map((field) => `${field.name}: ${field.name}(input.${inputNameOf(field)})`);
  const literal = `driverId, session, ${values.join(', ')}, checkpoint: false, checkpointId: null`;
  return compile(known, `(input, driverId, session) => ({ ${literal} })`);
}

type Check = (value: unknown) => number | Status;

/** What is usual goes by numbers in its text; the rest is looked at more closely. */
function checkOf(field: Field): Check {
  const { name, kind, min, scale, below } = field;
  if (name === 'status') return status;
  if (name === 'latE7') return latitudeE7;
  if (name === 'lonE7') return longitudeE7;
  const usual = `typeof v === 'number' && v >= ${min} && v <= ${greatestOf(field)}`;
  const closely: Check = (value) =>
    kind === 'measure' ? measure(field, value) : count(field, kind === 'time' ? rounded(value) : value);
  if (kind !== 'measure')
    return compile({ closely }, `(v) => ${usual} && Number.isInteger(v) ? v + 0 : closely(v)`);
  const steps = `Math.round(v * ${scale})`;
  const packed =
    below === undefined ? `Math.min(${steps}, ${greatestStepsOf(field)})` : `${steps} % ${below * scale}`;
  return compile({ closely }, `(v) => ${usual} ? ${packed} : closely(v)`);
}

/** That is taken; what does not fit its type is stored as the greatest that does. */
function greatestOf({ max, below }: Field): number {
  return max ?? below ?? Number.MAX_VALUE;
}

/** Below what stands for none. */
function greatestStepsOf({ type, absent }: Field): number {
  return Math.min(2 ** (8 * BYTES[type]), absent ?? Number.POSITIVE_INFINITY) - 1;
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

function count(field: Field, value: unknown): number {
  const { json, min, absent } = field;
  const max = greatestOf(field);
  if (absent !== undefined && !isGiven(value)) return absent;
  if (value === undefined) refuse(json, 'is missing');
  if (typeof value !== 'number' || !Number.isInteger(value)) refuse(json, 'must be an integer');
  if (value < min || value > max) refuse(json, `must be within ${min} and ${max}`);
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

/** Of a value that is not usual: none, or none that can be. */
function measure(field: Field, value: unknown): number {
  if (!isKnown(value)) return field.absent as number;
  const max = greatestOf(field);
  return refuse(
    field.json,
    max === Number.MAX_VALUE ? 'must be a finite number' : `must be a number up to ${max}`,
  );
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
