// Writes many rows in pieces, and reacts to what goes wrong with a piece:
//
//   refused    split it into halves, down to the row, which is left out
//   slow       the same rows, fewer at once; a few more again after each success
//   contended  the same piece again, a few times
//   away       give up with ArchiveError; any piece may have been written. An ArchiveError from below does the same
//
// Bound: 2n - 1 writes for n rows that are all refused, log2(n) more for slow ones, CONTENDED_ATTEMPTS for contention.

import { setTimeout as delay } from 'node:timers/promises';
import { archiveError, troubleOf } from './archive-error.js';

const MIN_SLOW_ROWS = 100;
// Of the limit, for each success: a server that stays slow is not tried with twice as much at once.
const RECOVERY = 0.05;
const CONTENDED_ATTEMPTS = 5;
const CONTENDED_WAIT_MS = 50;

export class Pieces {
  readonly #limit: number;
  #rowsAtOnce: number;

  constructor(limit: number) {
    this.#limit = limit;
    this.#rowsAtOnce = limit;
  }

  /**
   * Writes in order. The last piece is marked as such, and is written even if it is empty. Each gets the rows that were
   * refused before it. Returns all refused rows.
   */
  async write<T>(
    rows: readonly T[],
    writePiece: (piece: readonly T[], isLast: boolean, refused: readonly T[]) => Promise<void>,
  ): Promise<T[]> {
    const refused: T[] = [];
    const stack: (readonly T[])[] = [rows];
    let contended = 0;
    for (let piece = stack.pop(); piece !== undefined; piece = stack.pop()) {
      if (piece.length > this.#rowsAtOnce) {
        stack.push(...split(piece, this.#rowsAtOnce));
        continue;
      }
      const isLast = stack.length === 0;
      try {
        await writePiece(piece, isLast, refused);
        this.#rowsAtOnce = Math.min(this.#limit, this.#rowsAtOnce + Math.ceil(RECOVERY * this.#limit));
      } catch (error) {
        const trouble = troubleOf(error);
        if (trouble === 'contended' && ++contended < CONTENDED_ATTEMPTS) {
          await delay(CONTENDED_WAIT_MS * (0.5 + Math.random()));
          stack.push(piece);
        } else if (trouble === 'slow' && piece.length > MIN_SLOW_ROWS) {
          this.#rowsAtOnce = Math.max(MIN_SLOW_ROWS, Math.ceil(piece.length / 2));
          stack.push(piece);
        } else if (trouble === 'refused' && piece.length > 0) {
          stack.push(...remaining(piece, refused, isLast));
        } else {
          throw archiveError(error);
        }
      }
    }
    return refused;
  }
}

/** What is still to be tried of a piece with a refused row in it; a row by itself is the one. */
function remaining<T>(piece: readonly T[], refused: T[], isLast: boolean): (readonly T[])[] {
  if (piece.length > 1) return split(piece, Math.ceil(piece.length / 2));
  refused.push(...piece);
  return isLast ? [[]] : [];
}

/** As a stack: the first part on top. */
function split<T>(piece: readonly T[], size: number): (readonly T[])[] {
  const parts: (readonly T[])[] = [];
  for (let at = 0; at < piece.length; at += size) parts.push(piece.slice(at, at + size));
  return parts.reverse();
}
