// The map page on the ground of others (MAP_STYLE_URL): tiles and names of another origin, under our own layers.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import type { Browser } from 'playwright-core';
import {
  AVAILABLE_BLUE,
  DRAWN_WITHIN_MS,
  launchBrowser,
  noBrowser,
  openPage,
  picture,
  pixelsOf,
  seen,
} from './fixtures/map-browser.js';
import {
  eventually,
  type Running,
  reported,
  startRunning,
  whenComplete,
} from './fixtures/running-service.js';

const skip = noBrowser;
const SPOTS = Array.from({ length: 60 }, (_, i) => ({ lat: 52.2 + (i % 6) * 0.01, lon: 21 + i * 0.002 }));
const TILE_COLOUR = [255, 240, 200] as const;
/** One pixel of that colour. */
const TILE = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4/+EEAAWpArii/4rVAAAAAElFTkSuQmCC';
const NAME_COLOUR = [200, 0, 200] as const;
const HIDDEN_COLOUR = [0, 200, 100] as const;
/** Of our own ground. */
const NAME_GREY = [79, 87, 96] as const;
const AWAY_FROM_CONTROLS = { x: 50, y: 50, width: 480, height: 500 };
const AVAILABLE_DARK = [86, 180, 233] as const;

/** Names of layers and sources that our own layers have too. */
const styleAt = (origin: string) => ({
  version: 8,
  glyphs: `${origin}/fonts/{fontstack}/{range}.pbf`,
  sources: {
    areas: {
      type: 'raster',
      tiles: [`${origin}/tiles/{z}/{x}/{y}.png`],
      tileSize: 256,
      attribution: 'Tile makers',
    },
    grid: { type: 'geojson', data: `${origin}/names.geojson` },
  },
  layers: [
    { id: 'nodes', type: 'raster', source: 'areas' },
    {
      ...{ id: 'trouble', type: 'symbol', source: 'grid' },
      layout: { 'text-field': ['get', 'name'], 'text-font': ['Noto Sans Regular'], 'text-size': 60 },
      paint: { 'text-color': `rgb(${NAME_COLOUR.join()})` },
    },
    {
      ...{ id: 'hidden', type: 'symbol', source: 'grid' },
      layout: {
        'text-field': 'hidden',
        'text-font': ['Noto Sans Regular'],
        'text-size': 60,
        visibility: 'none',
      },
      paint: { 'text-color': `rgb(${HIDDEN_COLOUR.join()})` },
    },
  ],
});
const NAMES = {
  type: 'Feature',
  properties: { name: 'Praga' },
  geometry: { type: 'Point', coordinates: [21.02, 52.24] },
};

const ground = createServer((request, response) => {
  const origin = `http://${request.headers.host}`;
  const bodies: [RegExp, string, string | Buffer][] = [
    [/^\/style\.json$/, 'application/json', JSON.stringify(styleAt(origin))],
    [/^\/names\.geojson$/, 'application/json', JSON.stringify(NAMES)],
    [/^\/tiles\/\d+\/\d+\/\d+\.png$/, 'image/png', Buffer.from(TILE, 'base64')],
  ];
  const [, type, body] = bodies.find(([path]) => path.test(request.url ?? '')) ?? [];
  response.setHeader('access-control-allow-origin', '*');
  response.writeHead(body === undefined ? 404 : 200, { 'content-type': type ?? 'text/plain' }).end(body);
});

let origin: string;
let browser: Browser;
/** With that style. */
let styled: Running;
const started: Running[] = [];

async function running(stylePath: string): Promise<Running> {
  const service = await startRunning(buildPartitionMap(SPOTS, 8), {
    ...{ FRESHNESS_MS: '600000', MAP_STYLE_URL: origin + stylePath },
  });
  started.push(service);
  await service.record(...SPOTS.map((at, i) => reported(`taxi-${i}`, { ...at, status: 'available' })));
  await whenComplete(service);
  return service;
}

async function pageOf({ url, token }: Running, layers = 'names,partitions') {
  const { page, complaints } = await openPage(browser, { width: 900, height: 640 });
  await page.goto(`${url}/#at=52.23,21.05&zoom=11&layers=${layers}&token=${token}`);
  const soon = (look: () => Promise<void>) => eventually(look, DRAWN_WITHIN_MS);
  const areSeen = (colour: readonly [number, number, number], atLeast: number) =>
    soon(async () => assert.ok((await pixelsOf(page, colour)) >= atLeast, colour.join()));
  // The style's letters are drawn by the page, as its server has no glyphs.
  const assertNoComplaints = () =>
    assert.deepEqual(
      complaints.filter((text) => !/glyph range/.test(text)),
      [],
    );
  return { page, assertNoComplaints, soon, areSeen };
}

before(async () => {
  if (skip) return;
  ground.listen(0, '127.0.0.1');
  await once(ground, 'listening');
  origin = `http://127.0.0.1:${(ground.address() as AddressInfo).port}`;
  browser = await launchBrowser();
  styled = await running('/style.json');
});
after(async () => {
  await browser?.close();
  for (const service of started) await service.stop();
  ground.close();
  ground.closeAllConnections();
});

test('page: tiles and names of another origin, below ours, and switched with them', { skip }, async () => {
  const { page, assertNoComplaints, soon, areSeen } = await pageOf(styled);
  await areSeen(TILE_COLOUR, 100_000);
  await areSeen(NAME_COLOUR, 500);
  await areSeen(AVAILABLE_BLUE, 500);
  await seen(page, '.maplibregl-ctrl-attrib', /Tile makers/);
  await picture(page, 'style');
  await page.locator('#layer-names').uncheck();
  await soon(async () => assert.equal(await pixelsOf(page, NAME_COLOUR), 0));
  const before = await pixelsOf(page, TILE_COLOUR);
  await page.locator('#layer-nodes').check();
  await soon(async () => assert.ok((await pixelsOf(page, TILE_COLOUR)) < before / 2, 'areas are coloured'));
  await page.locator('#layer-names').check();
  await areSeen(NAME_COLOUR, 500);
  assert.equal(await pixelsOf(page, HIDDEN_COLOUR), 0, 'what its author hides stays hidden');
  // Another colour scheme loads the style again.
  const again = page.waitForResponse(/style\.json$/);
  await page.emulateMedia({ colorScheme: 'dark' });
  await again;
  await areSeen(AVAILABLE_DARK, 500);
  await areSeen(NAME_COLOUR, 500);
  assertNoComplaints();
});

test('page: when the browser takes WebGL away and gives it back, the map is as before', {
  skip,
}, async () => {
  const { page, assertNoComplaints, soon, areSeen } = await pageOf(styled, 'names,partitions,nodes');
  await areSeen(NAME_COLOUR, 500);
  await soon(async () => assert.ok((await pixelsOf(page, TILE_COLOUR)) < 100_000, 'areas are coloured'));
  const before = await pixelsOf(page, TILE_COLOUR);
  const context = "document.querySelector('.maplibregl-canvas').getContext('webgl2')";
  await page.evaluate(`globalThis.lost = ${context}.getExtension('WEBGL_lose_context'); lost.loseContext()`);
  await soon(async () => assert.equal(await page.evaluate(`${context}.isContextLost()`), true));
  await page.locator('#layer-names').uncheck();
  await page.evaluate('lost.restoreContext()');
  await soon(async () => assert.ok(Math.abs((await pixelsOf(page, TILE_COLOUR)) - before) < before / 4));
  await soon(async () => assert.equal(await pixelsOf(page, NAME_COLOUR), 0, 'switched off meanwhile'));
  await page.locator('#layer-nodes').uncheck();
  await areSeen(TILE_COLOUR, 100_000);
  assertNoComplaints();
});

test('page: a style that cannot be loaded is told, and our own ground is drawn', { skip }, async () => {
  const { page, soon, areSeen } = await pageOf(await running('/missing.json'));
  await areSeen(AVAILABLE_BLUE, 500);
  await seen(page, '.maplibregl-ctrl-attrib', /The style of MAP_STYLE_URL cannot be loaded.*Natural Earth/);
  await seen(page, '#place', /^Near Warsaw$/);
  await picture(page, 'style-missing');
  // Names of cities and of towns, which come with the fine ground.
  await page.locator('#map[data-ground=drawn]').waitFor();
  await soon(async () => assert.ok((await pixelsOf(page, NAME_GREY, AWAY_FROM_CONTROLS)) > 20));
  await page.locator('#layer-partitions').uncheck();
  await page.locator('#layer-names').uncheck();
  await soon(async () => assert.equal(await pixelsOf(page, NAME_GREY, AWAY_FROM_CONTROLS), 0));
});
