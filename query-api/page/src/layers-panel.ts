// Selects the layers, and explains their symbols.

import type { Partition } from './api.js';
import { element, made } from './dom.js';
import { LAYERS, type Layer } from './fragment.js';
import { type ImageName, sampleOf, swatchOf } from './images.js';
import type { NodeColours, Palette } from './palette.js';

const NAMES: Record<Layer, string> = {
  names: 'Place names',
  partitions: 'Partitions',
  nodes: 'Colour by node',
  grid: 'Geohash grid',
  density: 'Density',
  trail: 'Trail',
};

const SIGNS: [ImageName, string][] = [
  ['available-arrow', 'available, heading known'],
  ['busy-arrow', 'busy'],
  ['available-dot', 'heading not known'],
  ['hatched', 'cannot be written or read'],
  ['dotted', 'silent: nobody writes there'],
];

export class LayersPanel {
  readonly #switches = new Map<Layer, HTMLInputElement>();
  #legend = '';

  constructor(shown: readonly Layer[], changed: (layers: readonly Layer[]) => void) {
    for (const layer of LAYERS) {
      const box = made('input');
      box.type = 'checkbox';
      box.id = `layer-${layer}`;
      box.checked = shown.includes(layer);
      box.addEventListener('change', () => changed(this.shown));
      const label = made('label');
      label.append(box, NAMES[layer]);
      element('layers').append(label);
      this.#switches.set(layer, box);
    }
  }

  get shown(): readonly Layer[] {
    return LAYERS.filter((layer) => this.#switches.get(layer)?.checked);
  }

  showLegend(partitions: readonly Partition[], colours: NodeColours, palette: Palette): void {
    const nodes = this.shown.includes('nodes') ? [...new Set(partitions.map(({ node }) => node))].sort() : [];
    const shown = [palette.land, ...nodes].join();
    if (shown === this.#legend) return;
    this.#legend = shown;
    const sign = (sample: HTMLCanvasElement, text: string) => {
      const item = made('li');
      sample.setAttribute('aria-hidden', 'true');
      item.append(sample, made('span', text));
      return item;
    };
    element('legend').replaceChildren(
      ...SIGNS.map(([name, text]) => sign(sampleOf(name, palette), text)),
      ...nodes.map((node) => sign(swatchOf(colours.of(node, palette)), node ?? 'no owner known')),
    );
  }
}
