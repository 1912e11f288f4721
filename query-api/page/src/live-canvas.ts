// Everything that changes each second, on a separate canvas over the map: MapLibre would rebuild and upload its tiles
// for every update, which costs several frames. It is repainted whenever the map has moved or has new data.

import type { Cluster, Clustered } from './clusters.js';
import { cluster } from './clusters.js';
import { type DriverColumns, idAt } from './driver-columns.js';
import { IMAGE_RATIO, type ImageName, imageOf, SYMBOL_SIDE } from './images.js';
import { latOf, lonOf, mercatorX, mercatorY, type ScreenView, screenX, screenY } from './mercator.js';
import type { Palette } from './palette.js';
import { paintCells, type SupplyCell } from './supply-cells.js';
import type { Point } from './typed-point.js';

export interface Scene {
  drivers: DriverColumns | null;
  cells: readonly SupplyCell[] | null;
  trail: readonly [lon: number, lat: number][];
  nearest: { point: Point; hits: readonly Point[] } | null;
  selected: (Point & { id: string; image: ImageName; headingDeg: number }) | null;
}

export type Hit = { driverId: string } | { cluster: Point };

const NEAR_PX = 9;
/** A tap is less exact than a pointer's tip. */
const FULL_TURN = 2 * Math.PI;
const TEXT = 'system-ui, sans-serif';

export class LiveCanvas {
  readonly #canvas = document.createElement('canvas');
  readonly #context: CanvasRenderingContext2D;
  readonly #symbols = new Map<ImageName, HTMLCanvasElement>();
  #palette: Palette;
  #view: ScreenView | null = null;
  #scene: Scene | null = null;
  #drawn: Clustered = { clusters: [], alone: [] };

  constructor(container: HTMLElement, palette: Palette) {
    this.#canvas.className = 'live';
    this.#canvas.setAttribute('aria-hidden', 'true');
    container.append(this.#canvas);
    this.#context = this.#canvas.getContext('2d') as CanvasRenderingContext2D;
    this.#palette = palette;
    this.usePalette(palette);
  }

  usePalette(palette: Palette): void {
    this.#palette = palette;
    for (const name of ['available-arrow', 'available-dot', 'busy-arrow', 'busy-dot'] as const) {
      const symbol = document.createElement('canvas');
      symbol.width = symbol.height = SYMBOL_SIDE * IMAGE_RATIO;
      symbol.getContext('2d')?.putImageData(imageOf(name, palette), 0, 0);
      this.#symbols.set(name, symbol);
    }
  }

  paint(view: ScreenView, scene: Scene): void {
    this.#view = view;
    this.#scene = scene;
    this.#fitTo(view);
    const context = this.#context;
    const ratio = devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    this.#drawn = scene.drivers ? cluster(view, scene.drivers) : { clusters: [], alone: [] };
    if (scene.cells) paintCells(context, view, scene.cells, this.#palette);
    this.#paintTrail(view, scene.trail);
    if (scene.drivers) this.#paintDrivers(view, scene.drivers, this.#drawn.alone);
    this.#paintClusters(this.#drawn.clusters);
    if (scene.nearest) this.#paintNearest(view, scene.nearest);
    if (scene.selected) this.#paintSelected(view, scene.selected);
  }

  hit(x: number, y: number): Hit | null {
    const [view, drivers] = [this.#view, this.#scene?.drivers];
    if (!view || !drivers) return null;
    let nearest = -1;
    let nearestPx = NEAR_PX;
    for (const i of this.#drawn.alone) {
      const px = Math.hypot(
        screenX(view, drivers.x[i] as number) - x,
        screenY(view, drivers.y[i] as number) - y,
      );
      if (px < nearestPx) [nearest, nearestPx] = [i, px];
    }
    if (nearest >= 0) return { driverId: idAt(drivers, nearest) };
    const circle = this.#drawn.clusters.find((each) => Math.hypot(each.x - x, each.y - y) <= each.radius);
    if (!circle) return null;
    const lon = lonOf((circle.x - view.width / 2) / view.worldPx + view.x);
    return { cluster: { lat: latOf((circle.y - view.height / 2) / view.worldPx + view.y), lon } };
  }

  #fitTo({ width, height }: ScreenView): void {
    const [wide, high] = [Math.round(width * devicePixelRatio), Math.round(height * devicePixelRatio)];
    if (this.#canvas.width !== wide) this.#canvas.width = wide;
    if (this.#canvas.height !== high) this.#canvas.height = high;
  }

  #paintDrivers(view: ScreenView, { x, y, headingDeg, busy }: DriverColumns, alone: readonly number[]): void {
    for (const i of alone) {
      const heading = headingDeg[i] as number;
      const kind = busy[i] === 1 ? 'busy' : 'available';
      const name = Number.isNaN(heading) ? (`${kind}-dot` as const) : (`${kind}-arrow` as const);
      this.#paintSymbol(name, screenX(view, x[i] as number), screenY(view, y[i] as number), heading || 0);
    }
    const ratio = devicePixelRatio;
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  /** Leaves the context rotated. */
  #paintSymbol(name: ImageName, x: number, y: number, headingDeg: number): void {
    const symbol = this.#symbols.get(name);
    if (!symbol) return;
    const ratio = devicePixelRatio;
    const turn = (headingDeg * Math.PI) / 180;
    const [cos, sin] = [ratio * Math.cos(turn), ratio * Math.sin(turn)];
    this.#context.setTransform(cos, sin, -sin, cos, ratio * x, ratio * y);
    this.#context.drawImage(symbol, -SYMBOL_SIDE / 2, -SYMBOL_SIDE / 2, SYMBOL_SIDE, SYMBOL_SIDE);
  }

  #paintClusters(clusters: readonly Cluster[]): void {
    const context = this.#context;
    context.lineWidth = 1.5;
    context.strokeStyle = this.#palette.halo;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.font = `12px ${TEXT}`;
    for (const { x, y, radius, count } of clusters) {
      context.fillStyle = this.#palette.cluster;
      context.beginPath();
      context.arc(x, y, radius, 0, FULL_TURN);
      context.fill();
      context.stroke();
      context.fillStyle = this.#palette.onCluster;
      context.fillText(count < 10_000 ? String(count) : `${Math.round(count / 1_000)}k`, x, y + 0.5);
    }
  }

  #paintTrail(view: ScreenView, trail: Scene['trail']): void {
    if (trail.length < 2) return;
    const context = this.#context;
    context.beginPath();
    for (const [lon, lat] of trail) {
      context.lineTo(screenX(view, mercatorX(lon)), screenY(view, mercatorY(lat)));
    }
    context.lineWidth = 3;
    context.lineJoin = 'round';
    context.lineCap = 'round';
    context.strokeStyle = this.#palette.accent;
    context.stroke();
  }

  #paintNearest(view: ScreenView, { point, hits }: NonNullable<Scene['nearest']>): void {
    const context = this.#context;
    const { ink, halo } = this.#palette;
    const place = ({ lat, lon }: Point) =>
      [screenX(view, mercatorX(lon)), screenY(view, mercatorY(lat))] as const;
    const [x, y] = place(point);
    context.strokeStyle = ink;
    context.lineWidth = 1.2;
    context.beginPath();
    for (const hit of hits) {
      const [hitX, hitY] = place(hit);
      context.moveTo(x, y);
      context.lineTo(hitX, hitY);
      context.moveTo(hitX + 11, hitY);
      context.arc(hitX, hitY, 11, 0, FULL_TURN);
    }
    context.stroke();
    context.beginPath();
    context.arc(x, y, 7, 0, FULL_TURN);
    context.fillStyle = ink;
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = halo;
    context.stroke();
  }

  #paintSelected(view: ScreenView, selected: NonNullable<Scene['selected']>): void {
    const { lat, lon, id, image, headingDeg } = selected;
    const [x, y] = [screenX(view, mercatorX(lon)), screenY(view, mercatorY(lat))];
    const context = this.#context;
    this.#paintSymbol(image, x, y, headingDeg);
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.strokeStyle = this.#palette.accent;
    context.lineWidth = 3;
    context.beginPath();
    context.arc(x, y, 14, 0, FULL_TURN);
    context.stroke();
    context.font = `600 13px ${TEXT}`;
    context.textAlign = 'center';
    context.textBaseline = 'top';
    context.lineWidth = 4;
    context.strokeStyle = this.#palette.halo;
    context.strokeText(id, x, y + 18);
    context.fillStyle = this.#palette.ink;
    context.fillText(id, x, y + 18);
  }
}
