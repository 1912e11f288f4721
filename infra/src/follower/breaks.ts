// When a follower cannot continue from its id and has to read the whole partition again.

import type { LogState } from '../live-store/log-state.js';

export const BREAKS = [
  'gap', // entries that it has not seen were compacted
  'incarnation', // the data began from nothing
  'term', // terms came and went unseen, so nobody told how much of the known one was kept
  'owner', // another process writes under a term that is not greater: its ids do not follow the known ones
  'went_back', // the same term has fewer revisions: a tail is lost, and nobody has written since
] as const;
export type Break = (typeof BREAKS)[number];

type Known = Pick<LogState, 'incarnation' | 'owner' | 'term' | 'revision'>;

/** Null: everything new comes after the known id, and `lostAbove` says what is lost. */
export function breakBetween(known: Known, now: Known & Pick<LogState, 'previous'>): Break | null {
  if (now.incarnation !== known.incarnation) return 'incarnation';
  if (now.term === known.term && now.owner === known.owner)
    return now.revision < known.revision ? 'went_back' : null;
  if (now.term <= known.term) return 'owner';
  return now.previous === known.term ? null : 'term';
}
