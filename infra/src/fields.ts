// The fields of a report, stated once: the name and the bounds of each in messages and answers, its packing, and its
// place in a record, in a binary frame and in Postgres.
//
// Derived from this table: `Position` and its checks (position.ts), the record's codec and its places (record.ts), what
// the Lua library knows of a record (live-store/library.ts), the columns of the archive (COLUMNS). Compared with it by
// tests: the migrations, the frames and messages of the client, PROTOCOL.md, docs/asyncapi.yaml, query-api's answers.
//
// A new field is a row at the end with the next format, a migration, and its lines in the client and PROTOCOL.md. Formats
// only grow: the body of an older format is shorter, and a field that it lacks counts as not given.

export const STATUSES = ['offline', 'available', 'busy'] as const; // the index is the code in records and frames
export type Status = (typeof STATUSES)[number];

/** Redis GEO (Web Mercator) holds no latitude beyond this one. */
export const MAX_LATITUDE = 85.05112878;
export const NONE_U16 = 65_535;
const MAX_U32 = 2 ** 32 - 1;
const MAX_U48 = 2 ** 48 - 1;

export const BYTES = Object.freeze({ u8: 1, u16: 2, u32: 4, u48: 6, i32: 4 });
export type NumberType = keyof typeof BYTES;

/**
 * How a value is checked, in the words of messages:
 *   own      not the driver's to say
 *   count    a whole number within the bounds; without `absent` it is required
 *   time     the same in ms, of which clocks give fractions
 *   degrees  required, within the bounds
 *   measure  null, absent or negative is not given; what does not fit its type is its greatest value
 *   status   one of STATUSES; in the low bits of its byte, below flags
 */
export type Kind = 'own' | 'count' | 'time' | 'degrees' | 'measure' | 'status';

export interface Field {
  /** In a Position, whose numbers are those of the record. */
  readonly name: string;
  /** In messages, answers and columns. */
  readonly json: string;
  readonly kind: Kind;
  /** In units of messages. `below`: measures go round there. */
  readonly min: number;
  readonly max?: number;
  readonly below?: number;
  readonly type: NumberType;
  /** Steps of the packed number in one unit of messages. */
  readonly scale: number;
  /** The packed number of what was not given. */
  readonly absent?: number;
  /** Place in a record's body, and the first format that has it. */
  readonly at: number;
  readonly since: number;
  /** Place in a binary frame of a position. */
  readonly frameAt?: number;
  readonly column: { readonly name: string; readonly type: string };
}

const OWN = { kind: 'own', min: 0, scale: 1, since: 2 } as const;
const COUNT = { kind: 'count', scale: 1, since: 2 } as const;
const DEGREES = { kind: 'degrees', type: 'i32', scale: 1e7, since: 2 } as const;
const MEASURE = { kind: 'measure', type: 'u16', min: 0, absent: NONE_U16, since: 2 } as const;
const double = (name: string) => ({ name, type: 'double precision' });
const real = (name: string) => ({ name, type: 'real' });
const bigint = (name: string) => ({ name, type: 'bigint' });

/** In the order in which they are checked. */
// biome-ignore format: a table
export const FIELDS = [
  { ...OWN, name: 'session', json: 'session', max: MAX_U48, type: 'u48', at: 1, column: bigint('session') },
  { ...COUNT, name: 'seq', json: 'seq', min: 1, max: MAX_U32, type: 'u32', at: 30, frameAt: 1, column: bigint('seq') },
  { ...COUNT, kind: 'time', name: 'recordedAtMs', json: 'recorded_at_ms', min: 1, max: MAX_U48, type: 'u48', at: 7, frameAt: 5,
    column: { name: 'recorded_at', type: 'timestamptz' } },
  { ...DEGREES, name: 'latE7', json: 'lat', min: -MAX_LATITUDE, max: MAX_LATITUDE, at: 13, frameAt: 11, column: double('lat') },
  { ...DEGREES, name: 'lonE7', json: 'lon', min: -180, max: 180, at: 17, frameAt: 15, column: double('lon') },
  { ...MEASURE, name: 'headingCdeg', json: 'heading_deg', below: 360, scale: 100, at: 21, frameAt: 19, column: real('heading_deg') },
  { ...MEASURE, name: 'speedCmps', json: 'speed_mps', scale: 100, at: 23, frameAt: 21, column: real('speed_mps') },
  { ...MEASURE, name: 'accuracyDm', json: 'accuracy_m', scale: 10, at: 25, frameAt: 23, column: real('accuracy_m') },
  { ...OWN, kind: 'status', name: 'status', json: 'status', max: STATUSES.length - 1, absent: STATUSES.indexOf('available'),
    type: 'u8', at: 27, frameAt: 25, column: { name: 'status', type: 'text' } },
  { ...COUNT, name: 'services', json: 'services', min: 0, max: 65_535, absent: 0, type: 'u16', at: 28, frameAt: 26,
    column: { name: 'services', type: 'integer' } },
] as const satisfies readonly Field[];

export type FieldName = (typeof FIELDS)[number]['name'];
export type NumberFieldName = Exclude<FieldName, 'status'>;
type Camel<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : Name;
/** `heading_deg` as `headingDeg`: the names of what is to be checked. */
export type InputName = Camel<Exclude<(typeof FIELDS)[number], { kind: 'own' }>['json']>;

/** By name, for those who need one. */
export const FIELD = Object.freeze(
  Object.fromEntries(FIELDS.map((field) => [field.name, field])),
) as Readonly<Record<FieldName, Field>>;

export const inputNameOf = ({ json }: Field): InputName =>
  json.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()) as InputName;

/** The first byte of a body says which. */
export const OLDEST_FORMAT = 2;
export const RECORD_FORMAT = Math.max(...FIELDS.map(({ since }) => since));

/** Bytes of a body of that format. */
export const bodyBytesOf = (format: number): number =>
  Math.max(...FIELDS.filter(({ since }) => since <= format).map(({ at, type }) => at + BYTES[type]));

/** Bytes of the frame of a position with all fields of that format; its first byte is version and type. */
export const frameBytesOf = (format: number): number =>
  Math.max(
    ...(FIELDS as readonly Field[])
      .filter(({ since, frameAt }) => since <= format && frameAt !== undefined)
      .map(({ frameAt = 0, type }) => frameAt + BYTES[type]),
  );

/** Of a value as messages and answers have it, but for null. */
export function jsonSchemaOf(field: Field): Record<string, unknown> {
  if (field.kind === 'status') return { type: 'string', enum: [...STATUSES] };
  const { min, max, below } = field;
  return {
    type: field.scale === 1 && field.kind !== 'measure' ? 'integer' : 'number',
    minimum: min,
    ...(max === undefined ? {} : { maximum: max }),
    ...(below === undefined ? {} : { exclusiveMaximum: below }),
  };
}

/** A report as a JSON message, but for `type`, `checkpoint` and `checkpoint_id`. */
export function reportSchema() {
  const sent = (FIELDS as readonly Field[]).filter(({ kind }) => kind !== 'own');
  const isRequired = ({ kind, absent }: Field) => kind !== 'status' && absent === undefined;
  return {
    type: 'object',
    required: sent.filter(isRequired).map(({ json }) => json),
    properties: Object.fromEntries(sent.map((field) => [field.json, jsonSchemaOf(field)])),
  };
}

/**
 * Compiles a function from text that is generated from the table. It is as fast as one written by hand; a loop over the
 * table takes several times as long. `known`: the names that the text may use.
 */
export function compile<F>(known: Record<string, unknown>, text: string): F {
  return new Function(...Object.keys(known), `'use strict';\nreturn ${text};`)(...Object.values(known)) as F;
}
