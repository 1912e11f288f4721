// The errors of a statement, classified by what to do about them.

import { DatabaseError } from 'pg';

/**
 * refused    Postgres does not take this row as its tables are now: find it, leave it out
 * contended  somebody else holds what it needs: at once again, a few times
 * slow       it did not end in time: fewer rows at once
 * away       anything else (no connection, read-only, no such table, no right, disk full): later again
 */
export type Trouble = 'refused' | 'contended' | 'slow' | 'away';

/**
 * archive_away     nothing can be written now
 * archive_refuses  it refuses so many rows that its tables must be wrong, and not the rows
 */
export type ArchiveErrorCode = 'archive_away' | 'archive_refuses';

const CONTENDED = [
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '55P03', // lock_not_available: our lock_timeout
];
const QUERY_CANCELED = '57014'; // our statement_timeout

export class ArchiveError extends Error {
  readonly code: ArchiveErrorCode;

  constructor(code: ArchiveErrorCode, message: string, options: ErrorOptions) {
    super(message, options);
    this.name = 'ArchiveError';
    this.code = code;
  }
}

export function troubleOf(error: unknown): Trouble {
  const state = error instanceof DatabaseError ? (error.code ?? '') : '';
  // Class 22: the data do not fit the type. Class 23: they do not fit a constraint.
  if (state.startsWith('22') || state.startsWith('23')) return 'refused';
  if (CONTENDED.includes(state)) return 'contended';
  return state === QUERY_CANCELED ? 'slow' : 'away';
}

export function archiveError(cause: unknown): ArchiveError {
  if (cause instanceof ArchiveError) return cause;
  return new ArchiveError('archive_away', `Postgres: ${textOf(cause)}`, { cause });
}

/** `cause`: why one of them was refused. */
export function archiveRefuses(refused: number, rows: number, cause: unknown): ArchiveError {
  const why = cause === null ? '' : `, the last because: ${textOf(cause)}`;
  return new ArchiveError('archive_refuses', `Postgres refuses ${refused} of ${rows} rows${why}`, { cause });
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
