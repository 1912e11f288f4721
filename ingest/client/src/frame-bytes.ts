// What all frames of `whereabouts.v1.bin` share: the first byte, little-endian numbers of 48 bits, text.
import { ProtocolError } from './protocol.js';

const FRAME_VERSION = 1;
export const FRAME_TYPES = Object.freeze({
  position: 1,
  checkpoint: 2,
  bye: 3,
  token: 4,
  hello: 8,
  ack: 9,
  persisted: 10,
  nack: 11,
  pace: 12,
} as const);

const utf8Decoder = new TextDecoder('utf-8', { fatal: true });

export type Bytes = ArrayBuffer | ArrayBufferView;

export function viewOf(bytes: Bytes): DataView {
  if (bytes instanceof DataView) return bytes;
  if (ArrayBuffer.isView(bytes)) return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new DataView(bytes);
}

export const head = (type: number): number => (FRAME_VERSION << 4) | type;

export function frame(type: number, byteLength: number): DataView {
  const view = new DataView(new ArrayBuffer(byteLength));
  view.setUint8(0, head(type));
  return view;
}

export const bytesOf = (view: DataView): Uint8Array<ArrayBuffer> =>
  new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);

export function typeAt(view: DataView, at: number): number {
  if (at >= view.byteLength) throw new ProtocolError('frame: empty');
  const first = view.getUint8(at);
  if (first >> 4 !== FRAME_VERSION) throw new ProtocolError(`frame: version ${first >> 4} is not known`);
  return first & 15;
}

export function requireBytes(view: DataView, at: number, byteLength: number): void {
  if (at + byteLength > view.byteLength)
    throw new ProtocolError(`frame: truncated, ${byteLength} bytes expected, ${view.byteLength - at} came`);
}

export const getU48 = (view: DataView, at: number): number =>
  view.getUint32(at, true) + view.getUint16(at + 4, true) * 2 ** 32;

export function setU48(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint16(at + 4, Math.floor(value / 2 ** 32), true);
}

export function textAt(view: DataView, at: number, byteLength: number): string {
  try {
    return utf8Decoder.decode(new Uint8Array(view.buffer, view.byteOffset + at, byteLength));
  } catch (cause) {
    throw new ProtocolError('frame: not UTF-8', null, { cause });
  }
}
