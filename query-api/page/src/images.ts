// The images that the map draws drivers and trouble with, painted once for each palette; the legend shows the same.

import type { Palette } from './palette.js';

/** Those of MapLibre's own layers. */
export const PATTERNS = ['hatched', 'dotted'] as const;
export type ImageName =
  | 'available-arrow'
  | 'available-dot'
  | 'busy-arrow'
  | 'busy-dot'
  | (typeof PATTERNS)[number];

/** Pixels of an image for each of the map's. */
export const IMAGE_RATIO = 2;
export const SYMBOL_SIDE = 22;
const PATTERN_SIDE = 12;

export function imageOf(name: ImageName, palette: Palette): ImageData {
  const side = name === 'hatched' || name === 'dotted' ? PATTERN_SIDE : SYMBOL_SIDE;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = side * IMAGE_RATIO;
  const context = canvas.getContext('2d') as CanvasRenderingContext2D;
  context.scale(IMAGE_RATIO, IMAGE_RATIO);
  paint(context, name, palette);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function paint(context: CanvasRenderingContext2D, name: ImageName, palette: Palette): void {
  if (name === 'hatched') hatch(context, palette);
  else if (name === 'dotted') dots(context, palette);
  else paintDriver(context, name.startsWith('busy'), name.endsWith('arrow'), palette);
}

/** Available drivers are filled, busy ones hollow. North is up. */
function paintDriver(
  context: CanvasRenderingContext2D,
  isBusy: boolean,
  hasHeading: boolean,
  { available, busy, onStatus, halo }: Palette,
): void {
  const middle = SYMBOL_SIDE / 2;
  const shape = new Path2D();
  if (hasHeading) {
    shape.moveTo(middle, 2.5);
    shape.lineTo(middle + 6.5, 18.5);
    shape.lineTo(middle, 15);
    shape.lineTo(middle - 6.5, 18.5);
    shape.closePath();
  } else shape.arc(middle, middle, 5, 0, 2 * Math.PI);
  context.lineJoin = 'round';
  context.strokeStyle = halo;
  context.lineWidth = 4.5;
  context.stroke(shape);
  context.fillStyle = isBusy ? onStatus : available;
  context.fill(shape);
  context.strokeStyle = isBusy ? busy : available;
  context.lineWidth = isBusy ? 2.2 : 1;
  context.stroke(shape);
}

function hatch(context: CanvasRenderingContext2D, { trouble }: Palette): void {
  context.strokeStyle = trouble;
  context.globalAlpha = 0.5;
  context.lineWidth = 1;
  for (const x of [-PATTERN_SIDE, 0, PATTERN_SIDE]) {
    context.beginPath();
    context.moveTo(x, PATTERN_SIDE);
    context.lineTo(x + PATTERN_SIDE, 0);
    context.stroke();
  }
}

function dots(context: CanvasRenderingContext2D, { trouble }: Palette): void {
  context.fillStyle = trouble;
  context.globalAlpha = 0.75;
  context.beginPath();
  context.arc(PATTERN_SIDE / 2, PATTERN_SIDE / 2, 1.3, 0, 2 * Math.PI);
  context.fill();
}

/** For the legend. */
export function sampleOf(name: ImageName, palette: Palette): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = 28 * IMAGE_RATIO;
  canvas.height = 20 * IMAGE_RATIO;
  const context = canvas.getContext('2d') as CanvasRenderingContext2D;
  context.scale(IMAGE_RATIO, IMAGE_RATIO);
  if (name === 'hatched' || name === 'dotted') {
    for (let x = 0; x < 28; x += PATTERN_SIDE) {
      for (let y = 0; y < 20; y += PATTERN_SIDE) {
        context.save();
        context.translate(x, y);
        paint(context, name, palette);
        context.restore();
      }
    }
  } else {
    context.translate((28 - SYMBOL_SIDE) / 2, (20 - SYMBOL_SIDE) / 2);
    paint(context, name, palette);
  }
  return canvas;
}

/** A plain area, for a node. */
export function swatchOf(colour: string): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = 28 * IMAGE_RATIO;
  canvas.height = 20 * IMAGE_RATIO;
  const context = canvas.getContext('2d') as CanvasRenderingContext2D;
  context.globalAlpha = 0.45;
  context.fillStyle = colour;
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}
