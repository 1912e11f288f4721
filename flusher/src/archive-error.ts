// What can be wrong with a statement, by what there is to do about it.

import { DatabaseError } from 'pg';

/**
 * refused    Postgres will never take this row: find it, leave it out
 * contended  somebody else holds what it needs: at once again, a few times
 * slow       it did not end in time: fewer rows at once
 * away       anything else (no connection, shutting down, disk full, no such table): later again
 */
export type Trouble = 'refused' | 'contended' | 'slow' | 'away';

const CONTENDED = [
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '55P03', // lock_not_available: our lock_timeout
];
const QUERY_CANCELED = '57014'; // our statement_timeout

export class ArchiveError extends Error {
  readonly code = 'archive_away';

  constructor(message: string, options: ErrorOptions) {
    super(message, options);
    this.name = 'ArchiveError';
  }
}

/** An error of Postgres itself, not of the way there: the connection goes on. */
export function isOfPostgres(error: unknown): error is DatabaseError {
  return error instanceof DatabaseError;
}

export function troubleOf(error: unknown): Trouble {
  const state = isOfPostgres(error) ? (error.code ?? '') : '';
  // Class 22: the data do not fit the type. Class 23: they do not fit a constraint.
  if (state.startsWith('22') || state.startsWith('23')) return 'refused';
  if (CONTENDED.includes(state)) return 'contended';
  return state === QUERY_CANCELED ? 'slow' : 'away';
}

export function archiveError(cause: unknown): ArchiveError {
  const text = cause instanceof Error ? cause.message || cause.name : String(cause);
  return new ArchiveError(`Postgres: ${text}`, { cause });
}
