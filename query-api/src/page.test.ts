// The map page in a real browser: what a person sees with and without a token, a click, and a dark region.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { type Browser, chromium, type Page } from 'playwright-core';
import {
  DEADLINE_MS,
  type Running,
  reported,
  startRunning,
  tokenOf,
  whenComplete,
} from './fixtures/running-service.js';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  existsSync,
);
const skip = CHROMIUM ? false : 'no chromium on this machine: THE MAP PAGE IS NOT TESTED';
if (skip) console.warn(skip);

const GRID = Array.from({ length: 400 }, (_, i) => ({
  lat: 52.1 + Math.floor(i / 20) * 0.01 + (i % 3) * 0.002,
  lon: 20.9 + (i % 20) * 0.015 + (i % 7) * 0.001,
}));

let running: Running;
let browser: Browser;
let page: Page;
const complaints: string[] = [];

before(async () => {
  if (skip) return;
  running = await startRunning(buildPartitionMap(GRID, 24), { FRESHNESS_MS: '600000' });
  const statuses = ['available', 'available', 'busy'] as const;
  await running.record(...GRID.map((at, i) => reported(`taxi-${i}`, { ...at, status: statuses[i % 3] })));
  await whenComplete(running);
  browser = await chromium.launch({ executablePath: CHROMIUM as string, args: ['--no-sandbox'] });
  page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    // A refused request is logged by the browser itself.
    if (message.type() === 'error' && !/status of (401|403|503)/.test(message.text()))
      complaints.push(message.text());
  });
  page.setDefaultTimeout(DEADLINE_MS);
});
after(async () => {
  await browser?.close();
  await running?.stop();
});

async function seen(selector: string, text: RegExp): Promise<void> {
  await page.locator(selector).filter({ hasText: text }).first().waitFor({ state: 'visible' });
}

/** Kept where SCREENSHOTS names a folder. */
async function picture(name: string): Promise<void> {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` });
}

test('page: without a token it says so, and takes one', { skip }, async () => {
  await page.goto(running.url);
  await seen('#message', /A token is needed/);
  await page.locator('#token').fill(await tokenOf('drivers:read', { ttlS: -60 }));
  await page.locator('#token-form button').click();
  await seen('#message', /token has expired/);
  await picture('expired');
  await page.locator('#token').fill(await tokenOf('location:write'));
  await page.locator('#token-form button').click();
  await seen('#message', /may not read/);
});

test('page: a token in the fragment is used, and leaves the address bar', { skip }, async () => {
  await page.goto('about:blank');
  await page.goto(`${running.url}/#token=${running.token}`);
  await seen('#figures', /Shown here400/);
  assert.equal(page.url(), `${running.url}/`);
  assert.equal(await page.locator('#message').isVisible(), false);
  assert.equal(await page.locator('#token-form').isVisible(), false);
  await seen('#legend', /127\.0\.0\.1:\d+/);
  assert.equal(await page.locator('#dark li').count(), 0);
});

test('page: a click asks who is nearest', { skip }, async () => {
  await page.locator('#canvas').click({ position: { x: 450, y: 400 } });
  await seen('#verdict', /^10 nearest\.$/);
  assert.equal(await page.locator('#answers li').count(), 10);
  await seen('#answers .about', /available, \d+\.\d s old, provisional/);
  await picture('light');
  const lat = Number(await page.locator('#lat').inputValue());
  assert.ok(lat > 52 && lat < 52.4);
  await page.emulateMedia({ colorScheme: 'dark' });
  await picture('dark');
});

test('page: the keyboard moves, zooms and asks', { skip }, async () => {
  const before = await page.locator('#scale').textContent();
  await page.locator('#canvas').focus();
  await page.keyboard.press('+');
  await page
    .locator('#scale')
    .filter({ hasNotText: before ?? '' })
    .waitFor();
  const lon = Number(await page.locator('#lon').inputValue());
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  await seen('#verdict', /^10 nearest\.$/);
  assert.notEqual(Number(await page.locator('#lon').inputValue()), lon);
});

test('page: the documentation shows every operation, and asks with a token', { skip }, async () => {
  const docs = await browser.newPage();
  docs.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  docs.setDefaultTimeout(DEADLINE_MS);
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

test('page: a dark region is named', { skip }, async () => {
  const port = Number((running.store.nodeOf(12) as string).split(':')[1]);
  running.cluster.kill(port, 'SIGKILL');
  await seen('#dark li', /^Region dark: \d partitions, [0-9a-z]+\.\.[0-9a-z]+ \(its node gives no answer\)$/);
  await seen('#figures', /unknown for some/);
  await picture('region-dark');
  await page.emulateMedia({ colorScheme: 'light' });
  await picture('region-dark-light');
  assert.deepEqual(complaints, []);
});

test('page: nothing comes from elsewhere, and nothing is inline', { skip }, async () => {
  const response = await fetch(running.url);
  assert.match(response.headers.get('content-security-policy') ?? '', /default-src 'self'/);
  const etag = response.headers.get('etag') ?? '';
  const again = await fetch(running.url, { headers: { 'if-none-match': etag } });
  assert.equal(again.status, 304);
  const html = await response.text();
  assert.doesNotMatch(html, /https?:|<style|<script>| style=| on[a-z]+=/);
});
