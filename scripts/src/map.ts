// `npm run map`: the partition map, built from a trace, shown, or given to the next start.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { partitionMapToGeoJson } from '@whereabouts/infra/partition-geojson';
import {
  formatPartitionMap,
  type PartitionMap,
  PartitionMapError,
  parsePartitionMap,
} from '@whereabouts/infra/partition-map';
import { command, givenPath, number, runMain, verb } from './cli.js';
import { mapOfTrace } from './fleet/trace-map.js';
import { home } from './home.js';
import { keepHomePrivate } from './private-home.js';
import { createNarrator } from './stack/narrator.js';
import { keepPartitionMap, keptMapFile } from './stack/partition-map-source.js';
import { isStackRunning } from './stack-file.js';
import { tableText } from './terminal.js';
import { UsageError } from './usage-error.js';

const DEFAULT_PARTITIONS = '64, or as many as the trace has places for';

function readMap(file: string | undefined): PartitionMap {
  const path = file ?? keptMapFile(home);
  if (!existsSync(path)) {
    throw new UsageError(
      file ? `There is no file ${file}.` : 'No map yet: give a FILE, or run npm start first.',
    );
  }
  return parsePartitionMap(readFileSync(path, 'utf8'));
}

interface BuildOptions {
  out?: string | undefined;
  partitions?: number | undefined;
  json?: true | undefined;
}

async function build(file: string, { out: given, partitions, json }: BuildOptions): Promise<void> {
  const narrator = createNarrator(json === true, process.stderr);
  if (!json) narrator.say(`Reading ${file} ...`);
  const { map, positions, notes } = await mapOfTrace(file, partitions);
  narrator.settle();
  for (const note of notes) console.error(note);
  if (given === undefined) {
    process.stdout.write(formatPartitionMap(map));
    return;
  }
  const out = givenPath(given);
  writeFileSync(out, formatPartitionMap(map));
  const result = { file: out, hash: map.hash, partitions: map.partitions, positions, notes };
  const text = `${out}: ${map.partitions} partitions from ${positions} positions, map ${map.hash}`;
  console.log(json ? JSON.stringify(result) : text);
}

function show(map: PartitionMap, { geojson, json }: { geojson?: boolean; json?: boolean }): void {
  if (geojson) {
    console.log(JSON.stringify(partitionMapToGeoJson(map)));
    return;
  }
  const partitions = Array.from({ length: map.partitions }, (_, partition) => ({
    partition,
    ...map.range(partition),
    slot: map.slotOf(partition),
    tag: map.tagOf(partition),
  }));
  if (json) {
    console.log(JSON.stringify({ hash: map.hash, partitions }));
    return;
  }
  console.log(`map ${map.hash}, ${map.partitions} partitions\n`);
  const rows = partitions.map(({ partition, from, to, slot, tag }) => [
    partition,
    from,
    to,
    slot,
    `{${tag}}`,
  ]);
  console.log(tableText(['partition', 'from', 'to', 'slot', 'tag'], rows, { right: [0, 3] }));
}

/** Null if there is no map yet, or a damaged one. */
function keptHash(): string | null {
  try {
    return existsSync(keptMapFile(home)) ? readMap(undefined).hash : null;
  } catch (error) {
    if (error instanceof PartitionMapError) return null;
    throw error;
  }
}

function load(file: string, json: boolean | undefined): void {
  if (isStackRunning()) throw new UsageError('The stack is running under its map. Stop it first (Ctrl-C).');
  const map = readMap(file);
  const before = keptHash();
  keepHomePrivate(home);
  keepPartitionMap(home, map, file);
  const text =
    before === map.hash
      ? 'It is the map already.'
      : `The next npm start uses map ${map.hash}, with a new cache.`;
  console.log(json ? JSON.stringify({ hash: map.hash, replaced: before }) : text);
}

/** The user has to repair a damaged map. */
async function naming<T>(file: string | undefined, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PartitionMapError)) throw error;
    throw new UsageError(`${file ?? keptMapFile(home)}: ${error.message}`, { cause: error });
  }
}

const program = command('run map', {
  about: 'The partition map: built from a trace, shown, or given to the next `npm start`.',
  examples: ['show', 'build trace.csv --out warsaw.json', 'load warsaw.json'],
});
const isJson = () => program.opts().json;

verb(program, 'build', {
  about: 'Cuts a map so that each partition has about as many positions of a trace.',
  examples: ['trace.csv --out warsaw.json', 'trace.csv --partitions 256 > warsaw.json'],
})
  .argument('<FILE>', 'the trace: CSV with vehicle_id, unix_ms, lat, lon')
  .option('--out <FILE>', 'where to write the map (default: stdout)')
  .option(
    '--partitions <N>',
    `how many (default: ${DEFAULT_PARTITIONS})`,
    number('--partitions', { min: 1, max: 4096 }),
  )
  .action((file, options) => naming(file, () => build(givenPath(file), { ...options, json: isJson() })));

verb(program, 'show', {
  about: 'Shows the partitions of a map.',
  examples: ['', 'warsaw.json', '--geojson > map.geojson'],
})
  .argument('[FILE]', 'the map; else the one that `npm start` uses')
  .option('--geojson', 'as GeoJSON, for example for geojson.io')
  .action((file, { geojson = false }) =>
    naming(file, () => show(readMap(file && givenPath(file)), { geojson, json: isJson() === true })),
  );

verb(program, 'load', {
  about: 'The next `npm start` uses this map, with an empty cache.',
  examples: ['warsaw.json'],
})
  .argument('<FILE>', 'a map, as `npm run map -- build` writes it')
  .action((file) => naming(file, () => load(givenPath(file), isJson())));

await runMain(program);
