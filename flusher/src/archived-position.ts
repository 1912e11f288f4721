// Converts a row of driver_positions back into a position.

import { DRIVER_ID, type Position, PositionError, validatePosition } from '@whereabouts/infra/position';

const MAX_SESSION = 2 ** 48 - 1;

/** `heading_deg` -> `headingDeg`: a column and the input it came from bear one name. */
const inputName = (column: string) =>
  column.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Throws PositionError for what no driver can have reported, whatever it is: others write to the table too. */
export function archivedPosition(row: Record<string, unknown>): Position {
  const driverId = String(row.driver_id);
  if (!DRIVER_ID.test(driverId)) throw new PositionError('bad_record', `${driverId} is no driver's id`);
  // bigint columns come as text.
  const session = Number(row.session);
  if (!(Number.isInteger(session) && session >= 1 && session <= MAX_SESSION)) {
    throw new PositionError('bad_record', `${row.session} is no session`);
  }
  const given = Object.entries(row).map(([column, value]) => [inputName(column), value] as const);
  // Times come in epoch ms.
  const input = { ...Object.fromEntries(given), seq: Number(row.seq), recordedAtMs: row.recorded_at };
  return validatePosition(input, driverId, session);
}
