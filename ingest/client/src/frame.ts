// The binary form of the protocol (`whereabouts.v1.bin`): fixed little-endian frames, first byte (version << 4) | type.
// position-frame.ts has the positions.
//
//   hello 8:           0 u8 | 1 u48 session | 7 u48 server_time_ms | 13 u32 report_interval_ms | 17 u16 max_reports_per_s
//                      19 u16 burst | 21 u32 max_message_bytes | 25 u16 max_positions | 27 u32 freshness_ms
//                      31 u32 max_clock_ahead_ms | 35 u16 max_waiting_checkpoints | 37 u8 durability
//                      38 u16 checkpoints_per_min | 40 u16 checkpoint_burst (42 bytes; earlier servers end before)
//   ack 9:             0 u8 | 1 u32 seq, and only where it differs from hello's: 5 u8 durability
//   persisted 10:      0 u8 | 1 u32 seq
//   nack 11:           0 u8 | 1 u8 code | 2 u8 flags (bit 0: retryable) | 3 u32 seq (0: none)
//                      7 u32 retry_after_ms (2^32 - 1: none) | 11 u16 length | 13 detail in UTF-8
//   pace 12:           0 u8 | 1 u32 report_interval_ms
//
// A server reads frames to the byte. A client leaves bytes behind the known ones unread: so frames may grow.
import {
  type Bytes,
  bytesOf,
  FRAME_TYPES,
  frame,
  getU48,
  head,
  requireBytes,
  setU48,
  textAt,
  typeAt,
  viewOf,
} from './frame-bytes.js';
import { encodePositionInto, positionFrameBytes, readPositionFrame } from './position-frame.js';
import {
  type AckMessage,
  type ClientMessage,
  DURABILITIES,
  type Durability,
  type HelloMessage,
  MAX_POSITIONS,
  NACK_CODES,
  type NackMessage,
  type PositionReport,
  ProtocolError,
  type ServerMessage,
} from './protocol.js';

export const ACK_FRAME_BYTES = 5;
const LEAST_HELLO_FRAME_BYTES = 38;
const HELLO_FRAME_BYTES = 42;
const NACK_HEAD_BYTES = 13;
const NONE_U32 = 0xffff_ffff;
const RETRYABLE_FLAG = 1;

const utf8Encoder = new TextEncoder();

export function encodeClientMessage(message: ClientMessage<PositionReport>): Uint8Array<ArrayBuffer> {
  if (message.type === 'bye') return bytesOf(frame(FRAME_TYPES.bye, 1));
  if (message.type === 'token') {
    const token = utf8Encoder.encode(message.token);
    const bytes = bytesOf(frame(FRAME_TYPES.token, 1 + token.length));
    bytes.set(token, 1);
    return bytes;
  }
  const positions = message.type === 'position' ? [message] : message.positions;
  const view = new DataView(new ArrayBuffer(positions.reduce((sum, p) => sum + positionFrameBytes(p), 0)));
  let at = 0;
  for (const position of positions) at += encodePositionInto(view, at, position);
  return bytesOf(view);
}

export function decodeClientMessage(bytes: Bytes): ClientMessage<PositionReport> {
  const view = viewOf(bytes);
  const type = typeAt(view, 0);
  if (type === FRAME_TYPES.bye) {
    if (view.byteLength !== 1) throw new ProtocolError('frame: bytes after bye');
    return { type: 'bye' };
  }
  if (type === FRAME_TYPES.token) {
    requireBytes(view, 0, 2);
    return { type: 'token', token: textAt(view, 1, view.byteLength - 1) };
  }
  if (type !== FRAME_TYPES.position && type !== FRAME_TYPES.checkpoint)
    throw new ProtocolError(`frame: type ${type} is not a client's`);
  const first = readPositionFrame(view, 0);
  let at = positionFrameBytes(first);
  if (at === view.byteLength) return first;
  const positions = [first];
  while (at < view.byteLength) {
    if (positions.length === MAX_POSITIONS) throw new ProtocolError(`positions: more than ${MAX_POSITIONS}`);
    const next = readPositionFrame(view, at);
    positions.push(next);
    at += positionFrameBytes(next);
  }
  return { type: 'positions', positions };
}

/** Writes the 5 bytes of an acknowledgement at the start of `into`: one buffer serves every socket. */
export function encodeAckInto(into: Uint8Array, seq: number): void {
  into[0] = head(FRAME_TYPES.ack);
  into[1] = seq & 255;
  into[2] = (seq >>> 8) & 255;
  into[3] = (seq >>> 16) & 255;
  into[4] = seq >>> 24;
}

/** A sixth byte gives the durability if it is less than what hello promised. */
export function encodeAck(seq: number, durability?: Durability): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(durability === undefined ? ACK_FRAME_BYTES : ACK_FRAME_BYTES + 1);
  encodeAckInto(bytes, seq);
  if (durability !== undefined) bytes[ACK_FRAME_BYTES] = DURABILITIES.indexOf(durability);
  return bytes;
}

export function encodeServerMessage(message: ServerMessage): Uint8Array<ArrayBuffer> {
  switch (message.type) {
    case 'hello':
      return encodeHello(message);
    case 'ack':
      return encodeAck(message.seq, message.durability);
    case 'persisted':
      return numberFrame(FRAME_TYPES.persisted, message.seq);
    case 'nack':
      return encodeNack(message);
    case 'pace':
      return numberFrame(FRAME_TYPES.pace, message.report_interval_ms);
  }
}

function numberFrame(type: number, value: number): Uint8Array<ArrayBuffer> {
  const view = frame(type, 5);
  view.setUint32(1, value, true);
  return bytesOf(view);
}

function encodeHello({ session, server_time_ms, limits, durability }: HelloMessage): Uint8Array<ArrayBuffer> {
  const view = frame(FRAME_TYPES.hello, HELLO_FRAME_BYTES);
  setU48(view, 1, session);
  setU48(view, 7, server_time_ms);
  view.setUint32(13, limits.report_interval_ms, true);
  view.setUint16(17, limits.max_reports_per_s, true);
  view.setUint16(19, limits.burst, true);
  view.setUint32(21, limits.max_message_bytes, true);
  view.setUint16(25, limits.max_positions, true);
  view.setUint32(27, limits.freshness_ms, true);
  view.setUint32(31, limits.max_clock_ahead_ms, true);
  view.setUint16(35, limits.max_waiting_checkpoints, true);
  view.setUint8(37, DURABILITIES.indexOf(durability));
  view.setUint16(38, limits.checkpoints_per_min ?? 0, true);
  view.setUint16(40, limits.checkpoint_burst ?? 0, true);
  return bytesOf(view);
}

/** A code that this version does not know is sent as 255. */
function encodeNack(nack: NackMessage): Uint8Array<ArrayBuffer> {
  const detail = utf8Encoder.encode(nack.detail);
  const view = frame(FRAME_TYPES.nack, NACK_HEAD_BYTES + detail.length);
  view.setUint8(1, (NACK_CODES as readonly string[]).indexOf(nack.code) & 255);
  view.setUint8(2, nack.retryable ? RETRYABLE_FLAG : 0);
  view.setUint32(3, nack.seq ?? 0, true);
  view.setUint32(7, nack.retry_after_ms ?? NONE_U32, true);
  view.setUint16(11, detail.length, true);
  const bytes = bytesOf(view);
  bytes.set(detail, NACK_HEAD_BYTES);
  return bytes;
}

export function decodeServerMessage(bytes: Bytes): ServerMessage {
  const view = viewOf(bytes);
  const type = typeAt(view, 0);
  switch (type) {
    case FRAME_TYPES.hello:
      return decodeHello(view);
    case FRAME_TYPES.ack:
      return decodeAck(view);
    case FRAME_TYPES.persisted:
      requireBytes(view, 0, 5);
      return { type: 'persisted', seq: view.getUint32(1, true) };
    case FRAME_TYPES.nack:
      return decodeNack(view);
    case FRAME_TYPES.pace:
      requireBytes(view, 0, 5);
      return { type: 'pace', report_interval_ms: view.getUint32(1, true) };
    default:
      throw new ProtocolError(`frame: type ${type} is not a server's`);
  }
}

function durabilityAt(view: DataView, at: number): Durability {
  const durability = DURABILITIES[view.getUint8(at)];
  if (durability === undefined) throw new ProtocolError(`durability: ${view.getUint8(at)} is not known`);
  return durability;
}

function decodeAck(view: DataView): AckMessage {
  requireBytes(view, 0, ACK_FRAME_BYTES);
  const ack: AckMessage = { type: 'ack', seq: view.getUint32(1, true) };
  if (view.byteLength > ACK_FRAME_BYTES) ack.durability = durabilityAt(view, ACK_FRAME_BYTES);
  return ack;
}

function decodeHello(view: DataView): HelloMessage {
  requireBytes(view, 0, LEAST_HELLO_FRAME_BYTES);
  const isWhole = view.byteLength >= HELLO_FRAME_BYTES;
  return {
    type: 'hello',
    session: getU48(view, 1),
    server_time_ms: getU48(view, 7),
    limits: {
      report_interval_ms: view.getUint32(13, true),
      max_reports_per_s: view.getUint16(17, true),
      burst: view.getUint16(19, true),
      max_message_bytes: view.getUint32(21, true),
      max_positions: view.getUint16(25, true),
      freshness_ms: view.getUint32(27, true),
      max_clock_ahead_ms: view.getUint32(31, true),
      max_waiting_checkpoints: view.getUint16(35, true),
      ...(isWhole
        ? { checkpoints_per_min: view.getUint16(38, true), checkpoint_burst: view.getUint16(40, true) }
        : {}),
    },
    durability: durabilityAt(view, 37),
  };
}

function decodeNack(view: DataView): NackMessage {
  requireBytes(view, 0, NACK_HEAD_BYTES);
  const index = view.getUint8(1);
  const seq = view.getUint32(3, true);
  const retryAfterMs = view.getUint32(7, true);
  const detailBytes = view.getUint16(11, true);
  requireBytes(view, 0, NACK_HEAD_BYTES + detailBytes);
  const nack: NackMessage = {
    type: 'nack',
    seq: seq === 0 ? null : seq,
    code: NACK_CODES[index] ?? `code_${index}`,
    retryable: (view.getUint8(2) & RETRYABLE_FLAG) !== 0,
    detail: textAt(view, NACK_HEAD_BYTES, detailBytes),
  };
  if (retryAfterMs !== NONE_U32) nack.retry_after_ms = retryAfterMs;
  return nack;
}
