// A partition map from the density of a trace.
import { buildPartitionMap, type PartitionMap, PartitionMapError } from '@whereabouts/infra/partition-map';
import type { CsvPosition } from '@whereabouts/infra/position-csv';
import { withTrace } from './trace-file.js';

const PARTITIONS = 64;
/** One position in this many is enough for the quantiles of a long trace. */
const MAX_SAMPLES = 1_000_000;

export interface TraceMap {
  map: PartitionMap;
  positions: number;
  /** What the user should know: skipped rows, fewer partitions than usual. */
  notes: string[];
}

async function sampleOf(rows: AsyncIterable<CsvPosition>): Promise<CsvPosition[]> {
  const sample: CsvPosition[] = [];
  let every = 1;
  let row = 0;
  for await (const position of rows) {
    if (row++ % every === 0) sample.push(position);
    if (sample.length === MAX_SAMPLES) {
      every *= 2;
      for (let i = 0; i < sample.length / 2; i++) sample[i] = sample[2 * i] as CsvPosition;
      sample.length /= 2;
    }
  }
  return sample;
}

/** Half as many, and again, until each partition has its own cells; one always fits. */
function mapThatFits(sample: readonly CsvPosition[]): PartitionMap {
  for (let partitions = PARTITIONS; ; partitions /= 2) {
    try {
      return buildPartitionMap(sample, partitions);
    } catch (error) {
      if (!(error instanceof PartitionMapError) || partitions === 1) throw error;
    }
  }
}

/** `partitions`: exactly that many. */
export function mapOfTrace(file: string, partitions?: number): Promise<TraceMap> {
  return withTrace(file, async (trace) => {
    const sample = await sampleOf(trace.rows);
    const map = partitions === undefined ? mapThatFits(sample) : buildPartitionMap(sample, partitions);
    const passedOver = trace.passedOverText();
    const notes = passedOver === null ? [] : [`${file}: ${passedOver}`];
    if (partitions === undefined && map.partitions < PARTITIONS) {
      notes.push(
        `${file} has positions in too few places for ${PARTITIONS} partitions: the map has ${map.partitions}.`,
      );
    }
    return { map, positions: sample.length, notes };
  });
}

/** A place and a vehicle of a trace, for example queries. */
export function traceExample(file: string): Promise<{ lat: number; lon: number; driverId: string }> {
  return withTrace(file, async ({ rows }) => {
    for await (const { lat, lon, vehicleId } of rows) return { lat, lon, driverId: vehicleId };
    throw new Error(`${file} has no position`);
  });
}
