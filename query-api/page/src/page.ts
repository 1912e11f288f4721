// The page's parts and what passes between them: four polls, the map or the table, the panel, the address.

import { type Api, ApiError } from './api.js';
import type { Cities } from './cities.js';
import { element, setText } from './dom.js';
import { DriverCard } from './driver-card.js';
import { type Layer, showInAddress, type View, viewText } from './fragment.js';
import { gridOf } from './grid.js';
import { LayersPanel } from './layers-panel.js';
import { LiveView } from './live-view.js';
import { Looker } from './looker.js';
import type { LookSeen } from './looks.js';
import { hasWebGl, MapView } from './map-view.js';
import { Messages } from './messages.js';
import { NearestPanel } from './nearest-panel.js';
import { PartitionWatch } from './partition-watch.js';
import { Poll } from './poll.js';
import { listenToSearch } from './search.js';
import type { Point } from './typed-point.js';

export interface PageSettings {
  lossBudgetMs: number;
  mapStyleUrl: string | null;
}

export interface PageParts {
  api: Api;
  settings: PageSettings;
  cities: Cities;
}

const LOOK_EVERY_MS = 1_000;
const PARTITIONS_EVERY_MS = 2_000;
const STREETS_ZOOM = 13;
const CITY_ZOOM = 11;
/** Closer than this, the map says which city it shows. */
const PLACE_FROM_ZOOM = 8;

export class Page {
  readonly #parts: PageParts;
  readonly #messages: Messages;
  readonly #map: MapView | null;
  readonly #layers: LayersPanel;
  readonly #nearest: NearestPanel;
  readonly #card: DriverCard;
  readonly #watch: PartitionWatch;
  readonly #live: LiveView;
  readonly #looker = new Looker();
  readonly #polls: { live: Poll; partitions: Poll; nearest: Poll; card: Poll };
  /** The driver has been asked for, and may be elsewhere. */
  #isGoingToDriver = false;

  constructor(parts: PageParts, view: View) {
    this.#parts = parts;
    const { api, settings, cities } = parts;
    this.#messages = new Messages(api);
    this.#layers = new LayersPanel(view.layers, (layers) => this.#layersChanged(layers));
    this.#map = this.#createMap(view);
    const picked = (driverId: string) => this.#openDriver(driverId);
    this.#nearest = new NearestPanel(api, { picked, changed: () => this.#nearestChanged() });
    this.#card = new DriverCard(api, {
      changed: () => this.#cardChanged(),
      moved: () => this.#driverMoved(),
    });
    this.#watch = new PartitionWatch({
      ...{ api, cities, lossBudgetMs: settings.lossBudgetMs, map: this.#map, layers: this.#layers },
      goTo: (point) => this.#goTo(point, Math.max(PLACE_FROM_ZOOM + 1, this.#map?.zoom ?? 0)),
    });
    this.#live = new LiveView({
      ...{ api, map: this.#map, looker: this.#looker, picked },
      pointAsked: () => this.#nearest.point,
      watched: () => this.#card.driverId,
      wantsDensity: () => this.#layers.shown.includes('density'),
      wantsTrail: () => this.#layers.shown.includes('trail'),
      seen: (seen) => this.#seen(seen),
    });
    this.#polls = this.#startPolls();
    this.#listen();
    this.#begin(view);
  }

  useToken(token: string): void {
    this.#parts.api.useToken(token);
    this.#messages.tokenGiven();
    this.#askNow();
  }

  #createMap({ at, zoom }: View): MapView | null {
    if (!hasWebGl()) return null;
    const start = { at, zoom, styleUrl: this.#parts.settings.mapStyleUrl };
    return new MapView(start, {
      picked: (point) => this.#nearest.ask(point),
      pickedDriver: (driverId) => this.#openDriver(driverId),
      moved: (isByHand) => this.#moved(isByHand),
    });
  }

  #startPolls() {
    const mayAsk = () => !this.#messages.needsToken;
    const failed = (error: unknown) => this.#messages.failed(error);
    // Failures of these two are shown where their results are.
    const toldBeside = (error: unknown) => {
      if (error instanceof ApiError && error.needsToken) failed(error);
    };
    const soon = { everyMs: LOOK_EVERY_MS, mayAsk };
    return {
      live: new Poll({ ...soon, failed, ask: () => this.#live.look() }),
      partitions: new Poll({ everyMs: PARTITIONS_EVERY_MS, mayAsk, failed, ask: () => this.#watch.ask() }),
      nearest: new Poll({ ...soon, failed: toldBeside, ask: () => this.#nearest.askAgain() }),
      card: new Poll({ ...soon, failed: toldBeside, ask: () => this.#card.askAgain() }),
    };
  }

  #askNow(): void {
    for (const poll of Object.values(this.#polls)) poll.now();
  }

  #listen(): void {
    listenToSearch(this.#parts.cities, {
      forget: () => this.#nearest.close(),
      point: (point) => {
        this.#nearest.ask(point);
        this.#goTo(point, Math.max(STREETS_ZOOM, this.#map?.zoom ?? 0));
      },
      city: (point) => this.#goTo(point, CITY_ZOOM),
      driver: (driverId) => this.#openDriver(driverId),
    });
    element('status').addEventListener('change', () => {
      this.#remember();
      this.#polls.nearest.now();
    });
    element('everybody').addEventListener('click', () => {
      this.#live.fit(true);
      this.#card.follow(false);
      this.#polls.live.now();
    });
    element('table-switch').addEventListener('click', () => {
      this.#live.showAsTable(!this.#live.isTable);
      this.#remember();
      this.#polls.live.now();
    });
  }

  /** As given in the address. */
  #begin(view: View): void {
    element<HTMLSelectElement>('status').value = view.status;
    this.#map?.showLayers(view.layers);
    this.#live.fit(view.at === null);
    this.#live.showAsTable(view.isTable);
    if (view.point) this.#nearest.ask(view.point);
    if (view.driver) this.#openDriver(view.driver, view.isFollowing);
    if (view.at) this.#moved(false);
  }

  #goTo(point: Point, zoom: number): void {
    this.#live.fit(false);
    this.#map?.goTo(point, zoom);
    this.#askNow();
  }

  #openDriver(driverId: string, isFollowing = false): void {
    this.#isGoingToDriver = true;
    this.#card.open(driverId, isFollowing);
    this.#askNow();
  }

  #cardChanged(): void {
    this.#map?.paint({ selected: this.#card.shown, ...(this.#card.driverId === null ? { trail: [] } : {}) });
    this.#remember();
  }

  #driverMoved(): void {
    const { driver, isFollowing } = this.#card;
    if (driver === null) return;
    this.#looker.seen({ driverId: driver.driver_id, lat: driver.lat, lon: driver.lon });
    this.#map?.paint({ selected: this.#card.shown });
    const isElsewhere = this.#isGoingToDriver && !this.#map?.isInView(driver);
    this.#isGoingToDriver = false;
    if (isElsewhere) this.#live.fit(false);
    if (isElsewhere) this.#map?.goTo(driver, STREETS_ZOOM + 1);
    else if (isFollowing) this.#map?.goTo(driver);
  }

  #nearestChanged(): void {
    this.#map?.paint({ nearest: this.#nearest.shown });
    this.#remember();
    if (this.#nearest.isAsking) this.#polls.nearest.now();
  }

  #moved(isByHand: boolean): void {
    if (isByHand) {
      this.#live.fit(false);
      if (this.#card.isFollowing) this.#card.follow(false);
    }
    this.#showPlace();
    this.#remember();
    this.#polls.live.now();
  }

  /** What depends on the view: the grid, and which city this is. */
  #showPlace(): void {
    if (!this.#map) return;
    const { zoom, centre } = this.#map;
    const city = zoom < PLACE_FROM_ZOOM ? null : this.#parts.cities.near(centre);
    setText(element('place'), city ? `Near ${city.name}` : '');
    if (!this.#layers.shown.includes('grid')) return;
    const { lines, names } = gridOf(this.#map.box(), zoom);
    this.#map.show('grid', lines);
    this.#map.show('grid-names', names);
  }

  #layersChanged(layers: readonly Layer[]): void {
    this.#map?.showLayers(layers);
    this.#showPlace();
    this.#watch.show();
    this.#remember();
    this.#polls.live.now();
  }

  #seen({ coverage, drivers, truncated }: LookSeen): void {
    this.#messages.answered(coverage);
    this.#watch.totals.inView(drivers, truncated);
  }

  #remember(): void {
    const view: View = {
      at: this.#map && !this.#live.isFitWanted ? this.#map.centre : null,
      zoom: this.#map?.zoom ?? 0,
      layers: this.#layers.shown,
      point: this.#nearest.point,
      status: element<HTMLSelectElement>('status').value === 'busy' ? 'busy' : 'available',
      driver: this.#card.driverId,
      isFollowing: this.#card.isFollowing,
      isTable: this.#live.isTable && this.#map !== null,
    };
    showInAddress(viewText(view));
  }
}
