// `npm run map`: the partition map, built from a trace, shown, or given to the next start.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { partitionMapToGeoJson } from '@whereabouts/infra/partition-geojson';
import {
  formatPartitionMap,
  type PartitionMap,
  PartitionMapError,
  parsePartitionMap,
} from '@whereabouts/infra/partition-map';
import { type Arguments, givenPath, parseCommand, runMain, UsageError } from './cli.js';
import { mapOfTrace } from './fleet/trace-map.js';
import { home } from './home.js';
import { keepHomePrivate } from './private-home.js';
import { keepPartitionMap, keptMapFile } from './stack/partition-map-source.js';
import { isStackRunning } from './stack-file.js';

const COMMAND = {
  name: 'run map',
  about:
    'build FILE.csv   cuts the map so that each partition has about as many positions of the trace\n' +
    'show [FILE]      the partitions of a map, by default of the one that `npm start` uses\n' +
    'load FILE        the next `npm start` uses it, with a cache that begins anew',
  positionals: 'build FILE.csv | show [FILE] | load FILE',
  options: {
    out: { value: 'FILE', about: 'build: where to write the map; else to stdout' },
    partitions: { value: 'N', about: 'build: how many (64, or as many as the trace has places for)' },
    geojson: { about: 'show: as GeoJSON, for example for geojson.io' },
  },
};

function readMap(file: string | undefined): PartitionMap {
  const path = file ?? keptMapFile(home);
  if (!existsSync(path)) {
    throw new UsageError(
      file ? `There is no file ${file}.` : 'No map yet: give a FILE, or run npm start first.',
    );
  }
  return parsePartitionMap(readFileSync(path, 'utf8'));
}

async function build(args: Arguments, file: string | undefined): Promise<void> {
  if (file === undefined) throw new UsageError('Give the trace: npm run map -- build FILE.csv');
  const { map, positions, notes } = await mapOfTrace(file, args.number('partitions', { min: 1, max: 4096 }));
  for (const note of notes) console.error(note);
  const given = args.text('out');
  if (given === undefined) {
    process.stdout.write(formatPartitionMap(map));
    return;
  }
  const out = givenPath(given);
  writeFileSync(out, formatPartitionMap(map));
  const result = { file: out, hash: map.hash, partitions: map.partitions, positions, notes };
  const text = `${out}: ${map.partitions} partitions from ${positions} positions, map ${map.hash}`;
  console.log(args.has('json') ? JSON.stringify(result) : text);
}

function show(args: Arguments, map: PartitionMap): void {
  if (args.has('geojson')) {
    console.log(JSON.stringify(partitionMapToGeoJson(map)));
    return;
  }
  const partitions = Array.from({ length: map.partitions }, (_, partition) => ({
    partition,
    ...map.range(partition),
    slot: map.slotOf(partition),
    tag: map.tagOf(partition),
  }));
  if (args.has('json')) {
    console.log(JSON.stringify({ hash: map.hash, partitions }));
    return;
  }
  console.log(`map ${map.hash}, ${map.partitions} partitions\n`);
  console.log('partition  from    to      slot   tag');
  for (const { partition, from, to, slot, tag } of partitions) {
    console.log(`${String(partition).padStart(9)}  ${from}  ${to}  ${String(slot).padStart(5)}  {${tag}}`);
  }
}

/** Null where there is no map yet, or a damaged one. */
function keptHash(): string | null {
  try {
    return existsSync(keptMapFile(home)) ? readMap(undefined).hash : null;
  } catch (error) {
    if (error instanceof PartitionMapError) return null;
    throw error;
  }
}

function load(args: Arguments, file: string | undefined): void {
  if (file === undefined) throw new UsageError('Give the map: npm run map -- load FILE');
  if (isStackRunning()) throw new UsageError('The stack is running under its map. Stop it first (Ctrl-C).');
  const map = readMap(file);
  const before = keptHash();
  keepHomePrivate(home);
  keepPartitionMap(home, map, file);
  const text =
    before === map.hash
      ? 'It is the map already.'
      : `The next npm start uses map ${map.hash}, with a new cache.`;
  console.log(args.has('json') ? JSON.stringify({ hash: map.hash, replaced: before }) : text);
}

await runMain(async () => {
  const args = parseCommand(COMMAND);
  const [verb, given, ...more] = args.positionals;
  const file = given === undefined ? undefined : givenPath(given);
  if (more.length > 0) throw new UsageError(`"${more[0]}" is not expected. See: npm run map -- --help`);
  try {
    if (verb === 'build') await build(args, file);
    else if (verb === 'show') show(args, readMap(file));
    else if (verb === 'load') load(args, file);
    else throw new UsageError('Give build, show or load. See: npm run map -- --help');
  } catch (error) {
    if (!(error instanceof PartitionMapError)) throw error;
    throw new UsageError(`${file}: ${error.message}`, { cause: error });
  }
});
