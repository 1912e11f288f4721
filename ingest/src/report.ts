// One report between its message and its driver's row: read, checked, and packed as the body of a record
// (infra/src/record.ts).
//
// A message is handled in one go, so one Report object serves all connections of a process: a usual report, binary or
// JSON, goes into its row without an object of its own.
import { MAX_CLOCK_AHEAD_MS, type NackCode, type UncheckedPosition } from '@whereabouts/client/protocol';
import {
  MAX_LAT_E7,
  NONE_U16,
  type Position,
  PositionError,
  STATUSES,
  validatePosition,
} from '@whereabouts/infra/position';
import { AT, BODY_BYTES, encodeBody, RECORD_FORMAT, STATUS_BITS } from '@whereabouts/infra/record';

export interface Fault {
  code: NackCode;
  detail: string;
}

export function isFault(checked: Position | Fault): checked is Fault {
  return 'code' in checked;
}

// A binary frame of one position (position-frame.ts of the client). Behind its seq it is laid out as a body is.
const FRAME_BYTES = 28;
const FRAME_VERSION_AND_TYPE = 0x11;
const FRAME_SEQ_AT = 1;
const FRAME_RECORDED_AT = 5;
const SHARED_BYTES = AT.seq - AT.recordedAt;
const MAX_LON_E7 = 1_800_000_000;
const MAX_HEADING_CDEG = 36_000;

export class Report {
  /** All but the session, which its connection knows. */
  readonly body = Buffer.alloc(BODY_BYTES);
  readonly #view = new DataView(this.body.buffer, this.body.byteOffset, BODY_BYTES);
  seq = 0;
  recordedAtMs = 0;

  constructor() {
    this.body[AT.format] = RECORD_FORMAT;
  }

  get latE7(): number {
    return this.#view.getInt32(AT.lat, true);
  }

  get lonE7(): number {
    return this.#view.getInt32(AT.lon, true);
  }

  /**
   * Takes a binary frame of one ordinary position. False: it is not entirely as usual, and for the general decoder, whose
   * checks name what is wrong.
   */
  readFrame(message: ArrayBuffer): boolean {
    if (message.byteLength !== FRAME_BYTES) return false;
    const frame = new Uint8Array(message);
    if (frame[0] !== FRAME_VERSION_AND_TYPE) return false;
    const body = this.body;
    for (let i = 0; i < SHARED_BYTES; i++) body[AT.recordedAt + i] = frame[FRAME_RECORDED_AT + i] as number;
    for (let i = 0; i < 4; i++) body[AT.seq + i] = frame[FRAME_SEQ_AT + i] as number;
    const view = this.#view;
    this.seq = view.getUint32(AT.seq, true);
    this.recordedAtMs =
      view.getUint32(AT.recordedAt, true) + view.getUint16(AT.recordedAt + 4, true) * 2 ** 32;
    return this.seq !== 0 && this.recordedAtMs !== 0 && this.#isUsual();
  }

  /** Takes a position as its driver's place, whether it is a checkpoint too or not. */
  readPosition(position: Position): void {
    encodeBody(position, this.body, 0);
    this.body[AT.statusAndFlags] = (this.body[AT.statusAndFlags] as number) & STATUS_BITS;
    this.seq = position.seq;
    this.recordedAtMs = position.recordedAtMs;
  }

  #isUsual(): boolean {
    const heading = this.#view.getUint16(AT.heading, true);
    const { latE7, lonE7 } = this;
    return (
      // Above the statuses are flags.
      (this.body[AT.statusAndFlags] as number) < STATUSES.length &&
      latE7 >= -MAX_LAT_E7 &&
      latE7 <= MAX_LAT_E7 &&
      lonE7 >= -MAX_LON_E7 &&
      // The antimeridian has two names in a frame, and one in a record.
      lonE7 < MAX_LON_E7 &&
      (heading < MAX_HEADING_CDEG || heading === NONE_U16)
    );
  }
}

/** A report that came in any other form, held against all that a position must be. */
export function checkReport(report: UncheckedPosition, driverId: string, session: number): Position | Fault {
  try {
    return validatePosition(
      {
        seq: report.seq,
        recordedAtMs: report.recorded_at_ms,
        lat: report.lat,
        lon: report.lon,
        headingDeg: report.heading_deg,
        speedMps: report.speed_mps,
        accuracyM: report.accuracy_m,
        status: report.status,
        services: report.services,
        checkpoint: report.checkpoint,
        checkpointId: report.checkpoint_id,
      },
      driverId,
      session,
    );
  } catch (error) {
    if (!(error instanceof PositionError)) throw error;
    return { code: error.code === 'bad_position' ? 'bad_position' : 'bad_message', detail: error.message };
  }
}

export function checkNotAhead(recordedAtMs: number, storeNowMs: number): Fault | null {
  const aheadMs = Math.ceil(recordedAtMs - storeNowMs);
  if (aheadMs <= MAX_CLOCK_AHEAD_MS) return null;
  const detail = `recorded_at_ms is ${aheadMs} ms ahead of the server's clock, at most ${MAX_CLOCK_AHEAD_MS} are taken`;
  return { code: 'clock_ahead', detail };
}

/** `limitMs`: the freshness limit, or that of checkpoints. */
export function checkAge(recordedAtMs: number, storeNowMs: number, limitMs: number): Fault | null {
  const ageMs = Math.floor(storeNowMs - recordedAtMs);
  if (ageMs <= limitMs) return null;
  return { code: 'too_old', detail: `recorded ${ageMs} ms ago, at most ${limitMs} are taken` };
}
