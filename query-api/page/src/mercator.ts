// Web Mercator: the world is a square from (0, 0) in the north-west to (1, 1).

/** The part of the world that a screen shows. */
export interface ScreenView {
  /** The world's point in the middle of the screen. */
  x: number;
  y: number;
  /** Pixels of the whole world's width. */
  worldPx: number;
  width: number;
  height: number;
}

export const mercatorX = (lon: number): number => (lon + 180) / 360;

export function mercatorY(lat: number): number {
  return (1 - Math.asinh(Math.tan((lat * Math.PI) / 180)) / Math.PI) / 2;
}

export function lonOf(x: number): number {
  return ((((x * 360) % 360) + 360) % 360) - 180;
}

export function latOf(y: number): number {
  return (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI;
}

/** The world repeats to the east and west: returns the copy that is nearest to the middle. */
export function screenX({ x, worldPx, width }: ScreenView, worldX: number): number {
  const nearest = worldX + Math.round(x - worldX);
  return (nearest - x) * worldPx + width / 2;
}

export function screenY({ y, worldPx, height }: ScreenView, worldY: number): number {
  return (worldY - y) * worldPx + height / 2;
}
