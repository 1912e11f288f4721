// The map is cut along the geohash curve into ranges, the partitions. A list of boundaries, strictly increasing,
// says where: partition i is [boundaries[i - 1], boundaries[i]), the first from the start of the curve, the last
// to its end. Every service is given the same file and proves it by its hash.
//
// Partitions stand in their hash slots in the order of the curve, evenly: so a node that owns one stretch of slots
// owns one stretch of the curve, on the ground one region in at most two pieces.
import { createHash } from 'node:crypto';
import { type Bounds, CELL_COUNT, cellFromString, cellOf, cellToString, GeohashError } from './geohash.js';
import { SLOT_COUNT, slotTag } from './hash-slot.js';
import { coverBox, coverCircle } from './partition-cover.js';

const FILE_FORMAT = 1;
const DEFAULT_PARTITIONS = 64;
const CURVE_START = '000000';
const CURVE_END = '~~~~~~'; // no geohash follows zzzzzz; in ASCII this does

export class PartitionMapError extends Error {
  readonly code = 'bad_partition_map';
  override readonly name = 'PartitionMapError';
}

export class PartitionMap {
  readonly hash: string;
  readonly partitions: number;
  readonly boundaries: readonly string[];
  /** The first cell of each partition. */
  readonly #starts: Uint32Array;

  constructor(boundaries: readonly string[]) {
    assertPartitions(boundaries.length + 1);
    this.partitions = boundaries.length + 1;
    this.boundaries = Object.freeze([...boundaries]);
    this.#starts = startsOf(boundaries);
    this.hash = createHash('sha256')
      .update(JSON.stringify(fileOf(this)))
      .digest('hex')
      .slice(0, 16);
  }

  partitionOf(lat: number, lon: number): number {
    return this.#partitionOfCell(cellOf(lat, lon));
  }

  /** Geohashes of six characters, `to` exclusive. */
  range(partition: number): { from: string; to: string } {
    this.#assertPartition(partition);
    return {
      from: this.boundaries[partition - 1] ?? CURVE_START,
      to: this.boundaries[partition] ?? CURVE_END,
    };
  }

  /** The cells of a partition as numbers, `to` exclusive. */
  cellRange(partition: number): { from: number; to: number } {
    this.#assertPartition(partition);
    return { from: this.#starts[partition] as number, to: this.#starts[partition + 1] ?? CELL_COUNT };
  }

  slotOf(partition: number): number {
    this.#assertPartition(partition);
    return Math.floor(((partition + 0.5) * SLOT_COUNT) / this.partitions);
  }

  /** What stands between the braces of the partition's keys. */
  tagOf(partition: number): string {
    return slotTag(this.slotOf(partition));
  }

  /** Every partition that the circle touches, ascending, and perhaps a neighbour that it nearly touches. */
  cover(lat: number, lon: number, radiusM: number): number[] {
    return coverCircle((cell) => this.#partitionOfCell(cell), lat, lon, radiusM);
  }

  /** The same for a box, or for parts of it; `minLon > maxLon` is one across the antimeridian. */
  coverBox(
    minLat: number,
    minLon: number,
    maxLat: number,
    maxLon: number,
    touches?: (bounds: Bounds) => boolean,
  ): number[] {
    return coverBox((cell) => this.#partitionOfCell(cell), minLat, minLon, maxLat, maxLon, touches);
  }

  #partitionOfCell(cell: number): number {
    let low = 0; // starts[low] <= cell, always: the first partition starts at cell 0
    let high = this.partitions;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] as number) <= cell) low = middle;
      else high = middle;
    }
    return low;
  }

  #assertPartition(partition: number): void {
    if (!Number.isInteger(partition) || partition < 0 || partition >= this.partitions) {
      throw new RangeError(`no partition ${partition} among ${this.partitions}`);
    }
  }
}

/**
 * Boundaries at the quantiles of a sample of positions, so that each partition carries about as many drivers.
 *
 * A queue at an airport repeats one cell, which cannot be cut. So a cell counts for at most half of a fair share:
 * then each boundary lies within a quarter share of its quantile, and every partition holds from half to one and a
 * half fair shares of what was counted, never none and never a hair's breadth.
 */
export function buildPartitionMap(
  samples: Iterable<{ lat: number; lon: number }>,
  partitions: number = DEFAULT_PARTITIONS,
): PartitionMap {
  assertPartitions(partitions);
  const weights = new Map<number, number>();
  for (const { lat, lon } of samples) {
    const cell = cellOf(lat, lon);
    weights.set(cell, (weights.get(cell) ?? 0) + 1);
  }
  if (partitions === 1) return new PartitionMap([]);
  if (weights.size < 2 * partitions) {
    throw new PartitionMapError(
      `the sample has ${weights.size} distinct geohash-6 cells, and ${partitions} partitions need at least ` +
        `${2 * partitions}: take a larger sample or fewer partitions`,
    );
  }
  const { cap, unit } = fairCap([...weights.values()], partitions);
  const boundaries: string[] = [];
  let counted = 0;
  let previous = 0;
  for (const [cell, weight] of [...weights].sort(([a], [b]) => a - b)) {
    const counts = Math.min(weight * unit, cap);
    const quantile = (boundaries.length + 1) * 2 * cap;
    if (boundaries.length < partitions - 1 && 2 * counted + counts > 2 * quantile) {
      boundaries.push(cellToString(roundestCell(previous, cell)));
    }
    counted += counts;
    previous = cell;
  }
  return new PartitionMap(boundaries);
}

/** Even cuts of the curve: mostly sea. For tests, and where somebody asks for it. */
export function evenPartitionMap(partitions: number): PartitionMap {
  assertPartitions(partitions);
  const cut = (_: unknown, i: number) => cellToString(Math.floor(((i + 1) * CELL_COUNT) / partitions));
  return new PartitionMap(Array.from({ length: partitions - 1 }, cut));
}

export function parsePartitionMap(json: string): PartitionMap {
  const file = parseObject(json);
  if (file.format !== FILE_FORMAT) {
    throw new PartitionMapError(`"format" must be ${FILE_FORMAT}, not ${JSON.stringify(file.format)}`);
  }
  const { partitions, boundaries } = file;
  if (!Array.isArray(boundaries)) throw new PartitionMapError('"boundaries" must be a list of geohashes');
  if (partitions !== boundaries.length + 1) {
    const needed = `${boundaries.length} boundaries make ${boundaries.length + 1} partitions`;
    throw new PartitionMapError(`"partitions" is ${JSON.stringify(partitions)}, but ${needed}`);
  }
  return new PartitionMap(boundaries);
}

export function formatPartitionMap(map: PartitionMap): string {
  return `${JSON.stringify(fileOf(map), null, 2)}\n`;
}

function fileOf({ partitions, boundaries }: Pick<PartitionMap, 'partitions' | 'boundaries'>) {
  return { format: FILE_FORMAT, partitions, boundaries };
}

function parseObject(json: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new PartitionMapError(`not JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new PartitionMapError('not a JSON object');
  }
  return value as Record<string, unknown>;
}

function startsOf(boundaries: readonly unknown[]): Uint32Array {
  const starts = new Uint32Array(boundaries.length + 1);
  for (const [i, boundary] of boundaries.entries()) {
    const start = parseBoundary(boundary, i);
    if (start <= (starts[i] as number)) {
      const before = i === 0 ? 'the start of the curve' : JSON.stringify(boundaries[i - 1]);
      throw new PartitionMapError(`boundary ${i} ("${boundary}") does not come after ${before}`);
    }
    starts[i + 1] = start;
  }
  return starts;
}

function parseBoundary(boundary: unknown, index: number): number {
  try {
    if (typeof boundary === 'string') return cellFromString(boundary);
  } catch (cause) {
    if (!(cause instanceof GeohashError)) throw cause;
  }
  const found = JSON.stringify(boundary);
  throw new PartitionMapError(`boundary ${index} must be a geohash of 6 characters, not ${found}`);
}

function assertPartitions(partitions: number): void {
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > SLOT_COUNT) {
    throw new PartitionMapError(
      `partitions must be an integer within 1 and ${SLOT_COUNT}, not ${partitions}`,
    );
  }
}

/**
 * Half of a fair share, if no cell counts for more than this cap: sum(min(weight, cap)) = 2 * partitions * cap.
 * With at least 2 * partitions cells such a cap above 0 exists. It is given in parts of a position, `unit` to one, so
 * that all sums are whole numbers: a rounded sum could put two boundaries a single cell apart.
 */
function fairCap(weights: number[], partitions: number): { cap: number; unit: number } {
  const heaviestFirst = Float64Array.from(weights).sort().reverse();
  let uncapped = heaviestFirst.reduce((sum, weight) => sum + weight, 0);
  let unit = 2 * partitions;
  for (const weight of heaviestFirst) {
    if (weight * unit <= uncapped) break;
    uncapped -= weight;
    unit--;
  }
  return { cap: uncapped, unit };
}

/** The border between two cells of the sample may be anywhere up to the second: the coarsest blocks end there. */
function roundestCell(after: number, upTo: number): number {
  let roundest = upTo;
  for (let size = 2; upTo - (upTo % size) > after; size *= 2) roundest = upTo - (upTo % size);
  return roundest;
}
