// Which partition map the stack uses, and whether the cache's content still fits it.
//
//   --map FILE     that file          --replay FILE  quantiles of the trace
//   otherwise      the kept one, else quantiles of the simulated fleet
//
//  Every key's place follows from the map: under another one the cache starts empty (the archive stays).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readStateFile, writeStateFile } from '@whereabouts/infra/local/state-file';
import {
  buildPartitionMap,
  formatPartitionMap,
  type PartitionMap,
  PartitionMapError,
  parsePartitionMap,
} from '@whereabouts/infra/partition-map';
import { CITIES } from '../fleet/cities.js';
import { fleetSample } from '../fleet/simulated-driver.js';
import { mapOfTrace } from '../fleet/trace-map.js';
import { UsageError } from '../usage-error.js';
import type { StackOptions } from './options.js';
import { clusterDir } from './redis-admin.js';

export interface ChosenMap {
  map: PartitionMap;
  file: string;
  /** In words, for the user at the terminal. */
  origin: string;
  /** Further notes for the user. */
  notes: string[];
}

export const keptMapFile = (home: string): string => join(home, 'partition-map.json');
const originFile = (home: string) => join(home, 'partition-map.origin');
const FLEET = "the simulated fleet's density";

function readMap(file: string): PartitionMap {
  try {
    return parsePartitionMap(readFileSync(file, 'utf8'));
  } catch (cause) {
    if (cause instanceof PartitionMapError) throw new UsageError(`${file}: ${cause.message}`, { cause });
    throw cause;
  }
}

type WantedMap = Pick<ChosenMap, 'map' | 'origin'> & { notes?: string[] };

async function wantedMap(options: StackOptions, home: string): Promise<WantedMap> {
  if (options.mapFile !== null) return { map: readMap(options.mapFile), origin: options.mapFile };
  if (options.replayFile !== null) {
    const { map, notes } = await mapOfTrace(options.replayFile);
    return { map, notes, origin: `the density of ${options.replayFile}` };
  }
  const kept = readStateFile(keptMapFile(home));
  const ofFleet = () => buildPartitionMap(fleetSample(CITIES, options.seed));
  if (kept === null) return { map: ofFleet(), origin: FLEET };
  try {
    return { map: parsePartitionMap(kept), origin: readStateFile(originFile(home)) || keptMapFile(home) };
  } catch (cause) {
    if (!(cause instanceof PartitionMapError)) throw cause;
    return { map: mapInPlaceOf(home, ofFleet(), cause), origin: `${FLEET}, as the kept one is damaged` };
  }
}

/** For a damaged map: under another one the cache would have to start empty, and only the user can decide that. */
function mapInPlaceOf(home: string, map: PartitionMap, cause: PartitionMapError): PartitionMap {
  if (!isOfOtherMap(clusterDir(home), map)) return map;
  throw new UsageError(
    `${keptMapFile(home)} is empty or damaged (${cause.message}), and the cache was filled under it. ` +
      'Give that map again with --map FILE, or start empty with --fresh.',
  );
}

/** The map of this and of later starts. */
export function keepPartitionMap(home: string, map: PartitionMap, origin: string): void {
  writeStateFile(keptMapFile(home), formatPartitionMap(map));
  writeStateFile(originFile(home), origin);
}

export async function choosePartitionMap(options: StackOptions, home: string): Promise<ChosenMap> {
  const { map, origin, notes = [] } = await wantedMap(options, home);
  keepPartitionMap(home, map, origin);
  return { map, file: keptMapFile(home), origin, notes };
}

const stampFile = (cacheDir: string) => join(cacheDir, 'partition-map.hash');

/** Records under which map the cache in this folder was filled. */
export function stampCache(cacheDir: string, map: PartitionMap): void {
  writeStateFile(stampFile(cacheDir), map.hash);
}

/** There is a cache, and it was filled under another map. */
export function isOfOtherMap(cacheDir: string, map: PartitionMap): boolean {
  const stamp = readStateFile(stampFile(cacheDir));
  // A damaged record proves nothing; the store itself refuses calls under another map.
  return Boolean(stamp) && stamp !== map.hash;
}
