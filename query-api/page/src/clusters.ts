// Groups drivers that would cover one another on the screen.
//
//  Drivers are put into square bins of the world at this zoom, so a bin holds the same drivers wherever the map is
// moved. Starting with the fullest bin, each bin with enough drivers becomes a cluster and absorbs neighbours that its
// circle would touch.

import type { DriverColumns } from './driver-columns.js';
import { type ScreenView, screenX, screenY } from './mercator.js';

export interface Cluster {
  /** On the screen. */
  x: number;
  y: number;
  radius: number;
  count: number;
}

export interface Clustered {
  clusters: Cluster[];
  /** Drivers that are drawn singly. */
  alone: number[];
}

const BIN_PX = 32;
const CLUSTER_FROM = 4;
/** Half of a driver's symbol. */
const SYMBOL_RADIUS = 8;
/** Closer than this, streets are wide enough for every driver. */
const ALONE_FROM_WORLD_PX = 512 * 2 ** 15.5;
/** Steps of zoom that share the same bins. */
const ZOOM_STEP = 0.5;

interface Bin {
  column: number;
  row: number;
  drivers: number[];
  x: number;
  y: number;
  isTaken: boolean;
}

const radiusOf = (count: number): number => Math.min(26, 8 + 2.6 * Math.log2(count));

export function cluster(view: ScreenView, drivers: DriverColumns, marginPx = 30): Clustered {
  const bins = binsIn(view, drivers, marginPx);
  const clustered: Clustered = { clusters: [], alone: [] };
  const isClose = view.worldPx >= ALONE_FROM_WORLD_PX;
  const fullestFirst = [...bins.values()].sort((a, b) => b.drivers.length - a.drivers.length);
  for (const bin of fullestFirst) {
    if (bin.isTaken) continue;
    if (isClose || bin.drivers.length < CLUSTER_FROM) clustered.alone.push(...bin.drivers);
    else clustered.clusters.push(grown(bin, bins));
  }
  return clustered;
}

/** Including the neighbours that its circle would touch. */
function grown(bin: Bin, bins: Map<number, Bin>): Cluster {
  bin.isTaken = true;
  let { x, y } = bin;
  let count = bin.drivers.length;
  for (let row = bin.row - 1; row <= bin.row + 1; row++) {
    for (let column = bin.column - 1; column <= bin.column + 1; column++) {
      const other = bins.get(keyOf(column, row));
      if (!other || other.isTaken) continue;
      const size = other.drivers.length;
      const reach = radiusOf(count) + (size < CLUSTER_FROM ? SYMBOL_RADIUS : radiusOf(size));
      if (Math.hypot(other.x - x, other.y - y) > reach) continue;
      other.isTaken = true;
      x = (x * count + other.x * size) / (count + size);
      y = (y * count + other.y * size) / (count + size);
      count += size;
    }
  }
  return { x, y, radius: radiusOf(count), count };
}

function binsIn(view: ScreenView, drivers: DriverColumns, marginPx: number): Map<number, Bin> {
  const zoom = Math.round(Math.log2(view.worldPx) / ZOOM_STEP) * ZOOM_STEP;
  const binsAcross = 2 ** zoom / BIN_PX;
  const bins = new Map<number, Bin>();
  for (let i = 0; i < drivers.count; i++) {
    const [worldX, worldY] = [drivers.x[i] as number, drivers.y[i] as number];
    const [x, y] = [screenX(view, worldX), screenY(view, worldY)];
    if (x < -marginPx || y < -marginPx || x > view.width + marginPx || y > view.height + marginPx) continue;
    const [column, row] = [Math.floor(worldX * binsAcross), Math.floor(worldY * binsAcross)];
    const bin = bins.get(keyOf(column, row)) ?? { column, row, drivers: [], x: 0, y: 0, isTaken: false };
    if (bin.drivers.length === 0) bins.set(keyOf(column, row), bin);
    bin.drivers.push(i);
    bin.x += (x - bin.x) / bin.drivers.length;
    bin.y += (y - bin.y) / bin.drivers.length;
  }
  return bins;
}

const keyOf = (column: number, row: number): number => row * 2 ** 24 + column;
