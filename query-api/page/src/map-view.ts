// The map on the screen: MapLibre with our ground and overlay. The data shown is kept here too, as another palette
// starts with another style.

import type { Box } from './api.js';
import type { Layer } from './fragment.js';
import type * as GeoJSON from './geojson.mjs';
import { addPieces } from './ground-pieces.js';
import { ATTRIBUTION, groundStyle } from './ground-style.js';
import { IMAGE_RATIO, imageOf, PATTERNS } from './images.js';
import { LiveCanvas, type Scene } from './live-canvas.js';
import {
  AttributionControl,
  type GeoJSONSource,
  Map as MapLibre,
  type MapMouseEvent,
  NavigationControl,
  ScaleControl,
} from './maplibre-gl.mjs';
import { mercatorX, mercatorY } from './mercator.js';
import { emptySource, isOurs, onMap, overlayOf, SOURCES, type SourceName, SWITCHED } from './overlay.js';
import { paletteNow, whenPaletteChanges } from './palette.js';
import type { Point } from './typed-point.js';

export interface MapEvents {
  picked(point: Point): void;
  pickedDriver(driverId: string): void;
  /** Moved by a person, or by the page; `isByHand` if by a person. */
  moved(isByHand: boolean): void;
}

/** A double click means zoom, not a question. */
const SECOND_CLICK_MS = 250;
const MAX_ZOOM = 19;
const TOLD_APART_ZOOM = 9;
/** A click on a cluster zooms in by this. */
const CLUSTER_ZOOM = 2;
/** MapLibre's world at zoom 0. */
const TILE_PX = 512;

export function hasWebGl(): boolean {
  return document.createElement('canvas').getContext('webgl2') !== null;
}

export class MapView {
  readonly #map: MapLibre;
  readonly #events: MapEvents;
  /** Of the ground; null: our own. */
  #styleUrl: string | null;
  #attribution: AttributionControl;
  /** Layers of the style of others that show names. */
  #namesOfOthers: readonly string[] = [];
  readonly #shown = new Map<SourceName, GeoJSON.FeatureCollection>();
  readonly #live: LiveCanvas;
  #layers: readonly Layer[] = [];
  #isStyled = false;
  #scene: Scene = { drivers: null, cells: null, trail: [], nearest: null, selected: null };
  #isPaintDue = false;

  constructor(start: { at: Point | null; zoom: number; styleUrl: string | null }, events: MapEvents) {
    this.#events = events;
    this.#styleUrl = start.styleUrl;
    this.#map = new MapLibre({
      container: 'map',
      style: this.#style(),
      center: start.at ? [start.at.lon, start.at.lat] : [10, 25],
      zoom: start.at ? start.zoom : 1,
      maxZoom: MAX_ZOOM,
      fadeDuration: 0,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      maxPitch: 0,
      attributionControl: false,
      locale: { 'Map.Title': 'Map of drivers' },
    });
    this.#map.touchZoomRotate.disableRotation();
    this.#map.keyboard.disableRotation();
    this.#attribution = this.#attribute(start.styleUrl === null ? ATTRIBUTION : '');
    this.#map.addControl(new NavigationControl({ showCompass: false }), 'top-left');
    this.#map.addControl(new ScaleControl(), 'bottom-left');
    this.#map.getCanvas().setAttribute('aria-describedby', 'map-help');
    this.#live = new LiveCanvas(this.#map.getCanvasContainer(), paletteNow());
    // In the same frame as the ground, or symbols would trail behind it.
    this.#map.on('render', () => this.#paintNow());
    // For callers that wait until the ground is drawn.
    this.#map.once('idle', () => this.#map.getContainer().setAttribute('data-ground', 'drawn'));
    this.#map.on('style.load', () => this.#addOverlay());
    // With a new context MapLibre loads the whole style again, our layers included.
    this.#map.on('webglcontextlost', () => {
      this.#isStyled = false;
    });
    this.#map.on('error', ({ error }) => {
      console.error(error.message);
      if (!this.#isStyled && this.#styleUrl !== null) this.#useOwnGround();
    });
    this.#watchHands();
    whenPaletteChanges(() => {
      this.#isStyled = false;
      this.#live.usePalette(paletteNow());
      this.#map.setStyle(this.#style(), { diff: false });
    });
  }

  get centre(): Point {
    const { lat, lng } = this.#map.getCenter();
    return { lat, lon: ((((lng + 180) % 360) + 360) % 360) - 180 };
  }

  get zoom(): number {
    return this.#map.getZoom();
  }

  /** The view with a margin around it, so that a small move shows drivers at once. */
  box(margin = 0.15): Box {
    const bounds = this.#map.getBounds();
    const [west, east] = [bounds.getWest(), bounds.getEast()];
    const [south, north] = [bounds.getSouth(), bounds.getNorth()];
    const [x, y] = [(east - west) * margin, (north - south) * margin];
    const latitudes = [Math.max(-90, south - y), Math.min(90, north + y)] as const;
    if (east - west + 2 * x >= 360) return [-180, latitudes[0], 180, latitudes[1]];
    return [wrapped(west - x), latitudes[0], wrapped(east + x), latitudes[1]];
  }

  /** Large enough to be distinguished, and within the view. */
  isInView({ lat, lon }: Point): boolean {
    if (this.zoom < TOLD_APART_ZOOM) return false;
    const bounds = this.#map.getBounds();
    return bounds.contains([lon + 360 * Math.round((this.#map.getCenter().lng - lon) / 360), lat]);
  }

  show(name: SourceName, data: GeoJSON.FeatureCollection): void {
    this.#shown.set(name, data);
    if (this.#isStyled) this.#map.getSource<GeoJSONSource>(onMap(name))?.setData(data);
  }

  showLayers(layers: readonly Layer[]): void {
    this.#layers = layers;
    if (!this.#isStyled) return;
    for (const [layer, ids] of Object.entries(SWITCHED)) {
      const visibility = layers.includes(layer as Layer) ? 'visible' : 'none';
      for (const id of layer === 'names' ? this.#namesOfGround() : ids.map(onMap))
        this.#map.setLayoutProperty(id, 'visibility', visibility);
    }
  }

  /** What changes each second. */
  paint(part: Partial<Scene>): void {
    this.#scene = { ...this.#scene, ...part };
    this.#paintSoon();
  }

  goTo({ lat, lon }: Point, zoom = this.zoom): void {
    this.#map.easeTo({ center: [lon, lat], zoom, duration: motionMs(500) });
  }

  fit([west, south, east, north]: Box): void {
    const bounds: [[number, number], [number, number]] = [
      [west, south],
      [east, north],
    ];
    this.#map.fitBounds(bounds, {
      padding: this.#map.getContainer().clientWidth * 0.1,
      maxZoom: 14,
      duration: motionMs(500),
    });
  }

  #style() {
    return this.#styleUrl ?? groundStyle(paletteNow());
  }

  /** Of our own ground also the towns, which come with its pieces. */
  #namesOfGround(): readonly string[] {
    return this.#styleUrl === null ? this.#symbolLayers() : this.#namesOfOthers;
  }

  /** Of the ground. */
  #symbolLayers(): string[] {
    return this.#map
      .getLayersOrder()
      .filter((id) => !isOurs(id) && this.#map.getLayer(id)?.type === 'symbol');
  }

  /** Without icons alone, and without what its author hides. */
  #showsNames(id: string): boolean {
    const property = (name: 'text-field' | 'visibility') => this.#map.getLayoutProperty(id, name);
    return property('text-field') !== undefined && (property('visibility') ?? 'visible') === 'visible';
  }

  /** Also to a style that is loaded again, and has all of it. */
  #addOverlay(): void {
    const map = this.#map;
    const palette = paletteNow();
    const symbols = this.#symbolLayers();
    if (!map.getSource(onMap('areas'))) this.#namesOfOthers = symbols.filter((id) => this.#showsNames(id));
    for (const name of PATTERNS) {
      if (!map.hasImage(onMap(name)))
        map.addImage(onMap(name), imageOf(name, palette), { pixelRatio: IMAGE_RATIO });
    }
    for (const name of SOURCES) if (!map.getSource(onMap(name))) map.addSource(onMap(name), emptySource());
    const { below, above } = overlayOf(palette);
    const [firstSymbol] = symbols;
    for (const layer of below) if (!map.getLayer(layer.id)) map.addLayer(layer, firstSymbol);
    for (const layer of above) if (!map.getLayer(layer.id)) map.addLayer(layer);
    this.#isStyled = true;
    for (const [name, data] of this.#shown) this.show(name, data);
    this.#showGround();
  }

  #showGround(): void {
    if (!this.#isStyled) return;
    if (this.#styleUrl === null) addPieces(this.#map, this.box());
    this.showLayers(this.#layers);
  }

  /** A style that cannot be loaded never gets our layers, so partitions would be missing too. */
  #useOwnGround(): void {
    this.#styleUrl = null;
    this.#map.removeControl(this.#attribution);
    this.#attribution = this.#attribute(`The style of MAP_STYLE_URL cannot be loaded. ${ATTRIBUTION}`);
    this.#map.setStyle(this.#style(), { diff: false });
  }

  /** MapLibre adds what the sources name. */
  #attribute(customAttribution: string): AttributionControl {
    const control = new AttributionControl({ customAttribution });
    this.#map.addControl(control, 'bottom-right');
    return control;
  }

  #watchHands(): void {
    let first: ReturnType<typeof setTimeout> | undefined;
    this.#map.on('click', (event) => {
      clearTimeout(first);
      if (event.originalEvent.detail > 1) return;
      first = setTimeout(() => this.#clicked(event), SECOND_CLICK_MS);
    });
    this.#map.on('moveend', (event) => {
      this.#showGround();
      this.#events.moved('originalEvent' in event);
    });
    this.#map.on('mousemove', ({ point }) => {
      this.#cursor(this.#live.hit(point.x, point.y) ? 'pointer' : 'crosshair');
    });
    this.#cursor('crosshair');
    this.#map.getCanvas().addEventListener('keydown', (event) => {
      if (event.key === 'Enter') this.#events.picked(this.centre);
    });
  }

  #cursor(name: string): void {
    this.#map.getCanvas().style.cursor = name;
  }

  #clicked({ point, lngLat }: MapMouseEvent): void {
    const hit = this.#live.hit(point.x, point.y);
    if (hit === null) this.#events.picked({ lat: lngLat.lat, lon: wrapped(lngLat.lng) });
    else if ('driverId' in hit) this.#events.pickedDriver(hit.driverId);
    else this.goTo(hit.cluster, Math.min(MAX_ZOOM, this.zoom + CLUSTER_ZOOM));
  }

  /** Paints with the next frame, however much has changed. */
  #paintSoon(): void {
    if (this.#isPaintDue) return;
    this.#isPaintDue = true;
    requestAnimationFrame(() => this.#paintNow());
  }

  #paintNow(): void {
    this.#isPaintDue = false;
    const { lat, lng } = this.#map.getCenter();
    const { clientWidth: width, clientHeight: height } = this.#map.getContainer();
    const worldPx = TILE_PX * 2 ** this.zoom;
    this.#live.paint({ x: mercatorX(lng), y: mercatorY(lat), worldPx, width, height }, this.#scene);
  }
}

function wrapped(lon: number): number {
  return ((((lon + 180) % 360) + 360) % 360) - 180;
}

function motionMs(ms: number): number {
  return matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : ms;
}
