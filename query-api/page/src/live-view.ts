// The drivers in view: polled by the worker, shown as drivers, as counts for cells, or as a table.

import type { Api, Box } from './api.js';
import { element, setText } from './dom.js';
import type { Looker } from './looker.js';
import type { LookSeen } from './looks.js';
import type { MapView } from './map-view.js';
import { DRIVERS_AT_MOST, supplyPrecision, WideView } from './supply.js';
import { ROWS_AT_MOST, showTable } from './table-view.js';
import type { Point } from './typed-point.js';
import { count } from './units.js';

export interface LiveViewParts {
  api: Api;
  map: MapView | null;
  looker: Looker;
  /** Where the table looks if there is no map. */
  pointAsked(): Point | null;
  watched(): string | null;
  wantsDensity(): boolean;
  wantsTrail(): boolean;
  seen(seen: LookSeen): void;
  picked(driverId: string): void;
}

const WORLD: Box = [-180, -85, 180, 85];
/** Around a point, if there is no map that gives the view. */
const TABLE_DEGREES = 0.1;

export class LiveView {
  readonly #parts: LiveViewParts;
  readonly #wide = new WideView();
  #isTable = false;
  /** Until a driver is seen, if the map was given no place to show. */
  #isFitWanted = false;

  constructor(parts: LiveViewParts) {
    this.#parts = parts;
  }

  get isTable(): boolean {
    return this.#isTable;
  }

  get isFitWanted(): boolean {
    return this.#isFitWanted;
  }

  fit(wanted: boolean): void {
    this.#isFitWanted = wanted;
  }

  showAsTable(wanted: boolean): void {
    const { map } = this.#parts;
    this.#isTable = wanted || map === null;
    // The map keeps its place below the table, as it defines what is in view.
    element('map').inert = this.#isTable;
    for (const id of ['place', 'map-note']) element(id).hidden = this.#isTable;
    element('table-view').hidden = !this.#isTable;
    element('table-switch').setAttribute('aria-pressed', String(this.#isTable));
    element('table-switch').hidden = map === null;
  }

  /** For the poll. */
  async look(): Promise<void> {
    const { api, map, looker, seen } = this.#parts;
    const zoom = map?.zoom ?? 0;
    const wantsCells = this.#wide.isWide(zoom) || this.#parts.wantsDensity();
    const isWide = wantsCells && !this.#isTable && !this.#isFitWanted;
    const answer = await looker.look({
      token: api.token,
      box: this.#box(),
      limit: DRIVERS_AT_MOST,
      precision: isWide ? supplyPrecision(zoom) : null,
      watched: this.#parts.watched(),
      rows: this.#isTable ? ROWS_AT_MOST : 0,
    });
    if (answer.truncated && map && !this.#isTable && !this.#isFitWanted) this.#wide.tooManyAt(zoom);
    if (answer.cells) this.#wide.counted(answer.drivers);
    this.#show(answer);
    if (this.#isFitWanted && answer.around) {
      this.#isFitWanted = false;
      map?.fit(answer.around);
    }
    seen(answer);
  }

  #box(): Box {
    const { map, pointAsked } = this.#parts;
    if (this.#isFitWanted) return WORLD;
    if (map) return map.box();
    const point = pointAsked();
    if (!point) return WORLD;
    const { lat, lon } = point;
    return [lon - TABLE_DEGREES, lat - TABLE_DEGREES, lon + TABLE_DEGREES, lat + TABLE_DEGREES];
  }

  #show(seen: LookSeen): void {
    const { map, picked, wantsTrail } = this.#parts;
    if (this.#isTable) showTable(seen.rows, seen.drivers, { hasMap: map !== null, pick: picked });
    if (map === null) return;
    map.paint({ drivers: seen.columns, cells: seen.cells, trail: wantsTrail() ? seen.trail : [] });
    if (seen.cells) note(`${count(seen.drivers)} on duty; zoom in to see each one`);
    else note(seen.truncated ? `More than ${count(DRIVERS_AT_MOST)} on duty` : '');
  }
}

function note(text: string): void {
  setText(element('map-note'), text);
  element('map-note').hidden = text === '';
}
