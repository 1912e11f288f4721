// The commonest message, read in place: a binary frame of one ordinary position (its layout: position-frame.ts of the
// client) becomes a Position without anything in between. Whatever is not entirely as usual is left to the general
// decoder and its checks, which name what is wrong.
import { MAX_LAT_E7, NONE_U16, type Position, STATUSES } from '@whereabouts/infra/position';

const POSITION_BYTES = 28;
const VERSION_AND_TYPE = 0x11;
const MAX_LON_E7 = 1_800_000_000;
const MAX_HEADING_CDEG = 36_000;

/** null: to be decoded and checked in general. */
export function readPosition(message: ArrayBuffer, driverId: string, session: number): Position | null {
  if (message.byteLength !== POSITION_BYTES) return null;
  const view = new DataView(message);
  // Above the statuses are flags.
  const status = STATUSES[view.getUint8(25)];
  const seq = view.getUint32(1, true);
  const recordedAtMs = view.getUint32(5, true) + view.getUint16(9, true) * 2 ** 32;
  const latE7 = view.getInt32(11, true);
  const lonE7 = view.getInt32(15, true);
  const heading = view.getUint16(19, true);
  if (view.getUint8(0) !== VERSION_AND_TYPE || status === undefined || seq === 0 || recordedAtMs === 0)
    return null;
  // The antimeridian has two names as a frame, and one as a position.
  if (latE7 < -MAX_LAT_E7 || latE7 > MAX_LAT_E7 || lonE7 < -MAX_LON_E7 || lonE7 >= MAX_LON_E7) return null;
  if (heading >= MAX_HEADING_CDEG && heading !== NONE_U16) return null;
  return {
    driverId,
    session,
    seq,
    recordedAtMs,
    latE7,
    lonE7,
    headingCdeg: heading,
    speedCmps: view.getUint16(21, true),
    accuracyDm: view.getUint16(23, true),
    status,
    services: view.getUint16(26, true),
    checkpoint: false,
    checkpointId: null,
  };
}
