// The map page in a real browser: with and without a token, asking, finding, following, the address, the table, an outage.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import type { Browser, Page } from 'playwright-core';
import {
  AVAILABLE_BLUE,
  barriersOn,
  DRAWN_WITHIN_MS,
  launchBrowser,
  noBrowser,
  openPage,
  picture,
  pixelsOf,
  seen,
  sidewaysOf,
} from './fixtures/map-browser.js';
import {
  eventually,
  type Running,
  reported,
  startRunning,
  tokenOf,
  whenComplete,
} from './fixtures/running-service.js';

const skip = noBrowser;
const GRID = Array.from({ length: 400 }, (_, i) => ({
  lat: 52.1 + Math.floor(i / 20) * 0.01 + (i % 3) * 0.002,
  lon: 20.9 + (i % 20) * 0.015 + (i % 7) * 0.001,
}));
/** Far from all the others. */
const LONER = { lat: 50.061, lon: 19.937 };
const TROUBLE_RED = [143, 18, 22] as const;

let running: Running;
let browser: Browser;
let page: Page;
let complaints: string[];

before(async () => {
  if (skip) return;
  running = await startRunning(buildPartitionMap(GRID, 24), { FRESHNESS_MS: '600000' });
  const statuses = ['available', 'available', 'busy'] as const;
  await running.record(
    ...GRID.map((at, i) =>
      reported(`taxi-${i}`, { ...at, status: statuses[i % 3], headingDeg: (i * 7) % 360 }),
    ),
    reported('loner', { ...LONER, status: 'available', headingDeg: 90, speedMps: 10 }),
  );
  await whenComplete(running);
  browser = await launchBrowser();
  ({ page, complaints } = await openPage(browser, { width: 1000, height: 640 }));
});
after(async () => {
  await browser?.close();
  await running?.stop();
});

const soon = <T>(look: () => Promise<T>) => eventually(look, DRAWN_WITHIN_MS);
const inAddress = (name: string) => new URLSearchParams(new URL(page.url()).hash.slice(1)).get(name);
const centre = () => (inAddress('at') ?? '').split(',').map(Number) as [number, number];
const find = async (text: string) => {
  await page.locator('#search-text').fill(text);
  await page.locator('#search button').click();
};
const isAt = (lat: number, lon: number) =>
  soon(async () => {
    assert.ok(Math.abs(centre()[0] - lat) < 0.001 && Math.abs(centre()[1] - lon) < 0.001, page.url());
  });

test('page: the documentation shows every operation, and asks with a token', { skip }, async () => {
  const docs = await browser.newPage();
  docs.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  docs.setDefaultTimeout(DRAWN_WITHIN_MS);
  await docs.goto(`${running.url}/docs`);
  await docs.locator('#operations-drivers-nearby').waitFor();
  const { paths } = (await (await fetch(`${running.url}/openapi.json`)).json()) as { paths: object };
  const operations = Object.values(paths).flatMap((item) => Object.keys(item));
  assert.equal(await docs.locator('.opblock').count(), operations.length);
  await docs.locator('.btn.authorize').first().click();
  await docs.locator('.auth-container input').fill(running.token);
  await docs.locator('.auth-container button[type=submit]').click();
  await docs.locator('.close-modal').click();
  await docs.locator('#operations-partitions-partitions .opblock-summary-control').click();
  await docs.locator('.try-out__btn').click();
  await docs.locator('.execute').click();
  await docs.locator('.live-responses-table .response-col_status').filter({ hasText: '200' }).waitFor();
  if (process.env.SCREENSHOTS) await docs.screenshot({ path: `${process.env.SCREENSHOTS}/docs.png` });
  await docs.close();
});

test('page: without a token it says so, and takes one', { skip }, async () => {
  await page.goto(running.url);
  await seen(page, '#message', /A token is needed/);
  await page.locator('#token').fill(await tokenOf('drivers:read', { ttlS: -60 }));
  await page.locator('#token-form button').click();
  await seen(page, '#message', /token has expired/);
  await page.locator('#token').fill(await tokenOf('location:write'));
  await page.locator('#token-form button').click();
  await seen(page, '#message', /may not read/);
});

test('page: a token in the fragment is used, leaves the address, and the view stays', { skip }, async () => {
  await page.goto('about:blank');
  await page.goto(`${running.url}/#at=52.2,21.05&zoom=12&token=${running.token}`);
  await seen(page, '#totals', /Available268/);
  assert.equal(page.url().includes('token'), false);
  await isAt(52.2, 21.05);
  assert.equal(await page.locator('#message').isVisible(), false);
  assert.equal(await page.locator('#token-form').isVisible(), false);
  assert.equal(await page.locator('#regions li').count(), 0);
  await seen(page, '#place', /^Near Warsaw$/);
  await soon(async () => assert.ok((await pixelsOf(page, AVAILABLE_BLUE)) > 500, 'no drivers on the map'));
  await picture(page, 'well');
});

test('page: a click asks who is nearest; twice is no question but comes closer', { skip }, async () => {
  const zoom = Number(inAddress('zoom'));
  await page.locator('#map').dblclick({ position: { x: 200, y: 300 } });
  await soon(async () => assert.ok(Number(inAddress('zoom')) > zoom + 0.9));
  assert.equal(inAddress('point'), null);
  // Away from every symbol.
  await find('52.2, 21.05');
  await page.locator('#nearest-close').click();
  await soon(async () => {
    await page
      .locator('#map')
      .click({ position: { x: 100 + Math.random() * 600, y: 100 + Math.random() * 500 } });
    await page
      .locator('#verdict')
      .filter({ hasText: /^10 nearest, available\.$/ })
      .waitFor({ timeout: 2_000 });
  });
  assert.equal(await page.locator('#answers li').count(), 10);
  await seen(page, '#answers .about', /\d+\.\d s old, provisional, not persisted/);
  assert.match(inAddress('point') ?? '', /^52\.\d+,2[01]\.\d+$/);
});

test('page: a typed point moves the map; a decimal comma is refused, and no old answer takes that away', {
  skip,
}, async () => {
  await find('52.25, 21.10');
  await seen(page, '#nearest-title', /52\.25000, 21\.10000/);
  await seen(page, '#verdict', /^10 nearest/);
  await isAt(52.25, 21.1);
  await find('52,23 21,01');
  await seen(page, '#search-error', /point, not a comma/);
  const questions: string[] = [];
  page.on('request', (request) => questions.push(request.url()));
  // Three polls later.
  await soon(async () => assert.ok(questions.filter((url) => url.includes('/v1/partitions')).length >= 2));
  assert.equal(await page.locator('#search-error').isVisible(), true);
  assert.equal(await page.locator('#nearest').isVisible(), false);
  assert.equal(
    questions.some((url) => url.includes('nearby')),
    false,
  );
});

test('page: a driver is found by id, followed, and leaves a trail', { skip }, async () => {
  await find('nobody-of-this-name');
  await seen(page, '#card-note', /No driver nobody-of-this-name is known/);
  await find('loner');
  await seen(page, '#card-facts', /available.*provisional.*90°.*36 km\/h.*not yet/);
  await isAt(LONER.lat, LONER.lon);
  await page.locator('#follow').click();
  for (const step of [1, 2, 3]) {
    const at = { lat: LONER.lat + step * 0.002, lon: LONER.lon };
    await running.record(reported('loner', { ...at, seq: 1 + step, status: 'available', headingDeg: 0 }));
    await isAt(at.lat, at.lon);
  }
  const ACCENT = [11, 92, 173] as const;
  await soon(async () => assert.ok((await pixelsOf(page, ACCENT)) > 400, 'no trail'));
  await picture(page, 'followed');
  await page.locator('#card-close').click();
});

test('page: a driver is chosen by a click on its symbol', { skip }, async () => {
  await find(`${LONER.lat + 0.006}, ${LONER.lon}`);
  await page.locator('#nearest-close').click();
  await isAt(LONER.lat + 0.006, LONER.lon);
  const box = await page.locator('#map').boundingBox();
  await soon(async () => {
    await page.mouse.click((box?.width ?? 0) / 2, (box?.height ?? 0) / 2);
    await page
      .locator('#card-title')
      .filter({ hasText: /^loner$/ })
      .waitFor({ timeout: 2_000 });
  });
  assert.equal(inAddress('driver'), 'loner');
});

test('page: a reload shows the same', { skip }, async () => {
  await page.locator('#layer-nodes').check();
  await page.locator('#layer-grid').uncheck();
  await seen(page, '#legend', /127\.0\.0\.1:\d+/);
  await soon(async () => assert.match(page.url(), /layers=names/));
  const address = page.url();
  await page.reload();
  await seen(page, '#card-facts', /available/);
  assert.equal(await page.locator('#layer-nodes').isChecked(), true);
  assert.equal(await page.locator('#layer-grid').isChecked(), false);
  assert.equal(page.url(), address);
});

test('page: the keyboard zooms, moves and asks', { skip }, async () => {
  const zoom = Number(inAddress('zoom'));
  await page.locator('#map .maplibregl-canvas').focus();
  await page.keyboard.press('+');
  await soon(async () => assert.ok(Number(inAddress('zoom')) > zoom + 0.5));
  const [, lon] = centre();
  await page.keyboard.press('ArrowRight');
  await soon(async () => assert.ok(centre()[1] > lon));
  await page.keyboard.press('Enter');
  await seen(page, '#verdict', /^1 nearest, available\.$/);
});

test('page: density and the table show the same drivers', { skip }, async () => {
  await find('Warsaw');
  await page.locator('#layer-density').check();
  await seen(page, '#map-note', /^\d{3} on duty/);
  await page.locator('#layer-density').uncheck();
  await page.locator('#table-switch').click();
  await seen(page, '#table-note', /^The first 100 of \d{3} drivers on duty/);
  assert.equal(await page.locator('#table-rows tr').count(), 100);
  assert.deepEqual(await barriersOn(page), []);
  await page.locator('#table-switch').click();
});

test('page: on a telephone, in light and dark, for everybody', { skip }, async () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    for (const width of [390, 768, 1280]) {
      await page.setViewportSize({ width, height: 844 });
      const sideways = await sidewaysOf(page);
      assert.ok(sideways <= 0, `${width} px: ${sideways} px to the side`);
      await picture(page, `${width}-${colorScheme}`);
    }
    assert.deepEqual(await barriersOn(page), [], colorScheme);
  }
  await page.emulateMedia({ colorScheme: 'light' });
});

test('page: without WebGL there is a table', { skip }, async () => {
  const plain = await launchBrowser({ hasWebGl: false });
  try {
    const { page: tablePage, complaints: itsComplaints } = await openPage(plain);
    await tablePage.goto(`${running.url}/#token=${running.token}`);
    await seen(tablePage, '#table-note', /WebGL 2 is missing\. The first 100 of 401 drivers/);
    await tablePage.locator('#search-text').fill(`${LONER.lat}, ${LONER.lon}`);
    await tablePage.locator('#search button').click();
    await seen(tablePage, '#table-note', / 1 driver on duty/);
    await seen(tablePage, '#answers .driver', /loner/);
    await picture(tablePage, 'no-webgl');
    assert.deepEqual(itsComplaints, []);
  } finally {
    await plain.close();
  }
});

test('page: a region in trouble is named by its city, and since when', { skip }, async () => {
  await page.locator('#card-close').click();
  await find('Warsaw');
  const port = Number((running.store.nodeOf(12) as string).split(':')[1]);
  running.cluster.kill(port, 'SIGKILL');
  await seen(
    page,
    '#regions li',
    /^Near Warsaw: cannot be written or read since \d\d:\d\d:\d\d\d+ partitions, /,
  );
  await seen(page, '#pulse', /a part cannot be seen/);
  await seen(page, '#totals', /unknown/);
  await seen(page, '#loss-hint', /[1-9]\d* unknown/);
  await soon(async () => assert.ok((await pixelsOf(page, TROUBLE_RED)) > 100, 'no trouble on the map'));
  assert.deepEqual(await barriersOn(page), []);
  await picture(page, 'region-dark');
  assert.deepEqual(complaints, []);
});

test('page: nothing comes from elsewhere, and nothing is inline', { skip }, async () => {
  const response = await fetch(running.url);
  const policy = response.headers.get('content-security-policy') ?? '';
  assert.match(policy, /default-src 'self'/);
  assert.doesNotMatch(policy, /https?:|unsafe/);
  const etag = response.headers.get('etag') ?? '';
  const again = await fetch(running.url, { headers: { 'if-none-match': etag } });
  assert.equal(again.status, 304);
  const html = await response.text();
  assert.doesNotMatch(html, /https?:|<style|<script>| style=| on[a-z]+=/);
});

test('page: large files are sent compressed to those who can read that', { skip }, async () => {
  for (const file of ['/maplibre-gl.mjs', '/coarse.geojson', '/fine_0_30.geojson']) {
    const response = await fetch(running.url + file, { headers: { 'accept-encoding': 'gzip' } });
    assert.equal(response.headers.get('content-encoding'), 'gzip', file);
    const plain = await fetch(running.url + file, { headers: { 'accept-encoding': 'identity' } });
    assert.equal(plain.headers.get('content-encoding'), null);
    assert.equal(await plain.text(), await response.text());
  }
});
