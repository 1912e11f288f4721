// What a stopping flusher leaves in the cache, for its last line.

/** As far as is known. */
export interface LeftOver {
  partitions: number;
  /** At most so many are dirty there, and those that Postgres refused. */
  positions: number;
  checkpoints: number;
  /** Partitions that did not answer: what they hold is not known. */
  dark: number;
}

export const isNothing = ({ partitions, positions, checkpoints, dark }: LeftOver): boolean =>
  partitions + positions + checkpoints + dark === 0;

export class LeftOverError extends Error {
  readonly code = 'not_flushed';
  readonly left: LeftOver;

  constructor(left: LeftOver) {
    const { partitions, positions, checkpoints, dark } = left;
    const unknown = dark === 0 ? '' : `; ${dark} partitions did not answer, what they hold is not known`;
    super(
      `not in Postgres: ${partitions} partitions, about ${positions} positions, ${checkpoints} checkpoints${unknown}. ` +
        'They stay in the cache, and the next flusher writes them',
    );
    this.name = 'LeftOverError';
    this.left = left;
  }
}
