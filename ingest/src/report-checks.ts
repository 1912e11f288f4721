// What a single report must be, besides in order: readable, on the map, of now. Pure.
import {
  MAX_CHECKPOINT_AGE_MS,
  MAX_CLOCK_AHEAD_MS,
  type NackCode,
  type UncheckedPosition,
} from '@whereabouts/client/protocol';
import { type Position, PositionError, validatePosition } from '@whereabouts/infra/position';

export interface Fault {
  code: NackCode;
  detail: string;
}

export function isFault(checked: Position | Fault): checked is Fault {
  return 'code' in checked;
}

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

export function checkNotAhead(position: Position, storeNowMs: number): Fault | null {
  const aheadMs = Math.ceil(position.recordedAtMs - storeNowMs);
  if (aheadMs <= MAX_CLOCK_AHEAD_MS) return null;
  const detail = `recorded_at_ms is ${aheadMs} ms ahead of the server's clock, at most ${MAX_CLOCK_AHEAD_MS} are taken`;
  return { code: 'clock_ahead', detail };
}

export function checkAge(position: Position, storeNowMs: number, freshnessMs: number): Fault | null {
  const ageMs = Math.floor(storeNowMs - position.recordedAtMs);
  const limitMs = position.checkpoint ? MAX_CHECKPOINT_AGE_MS : freshnessMs;
  if (ageMs <= limitMs) return null;
  return { code: 'too_old', detail: `recorded ${ageMs} ms ago, at most ${limitMs} are taken` };
}
