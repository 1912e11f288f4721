// Whether a report may follow those that its connection has sent before. Pure.
//
//   seq      time against the newest   verdict
//   grows    later                     new
//   grows    the same or older         stale; a checkpoint is new all the same, as it does not move the position
//   the last one's, and its time too   again: sent once more
//   below      the same or older       stale, as it is out of date whatever it is
//   any other                          seq_must_grow: an answer to that seq would name two reports

export interface SentBefore {
  /** The newest report that was let through; 0 before the first. */
  readonly lastSeq: number;
  readonly lastSeqTimeMs: number;
  readonly newestTimeMs: number;
}

export type OrderVerdict = 'new' | 'again' | 'stale' | 'seq_must_grow';

export function orderOf(before: SentBefore, seq: number, timeMs: number, checkpoint: boolean): OrderVerdict {
  if (seq > before.lastSeq) return checkpoint || timeMs > before.newestTimeMs ? 'new' : 'stale';
  if (seq === before.lastSeq && timeMs === before.lastSeqTimeMs) return 'again';
  return !checkpoint && seq < before.lastSeq && timeMs <= before.newestTimeMs ? 'stale' : 'seq_must_grow';
}
