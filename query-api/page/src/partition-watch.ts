// The partitions: polled, and shown as areas on the map and as figures, windows and regions in the panel.

import type { Api, Partition } from './api.js';
import type { Cities } from './cities.js';
import { element } from './dom.js';
import type { LayersPanel } from './layers-panel.js';
import { LossPanel } from './loss-panel.js';
import type { MapView } from './map-view.js';
import { NodeColours, paletteNow, whenPaletteChanges } from './palette.js';
import { PartitionAreas } from './partition-areas.js';
import { regionsOf } from './regions.js';
import { RegionsPanel, troublePoints } from './regions-panel.js';
import { TotalsPanel } from './totals-panel.js';
import type { Point } from './typed-point.js';

export interface PartitionWatchParts {
  api: Api;
  cities: Cities;
  lossBudgetMs: number;
  map: MapView | null;
  layers: LayersPanel;
  goTo(point: Point): void;
}

export class PartitionWatch {
  readonly totals: TotalsPanel;
  readonly #parts: PartitionWatchParts;
  readonly #loss: LossPanel;
  readonly #regions: RegionsPanel;
  readonly #colours = new NodeColours();
  #areas: PartitionAreas | null = null;
  #partitions: readonly Partition[] = [];
  #drawn = '';

  constructor(parts: PartitionWatchParts) {
    this.#parts = parts;
    this.totals = new TotalsPanel(parts.lossBudgetMs);
    this.#loss = new LossPanel(parts.lossBudgetMs, parts.cities);
    this.#regions = new RegionsPanel((point) => parts.goTo(point));
    element('loss-details').addEventListener('toggle', () => this.#loss.show(this.#partitions));
    whenPaletteChanges(() => {
      this.#drawn = '';
      this.show();
    });
  }

  /** For the poll. */
  async ask(): Promise<void> {
    const { api } = this.#parts;
    if (this.#areas === null) {
      const answer = await api.partitionCells();
      this.#areas = new PartitionAreas(answer);
      this.#partitions = answer.features.map(({ properties }) => properties);
    } else {
      const answer = await api.partitions();
      // Another map is in force: its cells come with the next poll.
      if (answer.map.hash !== this.#areas.mapHash) this.#areas = null;
      this.#partitions = answer.partitions;
    }
    this.totals.show(this.#partitions);
    this.#loss.show(this.#partitions);
    this.show();
  }

  show(): void {
    const { map, layers, cities } = this.#parts;
    const palette = paletteNow();
    const regions = regionsOf(this.#partitions, cities);
    this.#regions.show(regions);
    layers.showLegend(this.#partitions, this.#colours, palette);
    // The map redraws everything it is given; most of the time nothing has changed.
    const drawn = JSON.stringify(this.#partitions.map(({ node, health }) => [node, health]));
    const labels = troublePoints(regions);
    const all = drawn + JSON.stringify(labels);
    if (!map || !this.#areas || all === this.#drawn) return;
    this.#drawn = all;
    map.show('areas', this.#areas.areas(this.#partitions, this.#colours, palette));
    map.show('outlines', this.#areas.outlines(this.#partitions));
    map.show('trouble', labels);
  }
}
