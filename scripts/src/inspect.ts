// `npm run inspect ID`: all that is known of one driver, in the cache and in the archive.
import type { LiveStore } from '@whereabouts/infra/live-store/live-store';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { DRIVER_ID, fromE7, isNewer } from '@whereabouts/infra/position';
import { type ArchiveView, lookIntoArchive } from './archive-view.js';
import { parseCommand, runMain, style, UsageError } from './cli.js';
import { withLiveStore } from './live-look.js';
import { runningStack } from './stack-file.js';

const COMMAND = {
  name: 'run inspect',
  about:
    'Shows one driver: partition, node, record, age, whether it is in the archive, its row, its checkpoints.',
  positionals: 'ID',
  options: {},
};

const WAITING_LIMIT = 1_000;

type Found = NonNullable<Awaited<ReturnType<LiveStore['get']>>['found'][number]>;

interface CacheView {
  partition: number;
  range: { from: string; to: string };
  node: string | null;
  health: string;
  ageMs: number;
  record: Found;
  waitingCheckpoints: number;
}

/** Every partition is asked: a driver that crossed a border may stand in two for a moment. */
async function lookIntoCache(
  store: LiveStore,
  map: PartitionMap,
  id: string,
): Promise<{ views: CacheView[]; missing: number[] }> {
  const missing: number[] = [];
  const look = async (partition: number): Promise<CacheView | null> => {
    try {
      const { found, health, nowMs } = await store.get(partition, [id]);
      const record = found[0];
      if (!record) return null;
      const { waiting } = await store.waitingCheckpoints(partition, WAITING_LIMIT);
      return {
        partition,
        range: map.range(partition),
        node: store.nodeOf(partition),
        health,
        ageMs: nowMs - record.recordedAtMs,
        record,
        waitingCheckpoints: waiting.filter(({ position }) => position.driverId === id).length,
      };
    } catch {
      missing.push(partition);
      return null;
    }
  };
  const looks = await Promise.all(Array.from({ length: map.partitions }, (_, partition) => look(partition)));
  const views = looks.filter((view): view is CacheView => view !== null);
  views.sort((a, b) => (isNewer(a.record, b.record) ? -1 : 1));
  return { views, missing };
}

const table = (rows: readonly (readonly [string, unknown])[]) =>
  rows.map(([name, value]) => `  ${name.padEnd(16)}${value}`).join('\n');

function cacheText({ partition, range, node, health, ageMs, record, waitingCheckpoints }: CacheView): string {
  const { latE7, lonE7, session, seq, status, services, revision, persisted, quarantined, recordedAtMs } =
    record;
  return table([
    ['partition', `${partition} (${range.from} to ${range.to}), ${health}`],
    ['node', node ?? 'unknown'],
    ['position', `${fromE7(latE7)}, ${fromE7(lonE7)}`],
    ['status', `${status}, services ${services}`],
    ['recorded at', `${new Date(recordedAtMs).toISOString()}, ${(ageMs / 1000).toFixed(1)} s ago`],
    ['session, seq', `${session}, ${seq}`],
    ['revision', revision],
    [
      'persisted',
      persisted ? 'yes, this very position' : quarantined ? 'no: Postgres refuses it' : 'not yet',
    ],
    ['checkpoints', `${waitingCheckpoints} waiting`],
  ]);
}

function archiveText(view: ArchiveView | { error: string }): string {
  if ('error' in view) return `  cannot be asked: ${view.error}`;
  const { row, checkpoints, checkpointCount } = view;
  const last = checkpoints.map((c) => `    ${c.recorded_at}  ${c.lat}, ${c.lon}  ${c.checkpoint_id ?? ''}`);
  const position = row === null ? '  no row' : table(Object.entries(row));
  return [position, `  ${checkpointCount} checkpoints`, ...last].join('\n');
}

/** Postgres away is no reason to say nothing of the cache. */
function archiveOf(url: string, id: string): Promise<ArchiveView | { error: string }> {
  return lookIntoArchive(url, id).catch((error: Error) => ({ error: error.message || error.name }));
}

await runMain(async () => {
  const args = parseCommand(COMMAND);
  const [id, ...more] = args.positionals;
  if (id === undefined || more.length > 0) throw new UsageError('Give one driver: npm run inspect -- ID');
  if (!DRIVER_ID.test(id)) throw new UsageError(`A driver's id is 1 to 64 of A-Za-z0-9_-, not "${id}".`);
  const stack = runningStack();
  const { views, missing } = await withLiveStore(stack, (store, map) => lookIntoCache(store, map, id));
  const archive = await archiveOf(stack.postgres.url, id);
  if (args.has('json')) {
    console.log(JSON.stringify({ driver_id: id, cache: views, missing_partitions: missing, archive }));
  } else {
    console.log(style('bold', `Driver ${id}`));
    console.log(style('bold', 'in the cache'));
    console.log(views.length === 0 ? '  no record' : views.map(cacheText).join('\n\n'));
    if (missing.length > 0) console.log(`  partitions that did not answer: ${missing.join(', ')}`);
    console.log(style('bold', 'in the archive'));
    console.log(archiveText(archive));
  }
  process.exit('error' in archive || (views.length === 0 && archive.row === null) ? 1 : 0);
});
