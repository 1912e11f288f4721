// The colours of the map, light and dark. Colour-blind people can distinguish available and busy, also by form. Nodes
// have pale areas of other hues; trouble has hatching, which no node has.

export interface Palette {
  water: string;
  land: string;
  border: string;
  placeText: string;
  halo: string;
  ink: string;
  faint: string;
  grid: string;
  partition: string;
  available: string;
  busy: string;
  onStatus: string;
  cluster: string;
  onCluster: string;
  density: string;
  trouble: string;
  accent: string;
  nodes: readonly string[];
}

const LIGHT: Palette = {
  water: '#d9e3e8',
  land: '#f7f6f2',
  border: '#b9b7af',
  placeText: '#4f5760',
  halo: '#ffffff',
  ink: '#1b1f23',
  faint: '#68717a',
  grid: '#8a949e',
  partition: '#5b6670',
  available: '#0072b2',
  busy: '#c25100',
  onStatus: '#ffffff',
  cluster: '#2f4858',
  onCluster: '#ffffff',
  density: '#3d8ec2',
  trouble: '#8f1216',
  accent: '#0b5cad',
  nodes: ['#7a5195', '#2a9d57', '#c9a400', '#d45087', '#4a7c8c', '#8c6d46'],
};

const DARK: Palette = {
  water: '#0f1418',
  land: '#1d2329',
  border: '#4a525a',
  placeText: '#b7c0c8',
  halo: '#14191d',
  ink: '#e8eaec',
  faint: '#98a2ab',
  grid: '#6b757f',
  partition: '#8b96a0',
  available: '#56b4e9',
  busy: '#f0a030',
  onStatus: '#10151a',
  cluster: '#b9cbd8',
  onCluster: '#10151a',
  density: '#4aa3dc',
  trouble: '#ff9d94',
  accent: '#6cb6ff',
  nodes: ['#b393d3', '#5fce8b', '#e0c34a', '#f086b4', '#7fb8c9', '#c9a27a'],
};

const darkScheme = matchMedia('(prefers-color-scheme: dark)');

export function paletteNow(): Palette {
  return darkScheme.matches ? DARK : LIGHT;
}

export function whenPaletteChanges(then: () => void): void {
  darkScheme.addEventListener('change', then);
}

/** A node keeps its colour as long as the page is open. */
export class NodeColours {
  readonly #known = new Map<string, number>();

  of(node: string | null, { nodes, faint }: Palette): string {
    if (node === null) return faint;
    if (!this.#known.has(node)) this.#known.set(node, this.#known.size);
    return nodes[(this.#known.get(node) as number) % nodes.length] ?? faint;
  }
}
