// The packed form of a position: what ingest appends, Redis keeps and readers follow.
//
//   record   u8 id length | id | u8 body length | body
//   batch    records, one after the other: one entry of a partition's log
//   body     little-endian, BODY_BYTES:
//              0 u8  format         13 i32 lat, 1e-7 deg   23 u16 speed, cm/s    28 u16 services
//              1 u48 session        17 i32 lon, 1e-7 deg   25 u16 accuracy, dm   30 u32 seq
//              7 u48 recorded at    21 u16 heading, 0.01°  27 u8  status, flags
//   value    body | u48 term | u48 revision: what the snapshot keeps of a driver
//
// Format, session and recorded-at stand first in every format, so that whoever does not know a format can still order
// its records. From recorded-at to services a body is laid out as a binary position frame is.
import { NONE_U16, type Position, PositionError, STATUSES } from './position.js';

export const RECORD_FORMAT = 2;
export const BODY_BYTES = 34;
export const HEAD_BYTES = 13;
export const TAIL_BYTES = 12;
export const MAX_ID_BYTES = 64;
export const MAX_BODY_BYTES = 255;

/** Places in a body. */
export const AT = Object.freeze({
  format: 0,
  session: 1,
  recordedAt: 7,
  lat: 13,
  lon: 17,
  heading: 21,
  speed: 23,
  accuracy: 25,
  statusAndFlags: 27,
  services: 28,
  seq: 30,
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

/** Null where the text is no id. */
export function parseEntryId(text: string): EntryId | null {
  const found = /^(\d{1,16})-(\d{1,16})$/.exec(text);
  return found && { term: Number(found[1]), revision: Number(found[2]) };
}

/** `archived`: loaded from Postgres. */
export function encodeBody(p: Position, into: Buffer, at: number, archived = false): void {
  into[at] = RECORD_FORMAT;
  into.writeUIntLE(p.session, at + AT.session, 6);
  into.writeUIntLE(p.recordedAtMs, at + AT.recordedAt, 6);
  into.writeInt32LE(p.latE7, at + AT.lat);
  into.writeInt32LE(p.lonE7, at + AT.lon);
  into.writeUInt16LE(p.headingCdeg, at + AT.heading);
  into.writeUInt16LE(p.speedCmps, at + AT.speed);
  into.writeUInt16LE(p.accuracyDm, at + AT.accuracy);
  const flags = (p.checkpoint ? FLAGS.checkpoint : 0) | (archived ? FLAGS.archived : 0);
  into[at + AT.statusAndFlags] = STATUSES.indexOf(p.status) | flags;
  into.writeUInt16LE(p.services, at + AT.services);
  into.writeUInt32LE(p.seq, at + AT.seq);
}

/** Whether `decodeBody` takes it. */
export function isReadable(body: Buffer, at = 0, end = body.length): boolean {
  return (
    end - at === BODY_BYTES &&
    body[at] === RECORD_FORMAT &&
    ((body[at + AT.statusAndFlags] as number) & STATUS_BITS) < STATUSES.length
  );
}

export interface DecodedPosition extends Position {
  /** Loaded from Postgres. */
  archived: boolean;
}

/** Throws PositionError `bad_record`. The checkpoint's id is not in the body: it stands beside it where it waits. */
export function decodeBody(driverId: string, body: Buffer): DecodedPosition {
  if (!isReadable(body)) {
    const what = `${body.length} bytes, format ${body[0]}, status ${body[AT.statusAndFlags]}`;
    throw new PositionError('bad_record', `record of ${driverId} cannot be read: ${what}`);
  }
  const statusAndFlags = body[AT.statusAndFlags] ?? NONE_U16;
  return {
    driverId,
    session: body.readUIntLE(AT.session, 6),
    recordedAtMs: body.readUIntLE(AT.recordedAt, 6),
    latE7: body.readInt32LE(AT.lat),
    lonE7: body.readInt32LE(AT.lon),
    headingCdeg: body.readUInt16LE(AT.heading),
    speedCmps: body.readUInt16LE(AT.speed),
    accuracyDm: body.readUInt16LE(AT.accuracy),
    status: STATUSES[statusAndFlags & STATUS_BITS] as Position['status'],
    services: body.readUInt16LE(AT.services),
    seq: body.readUInt32LE(AT.seq),
    checkpoint: (statusAndFlags & FLAGS.checkpoint) !== 0,
    checkpointId: null,
    archived: (statusAndFlags & FLAGS.archived) !== 0,
  };
}

/**
 * Calls `use` with each record: the driver's id, and where its body begins and ends. Bodies that are too short to be
 * ordered are passed over. Returns whether the batch adds up and every body was long enough.
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

/** Of a snapshot's value; null where it is too short to be one. */
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
