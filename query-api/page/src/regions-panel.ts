// Regions in trouble, in words: in the panel and on the map.

import { element, made } from './dom.js';
import type * as GeoJSON from './geojson.mjs';
import { isDark, placeText, type Region, TROUBLE } from './regions.js';
import type { Point } from './typed-point.js';
import { clock } from './units.js';

const since = ({ sinceMs }: Region) => (sinceMs === null ? '' : ` since ${clock(sinceMs)}`);

export class RegionsPanel {
  readonly #goTo: (point: Point) => void;
  #shown = '';

  constructor(goTo: (point: Point) => void) {
    this.#goTo = goTo;
  }

  show(regions: readonly Region[]): void {
    const lines = regions.map((region) => `${placeText(region)}: ${TROUBLE[region.health]}${since(region)}`);
    const shown = lines.join('\n');
    if (shown === this.#shown) return;
    this.#shown = shown;
    element('regions').replaceChildren(...regions.map((region, i) => this.#line(region, lines[i] as string)));
  }

  #line(region: Region, text: string): HTMLElement {
    const item = made('li', '', isDark(region.health) ? 'dark' : '');
    const [city] = region.cities;
    if (city) {
      const button = made('button', text);
      button.type = 'button';
      button.addEventListener('click', () => this.#goTo(city));
      item.append(button);
    } else item.append(made('strong', text));
    const { length } = region.partitions;
    const about = `${length} ${length === 1 ? 'partition' : 'partitions'}, ${region.range} (${region.health})`;
    item.append(made('span', about, 'about'));
    return item;
  }
}

/** A label at each city that names a region; a region that only has a new owner needs none. */
export function troublePoints(regions: readonly Region[]): GeoJSON.FeatureCollection {
  const labels = new Map<string, GeoJSON.Feature>();
  for (const region of regions) {
    if (region.health === 'warming') continue;
    for (const { name, lat, lon } of region.cities) {
      const label = `${name}: ${TROUBLE[region.health]}${since(region)}`;
      const geometry = { type: 'Point' as const, coordinates: [lon, lat] };
      // The more serious trouble of a city comes first.
      if (!labels.has(name) || isDark(region.health))
        labels.set(name, { type: 'Feature', properties: { label }, geometry });
    }
  }
  return { type: 'FeatureCollection', features: [...labels.values()] };
}
