// Reads what is above `flushed` in a partition, page by page: its log up to begin's revision and, if compaction went
// beyond `flushed`, its snapshot.
//
//   log:        ─ compacted ──┬── flushed ──────── begin ─┬── younger: the next pass
//                             └──────── read ─────────────┘
//   gap:        ─ flushed ── compacted ── begin            what lies between the two is in the snapshot alone
//
// What always holds: all pages together have the newest record of each driver that was accepted between `flushed` and
// begin. The log is read first: compaction may move an entry into the snapshot between two pages, never back. All pages
// are of one process and of begin's term; otherwise it throws, and what was read proves nothing.

import type { LogEntry } from '@whereabouts/infra/live-store/log-replies';
import type { LogState, ToldState } from '@whereabouts/infra/live-store/log-state';
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import {
  type EntryId,
  eachRecord,
  FIRST_ID,
  formatEntryId,
  isAfter,
  splitValue,
} from '@whereabouts/infra/record';
import type { UnflushedRecords } from './unflushed-records.js';

/** Of at most 512 records each: 2.5 MB. */
const PAGE_ENTRIES = 64;
const PAGE_VALUES = 1_000;

export interface UnflushedPage {
  records: number;
  /** The drivers or entries of what cannot be read. */
  unreadable: string[];
}

/** Adds the records to `newest`. Rejects with StoreError; begin again on `term_changed` and `place_changed`. */
export async function* readUnflushed(
  store: LogStore,
  began: ToldState,
  newest: UnflushedRecords,
): AsyncGenerator<UnflushedPage> {
  const { partition, flushed } = began;
  const check = sameProcess(began);
  // If nothing counts as flushed, meta may have been lost, and `compacted` with it.
  let hasGap = !isAfter(flushed, FIRST_ID);
  for (let at = flushed, isEnd = false; !isEnd; ) {
    const page = await store.entries(partition, at, PAGE_ENTRIES);
    check(page);
    hasGap ||= isAfter(page.compacted, at);
    const entries = page.entries.filter(({ id }) => !isAfter(id, began));
    yield addEntries(entries, newest);
    isEnd = entries.length < PAGE_ENTRIES;
    at = entries.at(-1)?.id ?? at;
  }
  if (!hasGap) return;
  let cursor: string | null = null;
  let place: string | null = null;
  do {
    const page = await store.snapshot(partition, { cursor, place, pageSize: PAGE_VALUES });
    check(page);
    yield addValues(page.values, flushed, newest);
    ({ cursor, place } = page);
  } while (cursor !== null);
}

/** Of one page after the other. */
function sameProcess(began: ToldState): (page: { state: LogState; place: string }) => void {
  let place: string | null = null;
  return (page) => {
    const { incarnation, term, revision } = page.state;
    if (incarnation !== began.incarnation || term !== began.term || revision < began.revision)
      throw new StoreError('term_changed', `${term}-${revision} after ${formatEntryId(began)}`);
    if (place !== null && place !== page.place)
      throw new StoreError('place_changed', `the log was begun at ${place}, not ${page.place}`);
    place = page.place;
  };
}

function addEntries(entries: readonly LogEntry[], newest: UnflushedRecords): UnflushedPage {
  const unreadable: string[] = [];
  let records = 0;
  for (const { id, batch } of entries) {
    const addsUp = eachRecord(batch, (driverId, from, to) => {
      records++;
      if (!newest.add(driverId, batch, from, to, id)) unreadable.push(driverId);
    });
    if (!addsUp) unreadable.push(`entry ${formatEntryId(id)}`);
  }
  return { records, unreadable };
}

/** Values above `flushed`, also those that came after begin: an older one that counts may have stood there before. */
function addValues(
  values: readonly [string, Buffer][],
  flushed: EntryId,
  newest: UnflushedRecords,
): UnflushedPage {
  const unreadable: string[] = [];
  let records = 0;
  for (const [driverId, value] of values) {
    const split = splitValue(value);
    if (split !== null && !isAfter(split.id, flushed)) continue;
    records++;
    if (split === null || !newest.add(driverId, split.body, 0, split.body.length, split.id))
      unreadable.push(driverId);
  }
  return { records, unreadable };
}
