// The packed forms of a position: what ingest sends to Redis and what Redis keeps.
//
// Packed record, little-endian (RECORD_BYTES); ingest sends the body, Redis appends the revision:
//    0 u8  format      13 i32 lat e7      23 u16 speed cm/s     28 u8  flags       35 u64 revision (< 2^53)
//    1 u48 session     17 i32 lon e7      25 u16 accuracy dm    29 u16 services
//    7 u48 recorded at 21 u16 heading c°  27 u8  status         31 u32 seq
// and, where its driver has been recorded in another partition since, 43 u16 that partition.
// Batch (Arena): for each record  u8 id length | id | u8 checkpoint id length, 0 for none | checkpoint id | body | score,
// 16 digits: where it belongs in a geo set, which Redis would otherwise work out of two printed numbers.

import { GEO_SCORE_DIGITS, writeGeoScore } from './geo-score.js';
import { NONE_U16, type Position, PositionError, STATUSES, type StoredPosition } from './position.js';

export const BODY_BYTES = 35;
export const RECORD_BYTES = 43;
const MOVED_TO_BYTES = 2;

const RECORD_FORMAT = 1;
const FLAG_QUARANTINED = 1;
const FLAG_UNLISTED = 2;
const FLAG_ARCHIVED = 4;
const FLAG_CHECKPOINT = 8;
const FLAG_MOVED = 16;
const MAX_ID_LENGTH = 64;

export function encodeBody(p: Position, into: Buffer, at: number): void {
  into[at] = RECORD_FORMAT;
  into.writeUIntLE(p.session, at + 1, 6);
  into.writeUIntLE(p.recordedAtMs, at + 7, 6);
  into.writeInt32LE(p.latE7, at + 13);
  into.writeInt32LE(p.lonE7, at + 17);
  into.writeUInt16LE(p.headingCdeg, at + 21);
  into.writeUInt16LE(p.speedCmps, at + 23);
  into.writeUInt16LE(p.accuracyDm, at + 25);
  into[at + 27] = STATUSES.indexOf(p.status);
  into[at + 28] = p.checkpoint ? FLAG_CHECKPOINT : 0;
  into.writeUInt16LE(p.services, at + 29);
  into.writeUInt32LE(p.seq, at + 31);
}

const isMovedAt = (records: Buffer, at: number): boolean => ((records[at + 28] ?? 0) & FLAG_MOVED) !== 0;

/** Of one among others. */
export const recordBytesAt = (records: Buffer, at: number): number =>
  RECORD_BYTES + (isMovedAt(records, at) ? MOVED_TO_BYTES : 0);

/** The checkpoint's id is not in the record: it stands beside it where it waits. */
export function decodeRecord(driverId: string, record: Buffer): StoredPosition {
  const status = STATUSES[record[27] ?? NONE_U16];
  const isMoved = isMovedAt(record, 0);
  if (record.length !== recordBytesAt(record, 0) || record[0] !== RECORD_FORMAT || status === undefined) {
    const what = `${record.length} bytes, format ${record[0]}, status ${record[27]}`;
    throw new PositionError('bad_record', `record of ${driverId} cannot be read: ${what}`);
  }
  const flags = record.readUInt8(28);
  return {
    driverId,
    session: record.readUIntLE(1, 6),
    recordedAtMs: record.readUIntLE(7, 6),
    latE7: record.readInt32LE(13),
    lonE7: record.readInt32LE(17),
    headingCdeg: record.readUInt16LE(21),
    speedCmps: record.readUInt16LE(23),
    accuracyDm: record.readUInt16LE(25),
    status,
    services: record.readUInt16LE(29),
    seq: record.readUInt32LE(31),
    checkpoint: (flags & FLAG_CHECKPOINT) !== 0,
    checkpointId: null,
    revision: record.readUInt32LE(35) + record.readUInt32LE(39) * 2 ** 32,
    quarantined: (flags & FLAG_QUARANTINED) !== 0,
    unlisted: (flags & FLAG_UNLISTED) !== 0,
    movedTo: isMoved ? record.readUInt16LE(RECORD_BYTES) : null,
    archived: (flags & FLAG_ARCHIVED) !== 0,
  };
}

/** One buffer that grows to its largest batch and is then used again and again. */
export class Arena {
  #buffer = Buffer.allocUnsafe(4096);
  #length = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(p: Position): void {
    const idLength = idBytes(p.driverId);
    const checkpointIdLength = p.checkpointId === null ? 0 : idBytes(p.checkpointId);
    const end = this.#length + 2 + idLength + checkpointIdLength + BODY_BYTES + GEO_SCORE_DIGITS;
    if (end > this.#buffer.length) this.#grow(end);
    const buffer = this.#buffer;
    let at = this.#length;
    buffer[at++] = idLength;
    at += buffer.write(p.driverId, at, 'latin1');
    buffer[at++] = checkpointIdLength;
    if (p.checkpointId !== null) at += buffer.write(p.checkpointId, at, 'latin1');
    encodeBody(p, buffer, at);
    writeGeoScore(p.latE7, p.lonE7, buffer, at + BODY_BYTES);
    this.#length = end;
    this.#count++;
  }

  /** A view, valid until the next `add` or `reset`: whoever sends it later than this turn copies it. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  reset(): void {
    this.#length = 0;
    this.#count = 0;
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

// Ids are ASCII, so characters are bytes; a longer one would shift everything behind it.
function idBytes(id: string): number {
  if (id.length < 1 || id.length > MAX_ID_LENGTH) throw new RangeError(`id of ${id.length} characters`);
  return id.length;
}
