// A position in 28 bytes, little-endian:
//
//   0 u8 version 1, type 1 | 1 u32 seq | 5 u48 recorded_at_ms | 11 i32 latE7 | 15 i32 lonE7 | 19 u16 heading, 0.01 deg
//   21 u16 speed, cm/s | 23 u16 accuracy, dm | 25 u8 status (low 4 bits), flags (bit 4: checkpoint) | 26 u16 services
//
// Type 2 is the same, then u8 length and the checkpoint's id in ASCII. 65535 means "not given".
import { FRAME_TYPES, getU48, head, requireBytes, setU48, typeAt } from './frame-bytes.js';
import {
  CHECKPOINT_ID,
  MAX_SEQ,
  type PositionMessage,
  type PositionReport,
  ProtocolError,
  STATUSES,
} from './protocol.js';

export const POSITION_FRAME_BYTES = 28;
const NONE_U16 = 65535;
const CHECKPOINT_FLAG = 0x10;
const MAX_U48 = 2 ** 48 - 1;

/** DataView would wrap a number that does not fit, and put the position elsewhere in the world. */
function integer(name: string, value: number, min: number, max: number): number {
  const rounded = Math.round(value);
  if (!(rounded >= min && rounded <= max)) throw new RangeError(`${name}: ${value} does not fit a frame`);
  return rounded;
}

const scaled = (value: number | undefined, scale: number): number =>
  value === undefined || !(value >= 0) ? NONE_U16 : Math.min(Math.round(value * scale), NONE_U16 - 1);

const headingCdeg = (degrees: number | undefined): number =>
  degrees === undefined || !Number.isFinite(degrees)
    ? NONE_U16
    : Math.round((((degrees % 360) + 360) % 360) * 100) % 36_000;

export function positionFrameBytes(p: PositionReport): number {
  return p.checkpoint_id === undefined
    ? POSITION_FRAME_BYTES
    : POSITION_FRAME_BYTES + 1 + p.checkpoint_id.length;
}

/** Writes one position and returns its length. */
export function encodePositionInto(view: DataView, at: number, p: PositionReport): number {
  const id = p.checkpoint_id;
  if (id !== undefined && !CHECKPOINT_ID.test(id))
    throw new RangeError('checkpoint_id: 1 to 64 of A-Za-z0-9_-');
  const flags = p.checkpoint === true || id !== undefined ? CHECKPOINT_FLAG : 0;
  view.setUint8(at, head(id === undefined ? FRAME_TYPES.position : FRAME_TYPES.checkpoint));
  view.setUint32(at + 1, integer('seq', p.seq, 1, MAX_SEQ), true);
  setU48(view, at + 5, integer('recorded_at_ms', p.recorded_at_ms, 0, MAX_U48));
  view.setInt32(at + 11, integer('lat', p.lat * 1e7, -90e7, 90e7), true);
  view.setInt32(at + 15, integer('lon', p.lon * 1e7, -180e7, 180e7), true);
  view.setUint16(at + 19, headingCdeg(p.heading_deg), true);
  view.setUint16(at + 21, scaled(p.speed_mps, 100), true);
  view.setUint16(at + 23, scaled(p.accuracy_m, 10), true);
  view.setUint8(at + 25, flags | STATUSES.indexOf(p.status ?? 'available'));
  view.setUint16(at + 26, integer('services', p.services ?? 0, 0, 0xffff), true);
  if (id === undefined) return POSITION_FRAME_BYTES;
  view.setUint8(at + POSITION_FRAME_BYTES, id.length);
  for (let i = 0; i < id.length; i++) view.setUint8(at + POSITION_FRAME_BYTES + 1 + i, id.charCodeAt(i));
  return POSITION_FRAME_BYTES + 1 + id.length;
}

/** Reads the position at `at`; `positionFrameBytes` of the result is how far to the next one. */
export function readPositionFrame(view: DataView, at: number): PositionMessage<PositionReport> {
  const type = typeAt(view, at);
  if (type !== FRAME_TYPES.position && type !== FRAME_TYPES.checkpoint)
    throw new ProtocolError(`frame: type ${type} among positions`);
  requireBytes(view, at, POSITION_FRAME_BYTES);
  const seq = view.getUint32(at + 1, true);
  if (seq === 0) throw new ProtocolError('seq: 0');
  const statusAndFlags = view.getUint8(at + 25);
  const status = STATUSES[statusAndFlags & 15];
  if (status === undefined) throw new ProtocolError(`status: ${statusAndFlags & 15} is not known`, seq);
  const heading = view.getUint16(at + 19, true);
  const speed = view.getUint16(at + 21, true);
  const accuracy = view.getUint16(at + 23, true);
  return {
    type: 'position',
    seq,
    recorded_at_ms: getU48(view, at + 5),
    lat: view.getInt32(at + 11, true) / 1e7,
    lon: view.getInt32(at + 15, true) / 1e7,
    heading_deg: heading === NONE_U16 ? undefined : heading / 100,
    speed_mps: speed === NONE_U16 ? undefined : speed / 100,
    accuracy_m: accuracy === NONE_U16 ? undefined : accuracy / 10,
    status,
    services: view.getUint16(at + 26, true),
    checkpoint: type === FRAME_TYPES.checkpoint || (statusAndFlags & CHECKPOINT_FLAG) !== 0,
    checkpoint_id: type === FRAME_TYPES.checkpoint ? readCheckpointId(view, at, seq) : undefined,
  };
}

function readCheckpointId(view: DataView, at: number, seq: number): string {
  requireBytes(view, at, POSITION_FRAME_BYTES + 1);
  const length = view.getUint8(at + POSITION_FRAME_BYTES);
  requireBytes(view, at, POSITION_FRAME_BYTES + 1 + length);
  let id = '';
  for (let i = 0; i < length; i++)
    id += String.fromCharCode(view.getUint8(at + POSITION_FRAME_BYTES + 1 + i));
  if (!CHECKPOINT_ID.test(id)) throw new ProtocolError('checkpoint_id: 1 to 64 of A-Za-z0-9_-', seq);
  return id;
}
