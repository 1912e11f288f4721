// Density: the more drivers on duty in a geohash cell, the darker it is, with their number.

import type { SupplyAnswer } from './api.js';
import { boundsOf } from './geohash.js';
import { mercatorX, mercatorY, type ScreenView, screenX, screenY } from './mercator.js';
import type { Palette } from './palette.js';

export interface SupplyCell {
  /** World coordinates of Web Mercator, the upper left corner. */
  x: number;
  y: number;
  width: number;
  height: number;
  drivers: number;
  /** Relative to the fullest cell, by the logarithm: a few cells have almost all drivers. */
  share: number;
}

/** Below this size on the screen there is no room for a number. */
const NUMBER_WIDTH_PX = 26;
const NUMBER_HEIGHT_PX = 14;

export function supplyCells(cells: SupplyAnswer['cells']): SupplyCell[] {
  const most = cells.reduce((max, { drivers }) => Math.max(max, drivers), 1);
  return cells.map(({ geohash, drivers }) => {
    const { west, south, east, north } = boundsOf(geohash);
    const [x, y] = [mercatorX(west), mercatorY(Math.min(north, 85.05))];
    const height = mercatorY(Math.max(south, -85.05)) - y;
    const share = Math.log(1 + drivers) / Math.log(1 + most);
    return { x, y, width: mercatorX(east) - x, height, drivers, share };
  });
}

export function paintCells(
  context: CanvasRenderingContext2D,
  view: ScreenView,
  cells: readonly SupplyCell[],
  { density, ink, halo }: Palette,
): void {
  context.font = '12px system-ui, sans-serif';
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  for (const cell of cells) {
    const [width, height] = [cell.width * view.worldPx, cell.height * view.worldPx];
    const left = screenX(view, cell.x + cell.width / 2) - width / 2;
    const top = screenY(view, cell.y);
    context.globalAlpha = 0.25 + 0.5 * cell.share;
    context.fillStyle = density;
    context.fillRect(left + 0.5, top + 0.5, width - 1, height - 1);
    context.globalAlpha = 1;
    if (width < NUMBER_WIDTH_PX || height < NUMBER_HEIGHT_PX) continue;
    const [x, y] = [left + width / 2, top + height / 2];
    context.lineWidth = 3;
    context.strokeStyle = halo;
    context.strokeText(String(cell.drivers), x, y);
    context.fillStyle = ink;
    context.fillText(String(cell.drivers), x, y);
  }
}
