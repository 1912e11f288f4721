// What the tests of a live store share.
import { pino } from 'pino';
import { type Position, type PositionInput, validatePosition } from '../../position.js';

export const QUIET = pino({ level: process.env.LOG_LEVEL ?? 'silent' });

export function position(driverId: string, input: PositionInput & { session?: number } = {}): Position {
  const { session = 1, ...rest } = input;
  const report = { seq: 1, recordedAtMs: Date.now(), lat: 52.2297, lon: 21.0122, ...rest };
  return validatePosition(report, driverId, session);
}

export async function rejects(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'nothing';
}
