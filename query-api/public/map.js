// The page put together: two polls, one drawing for each frame that changed something.

import { Feed } from './feed.js';
import { watchGestures } from './gestures.js';
import { fromWorld, View } from './mercator.js';
import { driverMark, NodeColours, Painter, pathOf } from './painter.js';
import * as panel from './panel.js';

const LIVE_EVERY_MS = 1_000;
const PARTITIONS_EVERY_MS = 2_000;
const LIVE_LIMIT = 2_000;
const SCALE_BAR_PX = 80;

const canvas = panel.element('canvas');
const feed = new Feed();
const view = new View();
const colours = new NodeColours();
const painter = new Painter(canvas, colours);
const scene = { partitions: [], drivers: [], asked: null, hits: [] };
let mapHash = '';
let hasFitted = false;
let isFrameDue = false;

function changed() {
  if (isFrameDue) return;
  isFrameDue = true;
  requestAnimationFrame(() => {
    isFrameDue = false;
    painter.paint(view, scene);
    panel.element('scale').textContent =
      `${SCALE_BAR_PX} px = ${panel.metres(view.metresPerPixel() * SCALE_BAR_PX)}`;
  });
}

async function pollPartitions() {
  const answer = mapHash === '' ? await feed.cells() : await feed.partitions();
  if (answer.features) {
    scene.partitions = answer.features.map(({ geometry, properties }) => ({
      ...properties,
      path: pathOf(geometry),
    }));
    mapHash = answer.map.hash;
  } else if (answer.map.hash !== mapHash) {
    mapHash = ''; // another map is in force: fetch its cells the next time
  } else {
    scene.partitions = scene.partitions.map((before, i) => ({ ...before, ...answer.partitions[i] }));
  }
  panel.showRegions(panel.regionLines(scene.partitions));
  showFigures();
  showLegend();
}

async function pollLive() {
  const bounds = hasFitted ? view.bounds() : [-180, -90, 180, 90];
  const { drivers, truncated } = await feed.live(bounds, LIVE_LIMIT);
  scene.drivers = drivers;
  scene.truncated = truncated;
  if (!hasFitted && drivers.length > 0) {
    view.fit(drivers);
    hasFitted = true;
  }
  await askAgain();
}

function showFigures() {
  const known = scene.partitions.filter(({ drivers }) => drivers !== null);
  const sum = (name) => known.reduce((total, partition) => total + partition[name], 0).toLocaleString();
  const windows = scene.partitions.map((partition) => partition.loss_window_ms);
  const worst = windows.includes(null) ? 'unknown for some' : panel.seconds(Math.max(0, ...windows));
  panel.showFigures({
    Available: sum('available'),
    Busy: sum('busy'),
    'Shown here': `${scene.drivers.length.toLocaleString()}${scene.truncated ? ', not all' : ''}`,
    'Loss window': worst,
    Partitions: `${scene.partitions.length}, map ${mapHash.slice(0, 6)}`,
  });
}

function showLegend() {
  const nodes = [...new Set(scene.partitions.map(({ node }) => node))].sort();
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const ink = dark ? '#e8eaec' : '#1b1f23';
  const patch = (colour, alpha) => (c) => {
    c.globalAlpha = alpha;
    c.fillStyle = colour;
    c.fillRect(0, 0, 22, 16);
  };
  panel.showLegend([
    ...nodes.map((node) => [patch(colours.of(node), 0.5), node ?? 'no owner known']),
    [patch(colours.of(nodes[0] ?? null), 0.15), 'paler: silent or warming'],
    [patch(dark ? '#000000' : '#3a3f44', 0.85), 'dark: cannot be seen'],
    [(c) => driverMark(c, 11, 8, 'available', ink, dark), 'available driver'],
    [(c) => driverMark(c, 11, 8, 'busy', ink, dark), 'busy driver'],
  ]);
}

async function ask(lat, lon) {
  panel.element('lat').value = lat.toFixed(6);
  panel.element('lon').value = lon.toFixed(6);
  scene.asked = { lat, lon };
  scene.hits = [];
  changed();
  try {
    await askAgain();
  } catch (error) {
    complain(error);
  }
}

/** The answer ages; while it is shown, it is kept up to date. */
async function askAgain() {
  const { asked } = scene;
  if (!asked) return;
  try {
    const answer = await feed.nearby(asked.lat, asked.lon, panel.element('status').value);
    if (scene.asked !== asked) return;
    scene.hits = answer.drivers;
    panel.showAnswer(answer);
    changed();
  } catch (error) {
    scene.hits = [];
    panel.showNoAnswer(error.message);
    throw error;
  }
}

function complain(error) {
  const form = panel.element('token-form');
  if (error.needsToken) {
    form.hidden = false;
    const wrong = error.status === 403 ? 'This token may not read: ' : 'Sign in again: ';
    panel.say(feed.hasToken ? wrong + error.message : 'A token is needed to see the drivers.');
  } else if (error.status) panel.say(error.message);
  else panel.say('The API does not answer. Trying again.');
}

/** One after the other, so that a slow answer is not asked for twice; while the page is hidden, not at all. */
async function keepPolling(poll, everyMs) {
  for (;;) {
    if (!document.hidden && panel.element('token-form').hidden) {
      try {
        await poll();
        panel.say('');
      } catch (error) {
        complain(error);
      }
      changed();
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

new ResizeObserver(() => {
  view.resize(canvas.clientWidth, canvas.clientHeight);
  canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
  canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
  changed();
}).observe(canvas);

const gestures = watchGestures(canvas, view, {
  changed,
  picked(x, y) {
    const world = view.toWorld(x, y);
    if (world.y < 0 || world.y > 1) return;
    const { lat, lon } = fromWorld(world.x, world.y);
    void ask(lat, lon);
  },
});
panel.element('zoom-in').addEventListener('click', () => gestures.zoom(true));
panel.element('zoom-out').addEventListener('click', () => gestures.zoom(false));
panel.element('fit').addEventListener('click', () => {
  hasFitted = false;
});
panel.element('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  const [lat, lon] = ['lat', 'lon'].map((id) => Number(panel.element(id).value));
  if (!Number.isFinite(lat) || !Number.isFinite(lon))
    panel.showNoAnswer('Latitude and longitude are numbers.');
  else void ask(lat, lon);
});
panel.element('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  feed.useToken(panel.element('token').value);
  panel.element('token').value = '';
  panel.element('token-form').hidden = true;
  panel.say('');
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);

void keepPolling(pollPartitions, PARTITIONS_EVERY_MS);
void keepPolling(pollLive, LIVE_EVERY_MS);
