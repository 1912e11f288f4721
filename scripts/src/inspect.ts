// `npm run inspect [ID]`: everything known of one driver, in the cache and in the archive; without an id, the state of
// each partition.
import { DRIVER_ID } from '@whereabouts/infra/position';
import { type ArchiveView, lookIntoArchive } from './archive-view.js';
import { lookAtPartitions, lookForDriver } from './cache-view.js';
import { command, runMain } from './cli.js';
import { archiveText, cacheText, missingText, partitionsText } from './inspect-text.js';
import { withLogStore } from './live-look.js';
import { runningStack, type Stack } from './stack-file.js';
import { style } from './terminal.js';
import { UsageError } from './usage-error.js';

/** Without Postgres the cache is still shown. */
function archiveOf(url: string, id: string): Promise<ArchiveView | { error: string }> {
  return lookIntoArchive(url, id).catch((error: Error) => ({ error: error.message || error.name }));
}

async function inspectDriver(json: boolean, stack: Stack, id: string): Promise<boolean> {
  const cache = await withLogStore(stack, (store) => lookForDriver(store, id));
  const archive = await archiveOf(stack.postgres.url, id);
  if (json) {
    const { views, session, missing } = cache;
    console.log(
      JSON.stringify({ driver_id: id, cache: views, session, missing_partitions: missing, archive }),
    );
  } else {
    console.log(style('bold', `Driver ${id}`));
    console.log(style('bold', 'in the cache'));
    console.log(cacheText(cache));
    console.log(style('bold', 'in the archive'));
    console.log(archiveText(archive));
  }
  return !('error' in archive) && (cache.views.length > 0 || archive.row !== null);
}

async function inspectPartitions(json: boolean, stack: Stack): Promise<boolean> {
  const { partitions, missing } = await withLogStore(stack, lookAtPartitions);
  if (json) console.log(JSON.stringify({ partitions, missing_partitions: missing }));
  else {
    console.log(partitionsText(partitions));
    if (missing.length > 0) console.log(missingText(missing));
  }
  return missing.length === 0;
}

const program = command('run inspect', {
  about:
    'Shows one driver: partition, node, record, age, whether it is in the archive, its row, its checkpoints. ' +
    'Without an id: of each partition the term and revision, what is in its log and snapshot, and what is flushed.',
  examples: ['sim-1-0', '', 'sim-1-0 --json'],
})
  .argument('[ID]', "a driver's id")
  .action(async (id, { json = false }) => {
    if (id !== undefined && !DRIVER_ID.test(id)) {
      throw new UsageError(`A driver's id is 1 to 64 of A-Za-z0-9_-, got ${id === '' ? 'nothing' : id}`);
    }
    const stack = runningStack();
    const isKnown = id === undefined ? inspectPartitions(json, stack) : inspectDriver(json, stack, id);
    process.exit((await isKnown) ? 0 : 1);
  });

await runMain(program);
