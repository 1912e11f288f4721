// The packed form of a position: what ingest appends, Redis keeps and readers follow.
//
//   record   u8 id length | id | u8 body length | body
//   batch    records, one after the other: one entry of a partition's log
//   body     little-endian: u8 format, then fields at their places (fields.ts)
//   value    body | u48 term | u48 revision: what the snapshot keeps of a driver
//
// Format, session and recorded-at come first in every format, so that code which does not know a format can still order
// its records. From recorded-at to services a body has the layout of a binary position frame. The body of an older format
// is shorter: a field that it lacks counts as not given.
import {
  bodyBytesOf,
  compile,
  FIELD,
  FIELDS,
  type Field,
  type NumberType,
  OLDEST_FORMAT,
  RECORD_FORMAT,
} from './fields.js';
import { type Position, PositionError, STATUSES } from './position.js';

export { RECORD_FORMAT };
export const BODY_BYTES = bodyBytesOf(RECORD_FORMAT);
export const HEAD_BYTES = 13;
export const TAIL_BYTES = 12;
const MAX_ID_BYTES = 64;
/** What 48 bits hold: the id of an entry that somebody else wrote may be larger. */
const MAX_U48 = 2 ** 48 - 1;

/** Places in a body. */
export const AT = Object.freeze({
  format: 0,
  session: FIELD.session.at,
  recordedAt: FIELD.recordedAtMs.at,
  lat: FIELD.latE7.at,
  lon: FIELD.lonE7.at,
  heading: FIELD.headingCdeg.at,
  speed: FIELD.speedCmps.at,
  accuracy: FIELD.accuracyDm.at,
  statusAndFlags: FIELD.status.at,
  services: FIELD.services.at,
  seq: FIELD.seq.at,
});

/** Beside the status, which takes the low four bits. */
export const FLAGS = Object.freeze({ checkpoint: 0x10, archived: 0x20 });
export const STATUS_BITS = 0x0f;

/** Names an entry of a partition's log. Ids order by term, then by revision. */
export interface EntryId {
  term: number;
  revision: number;
}

export const FIRST_ID: Readonly<EntryId> = Object.freeze({ term: 0, revision: 0 });

export function isAfter(a: EntryId, b: EntryId): boolean {
  return a.term === b.term ? a.revision > b.revision : a.term > b.term;
}

export const formatEntryId = ({ term, revision }: EntryId): string => `${term}-${revision}`;

/** Null if the text is not an id. */
export function parseEntryId(text: string): EntryId | null {
  const found = /^(\d{1,16})-(\d{1,16})$/.exec(text);
  return found && { term: Number(found[1]), revision: Number(found[2]) };
}

/** Of a buffer `b`, from `at`. */
const READ: Record<NumberType, (at: string) => string> = {
  u8: (at) => `b[${at}]`,
  u16: (at) => `b.readUInt16LE(${at})`,
  u32: (at) => `b.readUInt32LE(${at})`,
  u48: (at) => `b.readUIntLE(${at}, 6)`,
  i32: (at) => `b.readInt32LE(${at})`,
};
const WRITE: Record<NumberType, (value: string, at: string) => string> = {
  u8: (value, at) => `b.writeUInt8(${value}, ${at})`,
  u16: (value, at) => `b.writeUInt16LE(${value}, ${at})`,
  u32: (value, at) => `b.writeUInt32LE(${value}, ${at})`,
  u48: (value, at) => `b.writeUIntLE(${value}, ${at}, 6)`,
  i32: (value, at) => `b.writeInt32LE(${value}, ${at})`,
};

type Encode = (p: Position, into: Buffer, at: number, archived?: boolean) => void;

/** `archived`: loaded from Postgres. */
export const encodeBody: Encode = compiledEncode();

function compiledEncode(): Encode {
  const flags = `(p.checkpoint ? ${FLAGS.checkpoint} : 0) | (archived ? ${FLAGS.archived} : 0)`;
  const writes = FIELDS.map(({ name, kind, type, at }) => {
    const value = kind === 'status' ? `STATUSES.indexOf(p.status) | ${flags}` : `p.${name}`;
    return WRITE[type](value, `at + ${at}`);
  });
  return compile(
    { STATUSES },
    `(p, b, at, archived = false) => { b[at] = ${RECORD_FORMAT}; ${writes.join('; ')}; }`,
  );
}

/** By format; -1, a length that no body has, for unknown formats. */
const BYTES_OF_FORMAT = Array.from({ length: 256 }, (_, format) =>
  format >= OLDEST_FORMAT && format <= RECORD_FORMAT ? bodyBytesOf(format) : -1,
);

/** Whether `decodeBody` takes it. */
export function isReadable(body: Buffer, at = 0, end = body.length): boolean {
  return (
    end - at === BYTES_OF_FORMAT[body[at] ?? 0] &&
    ((body[at + AT.statusAndFlags] as number) & STATUS_BITS) < STATUSES.length
  );
}

export interface DecodedPosition extends Position {
  /** Loaded from Postgres. */
  archived: boolean;
}

/** Throws PositionError `bad_record`. A checkpoint's id is not in the body: it is kept beside it. */
export function decodeBody(driverId: string, body: Buffer): DecodedPosition {
  if (!isReadable(body)) {
    const what = `${body.length} bytes, format ${body[0]}, status ${body[AT.statusAndFlags]}`;
    throw new PositionError('bad_record', `record of ${driverId} cannot be read: ${what}`);
  }
  return decodeReadable(driverId, body);
}

const decodeReadable = compiledDecode();

function compiledDecode(): (driverId: string, body: Buffer) => DecodedPosition {
  const numbers = (FIELDS as readonly Field[]).map(({ name, kind, type, at, since, absent }) => {
    const read = READ[type](String(at));
    const value = kind === 'status' ? `STATUSES[${read} & ${STATUS_BITS}]` : read;
    return `${name}: ${since > OLDEST_FORMAT ? `b[0] < ${since} ? ${absent} : ${value}` : value}`;
  });
  const flag = (mask: number) => `(b[${AT.statusAndFlags}] & ${mask}) !== 0`;
  const flags = `checkpoint: ${flag(FLAGS.checkpoint)}, checkpointId: null, archived: ${flag(FLAGS.archived)}`;
  return compile({ STATUSES }, `(driverId, b) => ({ driverId, ${numbers.join(', ')}, ${flags} })`);
}

/**
 * Calls `use` with each record: the driver's id, and where its body begins and ends. Skips bodies that are too short to
 * be ordered. Returns whether the batch is well formed and every body was long enough.
 */
export function eachRecord(
  batch: Buffer,
  use: (driverId: string, bodyAt: number, bodyEnd: number) => void,
): boolean {
  let isWhole = true;
  let at = 0;
  while (at < batch.length) {
    const idEnd = at + 1 + (batch[at] as number);
    const bodyLength = batch[idEnd];
    if (bodyLength === undefined || idEnd + 1 + bodyLength > batch.length) return false;
    const bodyAt = idEnd + 1;
    if (bodyLength >= HEAD_BYTES) use(batch.toString('latin1', at + 1, idEnd), bodyAt, bodyAt + bodyLength);
    else isWhole = false;
    at = bodyAt + bodyLength;
  }
  return isWhole;
}

/** Buffer's own readers check their arguments, which takes longer than reading. */
export const readU16 = (b: Buffer, at: number): number => (b[at] as number) | ((b[at + 1] as number) << 8);
export const readI32 = (b: Buffer, at: number): number => readU16(b, at) | (readU16(b, at + 2) << 16);
export const readU48 = (b: Buffer, at: number): number =>
  (readI32(b, at) >>> 0) + readU16(b, at + 4) * 2 ** 32;

/** What the snapshot keeps of a body. */
export function snapshotValueOf(bytes: Buffer, bodyAt: number, bodyEnd: number, id: EntryId): Buffer {
  const bodyBytes = bodyEnd - bodyAt;
  const value = Buffer.allocUnsafe(bodyBytes + TAIL_BYTES);
  bytes.copy(value, 0, bodyAt, bodyEnd);
  value.writeUIntLE(Math.min(id.term, MAX_U48), bodyBytes, 6);
  value.writeUIntLE(Math.min(id.revision, MAX_U48), bodyBytes + 6, 6);
  return value;
}

/** The id in a snapshot's value; null if the value is too short. */
export function splitValue(value: Buffer): { body: Buffer; id: EntryId } | null {
  const bodyEnd = value.length - TAIL_BYTES;
  if (bodyEnd < HEAD_BYTES) return null;
  const id = { term: value.readUIntLE(bodyEnd, 6), revision: value.readUIntLE(bodyEnd + 6, 6) };
  return { body: value.subarray(0, bodyEnd), id };
}

/** One buffer that grows to its largest batch and is then used again and again. */
export class BatchWriter {
  #buffer = Buffer.allocUnsafe(4096);
  #length = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(p: Position, archived = false): void {
    const at = this.#room(p.driverId.length, BODY_BYTES);
    const bodyAt = this.#head(at, p.driverId, BODY_BYTES);
    encodeBody(p, this.#buffer, bodyAt, archived);
  }

  /** A body as it stands in `from`. */
  addBody(driverId: string, from: Uint8Array, bodyAt: number): void {
    const at = this.#room(driverId.length, BODY_BYTES);
    const into = this.#head(at, driverId, BODY_BYTES);
    for (let i = 0; i < BODY_BYTES; i++) this.#buffer[into + i] = from[bodyAt + i] as number;
  }

  /** A copy. */
  bytes(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#length));
  }

  reset(): void {
    this.#length = 0;
    this.#count = 0;
  }

  /** Ids are ASCII, so characters are bytes; a longer one would shift everything behind it. */
  #room(idBytes: number, bodyBytes: number): number {
    if (idBytes < 1 || idBytes > MAX_ID_BYTES) throw new RangeError(`id of ${idBytes} characters`);
    const at = this.#length;
    const end = at + 2 + idBytes + bodyBytes;
    if (end > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(end, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    this.#length = end;
    this.#count++;
    return at;
  }

  #head(at: number, driverId: string, bodyBytes: number): number {
    const idBytes = driverId.length;
    this.#buffer[at] = idBytes;
    this.#buffer.write(driverId, at + 1, 'latin1');
    this.#buffer[at + 1 + idBytes] = bodyBytes;
    return at + 2 + idBytes;
  }
}
