// Which partitions an area touches. The area's bounding box is laid out in blocks of the finest precision that
// needs no more than MAX_BLOCKS of them. A block is an interval of the curve, so every partition from its first
// to its last cell counts, not the one of its centre. It covers too much rather than too little.
import {
  AXIS_CELLS,
  assertPlace,
  type Bounds,
  blockBounds,
  CELL_COUNT,
  cellAt,
  columnOf,
  distanceToBoundsM,
  rowOf,
} from './geohash.js';
import { distanceM } from './position.js';

const MAX_BLOCKS = 64;
// Positions are rounded to 1e-7 degree (1 cm) and distances to the last bit: a metre is beyond doubt.
const SLACK_M = 1;
const METRES_EACH_DEGREE = distanceM(0, 0, 1, 0); // of latitude
const RADIANS = Math.PI / 180;

type PartitionOfCell = (cell: number) => number;
type Touches = (firstCell: number, size: number) => boolean;

/** Ascending. `partitionOfCell` must never decrease along the curve. */
export function coverCircle(
  partitionOfCell: PartitionOfCell,
  lat: number,
  lon: number,
  radiusM: number,
): number[] {
  assertPlace(lat, lon);
  if (!(radiusM >= 0 && radiusM < Infinity)) throw new RangeError(`radius ${radiusM} m is not a distance`);
  const reachM = radiusM + SLACK_M;
  const reach = reachM / METRES_EACH_DEGREE;
  const south = Math.max(-90, lat - reach);
  const north = Math.min(90, lat + reach);
  let [west, east] = [-180, 180];
  if (south > -90 && north < 90) {
    // Where the circle's tangent is a meridian. It is wider than the angle itself, because meridians converge.
    const spread = Math.asin(Math.sin(reach * RADIANS) / Math.cos(lat * RADIANS)) / RADIANS;
    west = wrapLongitude(lon - spread);
    east = wrapLongitude(lon + spread);
  }
  const touches: Touches = (firstCell, size) =>
    distanceToBoundsM(lat, lon, blockBounds(firstCell, size)) <= reachM;
  return coverGrid(partitionOfCell, gridOf(south, west, north, east), touches);
}

/**
 * Ascending; `minLon > maxLon` is a box across the antimeridian. `touches`: of a part of the box, whether it counts.
 */
export function coverBox(
  partitionOfCell: PartitionOfCell,
  minLat: number,
  minLon: number,
  maxLat: number,
  maxLon: number,
  touches: (bounds: Bounds) => boolean = () => true,
): number[] {
  if (minLat > maxLat) throw new RangeError(`box from latitude ${minLat} down to ${maxLat}`);
  // A position at 180 degrees is stored at -180, in the first column.
  const east = maxLon === 180 && minLon > -180 ? -180 : maxLon;
  return coverGrid(partitionOfCell, gridOf(minLat, minLon, maxLat, east), (firstCell, size) =>
    touches(blockBounds(firstCell, size)),
  );
}

/** Columns count on over the antimeridian: column AXIS_CELLS is column 0 again. */
interface Grid {
  readonly firstColumn: number;
  readonly lastColumn: number;
  readonly firstRow: number;
  readonly lastRow: number;
}

function gridOf(south: number, west: number, north: number, east: number): Grid {
  const firstColumn = columnOf(west);
  const lastColumn = columnOf(east) + (west > east ? AXIS_CELLS : 0);
  return { firstColumn, lastColumn, firstRow: rowOf(south), lastRow: rowOf(north) };
}

function coverGrid(partitionOfCell: PartitionOfCell, grid: Grid, touches: Touches): number[] {
  const { columnSize, rowSize } = blockSize(grid);
  const size = columnSize * rowSize;
  const found = new Set<number>();
  const firstColumn = Math.floor(grid.firstColumn / columnSize);
  // No column twice: a box may go round the world into the column where it began.
  const columns = Math.min(blocks(grid.firstColumn, grid.lastColumn, columnSize), AXIS_CELLS / columnSize);
  for (let row = Math.floor(grid.firstRow / rowSize); row * rowSize <= grid.lastRow; row++) {
    for (let column = firstColumn; column < firstColumn + columns; column++) {
      const firstCell = cellAt((column * columnSize) % AXIS_CELLS, row * rowSize);
      addBlock(found, partitionOfCell, firstCell, size, touches);
    }
  }
  return [...found].sort((a, b) => a - b);
}

// Measuring a distance costs more than looking up partitions, so it is done only where it may add one.
function addBlock(
  found: Set<number>,
  partitionOfCell: PartitionOfCell,
  firstCell: number,
  size: number,
  touches: Touches,
): void {
  const last = partitionOfCell(firstCell + size - 1);
  let partition = partitionOfCell(firstCell);
  while (partition <= last && found.has(partition)) partition++;
  if (partition > last || !touches(firstCell, size)) return;
  for (; partition <= last; partition++) found.add(partition);
}

/** Halves columns and rows in turn, as a geohash does, so that every block is an interval of the curve. */
function blockSize(grid: Grid): { columnSize: number; rowSize: number } {
  for (let bits = 0; ; bits++) {
    const columnSize = 2 ** Math.floor(bits / 2);
    const rowSize = 2 ** Math.ceil(bits / 2);
    const columns = blocks(grid.firstColumn, grid.lastColumn, columnSize);
    if (columns * blocks(grid.firstRow, grid.lastRow, rowSize) <= MAX_BLOCKS || 2 ** bits === CELL_COUNT) {
      return { columnSize, rowSize };
    }
  }
}

function blocks(first: number, last: number, size: number): number {
  return Math.floor(last / size) - Math.floor(first / size) + 1;
}

function wrapLongitude(lon: number): number {
  return lon < -180 ? lon + 360 : lon > 180 ? lon - 360 : lon;
}
