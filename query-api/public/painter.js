// Draws the world onto a canvas. It knows what things look like, and nothing of where they come from.

import { toWorld } from './mercator.js';

// Told apart by people who do not see all colours (Okabe and Ito), in light and dark.
const NODE_COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#b3a500', '#7a6ff0'];
const GRATICULE_STEPS = [30, 10, 5, 1, 0.5, 0.1];

/** Nodes keep their colour as long as the page is open. */
export class NodeColours {
  #known = new Map();

  of(node) {
    if (node === null) return '#888888';
    if (!this.#known.has(node)) this.#known.set(node, this.#known.size);
    return NODE_COLOURS[this.#known.get(node) % NODE_COLOURS.length];
  }
}

/** A partition's cells in world coordinates, made once for each map. */
export function pathOf(geometry) {
  const path = new Path2D();
  for (const [ring] of geometry.coordinates) {
    const [first, , third] = ring;
    const a = toWorld(first[1], first[0]);
    const b = toWorld(third[1], third[0]);
    path.rect(a.x, b.y, b.x - a.x, a.y - b.y);
  }
  return path;
}

export class Painter {
  #context;
  #colours;

  constructor(canvas, colours) {
    this.#context = canvas.getContext('2d');
    this.#colours = colours;
  }

  paint(view, { partitions, drivers, asked, hits }) {
    const c = this.#context;
    const ratio = devicePixelRatio;
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    const ink = dark ? '#e8eaec' : '#1b1f23';
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.fillStyle = dark ? '#14171a' : '#f6f6f3';
    c.fillRect(0, 0, view.width, view.height);
    this.#partitions(view, partitions, dark);
    this.#graticule(view, dark);
    for (const driver of drivers) this.#driver(view, driver, ink, dark);
    if (asked) this.#answer(view, asked, hits, ink);
  }

  #partitions(view, partitions, dark) {
    const c = this.#context;
    for (const world of [-1, 0, 1]) {
      c.save();
      const origin = view.toScreen({ x: world, y: 0 });
      c.translate(origin.x, origin.y);
      c.scale(view.pixels, view.pixels);
      for (const { partition, path, node, health } of partitions) {
        const isUnseen = !['ok', 'silent', 'warming'].includes(health);
        // Two shades in turn, so that neighbours on the curve are told apart.
        const shade = partition % 2 === 0 ? 1 : 0.7;
        c.globalAlpha = isUnseen ? 0.85 : shade * (health === 'ok' ? 0.32 : 0.14);
        c.fillStyle = isUnseen ? (dark ? '#000000' : '#3a3f44') : this.#colours.of(node);
        c.fill(path);
      }
      c.restore();
    }
  }

  #graticule(view, dark) {
    const c = this.#context;
    const degreesAcross = (view.width / view.pixels) * 360;
    const step = GRATICULE_STEPS.find((s) => degreesAcross / s >= 4) ?? GRATICULE_STEPS.at(-1);
    c.strokeStyle = dark ? '#ffffff22' : '#00000018';
    c.lineWidth = 1;
    c.beginPath();
    const left = Math.ceil(((view.x - view.width / 2 / view.pixels) * 360 - 180) / step) * step;
    for (let lon = left; lon < left + degreesAcross; lon += step) {
      const { x } = view.toScreen(toWorld(0, lon));
      c.moveTo(x, 0);
      c.lineTo(x, view.height);
    }
    for (let lat = -80; lat <= 80; lat += step) {
      const { y } = view.toScreen(toWorld(lat, 0));
      if (y < 0 || y > view.height) continue;
      c.moveTo(0, y);
      c.lineTo(view.width, y);
    }
    c.stroke();
  }

  #driver(view, driver, ink, dark) {
    const { x, y } = nearestCopy(view, driver);
    if (x < -9 || y < -9 || x > view.width + 9 || y > view.height + 9) return;
    driverMark(this.#context, x, y, driver.status, ink, dark);
  }

  #answer(view, asked, hits, ink) {
    const c = this.#context;
    const from = nearestCopy(view, asked);
    c.strokeStyle = ink;
    c.lineWidth = 1;
    c.beginPath();
    for (const hit of hits) {
      const to = nearestCopy(view, hit);
      c.moveTo(from.x, from.y);
      c.lineTo(to.x, to.y);
    }
    c.stroke();
    c.lineWidth = 3;
    c.beginPath();
    c.arc(from.x, from.y, 8, 0, 2 * Math.PI);
    c.moveTo(from.x - 13, from.y);
    c.lineTo(from.x + 13, from.y);
    c.moveTo(from.x, from.y - 13);
    c.lineTo(from.x, from.y + 13);
    c.stroke();
  }
}

/** Not by colour alone: free drivers are full, busy ones are rings. */
export function driverMark(c, x, y, status, ink, dark) {
  c.beginPath();
  c.arc(x, y, 4, 0, 2 * Math.PI);
  c.lineWidth = 2;
  c.strokeStyle = status === 'busy' ? ink : dark ? '#14171a' : '#ffffff';
  c.fillStyle = status === 'busy' ? (dark ? '#14171a' : '#ffffff') : ink;
  c.fill();
  c.stroke();
}

/** The world repeats to the east and west; a view near the antimeridian shows two copies. */
function nearestCopy(view, { lat, lon }) {
  const world = toWorld(lat, lon);
  world.x += Math.round(view.x - world.x);
  return view.toScreen(world);
}
