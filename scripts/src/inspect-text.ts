// The output of `npm run inspect` for people.
import { fromE7 } from '@whereabouts/infra/position';
import { type EntryId, formatEntryId } from '@whereabouts/infra/record';
import type { ArchiveView } from './archive-view.js';
import type { CacheView, DriverView, PartitionView } from './cache-view.js';
import { style, tableText } from './terminal.js';

const table = (rows: readonly (readonly [string, unknown])[]) =>
  rows.map(([name, value]) => `  ${name.padEnd(16)}${value}`).join('\n');

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

function driverText(view: DriverView): string {
  const { partition, range, node, place, id, ageMs, position, persisted, refused } = view;
  const isPersisted = persisted ? 'yes, this very position' : refused ? 'no: Postgres refuses it' : 'not yet';
  const known: [string, unknown][] =
    position === null
      ? [['record', 'of a format that is not known here']]
      : [
          ['position', `${fromE7(position.latE7)}, ${fromE7(position.lonE7)}`],
          ['status', `${position.status}, services ${position.services}`],
          ['session, seq', `${position.session}, ${position.seq}`],
          ['recorded at', `${new Date(position.recordedAtMs).toISOString()}, ${seconds(ageMs)} ago`],
          ...(position.archived ? [['source', 'restored from the archive'] as [string, unknown]] : []),
        ];
  return table([
    ['partition', `${partition} (${range.from} to ${range.to})`],
    ['node', node ?? 'unknown'],
    ...known,
    ['entry', `${formatEntryId(id)}, in the ${place}`],
    ['persisted', isPersisted],
    ['checkpoints', `${view.waitingCheckpoints} waiting`],
  ]);
}

export function cacheText({ views, session, missing }: CacheView): string {
  const lines = [views.length === 0 ? '  no record' : views.map(driverText).join('\n\n')];
  if (session !== null)
    lines.push(table([['claimed by', `${session.connectionId}, session ${session.session}`]]));
  if (missing.length > 0) lines.push(missingText(missing));
  return lines.join('\n');
}

export function archiveText(view: ArchiveView | { error: string }): string {
  if ('error' in view) return `  cannot be asked: ${view.error}`;
  const { row, checkpoints, checkpointCount } = view;
  const last = checkpoints.map((c) => `    ${c.recorded_at}  ${c.lat}, ${c.lon}  ${c.checkpoint_id ?? ''}`);
  const position = row === null ? '  no row' : table(Object.entries(row));
  return [position, `  ${checkpointCount} checkpoints`, ...last].join('\n');
}

export const missingText = (missing: readonly number[]): string =>
  style('red', `  partitions that did not answer: ${missing.join(', ')}`);

/** Within the term its revision is enough. */
function idText(id: EntryId, term: number): string {
  if (id.term === 0) return '-';
  return id.term === term ? String(id.revision) : formatEntryId(id);
}

const COLUMNS: readonly [head: string, cell: (view: PartitionView) => string][] = [
  ['partition', ({ partition }) => String(partition)],
  ['node', ({ node }) => node ?? 'unknown'],
  ['term', ({ state }) => String(state.term)],
  ['revision', ({ state }) => String(state.revision)],
  ['log bytes', ({ state }) => String(state.logBytes)],
  ['entries', ({ entries }) => String(entries)],
  ['snapshot', ({ drivers }) => String(drivers)],
  ['compacted', ({ compacted, state }) => idText(compacted, state.term)],
  ['flushed', ({ state }) => idText(state.flushed, state.term)],
  [
    'dirty for',
    ({ state, nowMs }) => (state.dirtySinceMs === null ? '-' : seconds(nowMs - state.dirtySinceMs)),
  ],
  ['checkpoints', ({ checkpointsWaiting }) => String(checkpointsWaiting)],
  ['refused', ({ refused }) => String(refused)],
];

/** Columns that may be left out: term, bytes, compacted, entries, snapshot, revision. */
const SPARE = [2, 4, 7, 5, 6, 3];

export function partitionsText(views: readonly PartitionView[]): string {
  const rows = views.map((view) => COLUMNS.map(([, cell]) => cell(view)));
  const heads = COLUMNS.map(([head]) => head);
  return tableText(heads, rows, { right: heads.map((_, i) => i), spare: SPARE });
}
