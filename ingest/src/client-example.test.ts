// The example page in a real browser before a real ingest: a position that the test sets is streamed, acknowledged and
// shown; trouble is told; it fits a phone.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launchChromium, skipWithoutBrowser } from '@whereabouts/infra/local/testing/browser';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { tokenFor } from './testing/edge-under-test.js';
import { type Ground, IngestProcess, startGround } from './testing/ingest-process.js';
import { newestOf } from './testing/log-reader.js';

const SERVER = fileURLToPath(new URL('../client/examples/serve.mjs', import.meta.url));
const DEADLINE_MS = 30_000;
const PHONE = { width: 390, height: 844 };
const skip = skipWithoutBrowser('THE EXAMPLE PAGE IS');

let ground: Ground;
let ingest: IngestProcess;
let server: ChildProcess;
let address: string;
let browser: Browser;
let context: BrowserContext;
let page: Page;
const complaints: string[] = [];

before(async () => {
  if (skip) return;
  ground = await startGround();
  ingest = await IngestProcess.start(ground);
  server = spawn(process.execPath, [SERVER, '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface(server.stdout as NodeJS.ReadableStream);
  address = (await lines[Symbol.asyncIterator]().next()).value;
  browser = await launchChromium();
  context = await browser.newContext({ viewport: PHONE, permissions: ['geolocation'] });
  context.setDefaultTimeout(DEADLINE_MS);
  page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(String(error)));
});
after(async () => {
  await browser?.close();
  server?.kill();
  ingest?.kill();
  await ground?.stop();
});

async function seen(selector: string, text: RegExp): Promise<void> {
  await page.locator(selector).filter({ hasText: text }).first().waitFor({ state: 'visible' });
}

/** Kept where SCREENSHOTS names a folder. */
async function picture(name: string): Promise<void> {
  if (process.env.SCREENSHOTS)
    await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png`, fullPage: true });
}

async function at(longitude: number): Promise<void> {
  await context.setGeolocation({ latitude: 52.52 + (longitude - 13.4) / 3, longitude, accuracy: 8 });
}

test('example: the place of the browser is streamed and acknowledged', { skip }, async () => {
  await at(13.4);
  const url = ingest.url.replace('/v1/stream', '');
  await page.goto(`${address}#${new URLSearchParams({ token: await tokenFor('walker'), url })}`);
  await page.locator('#start').click();
  await seen('#state', /^open$/);
  await seen('#place', /^52\.520000, 13\.400000$/);
  await seen('#acked', /^report \d+$/);
  assert.equal(page.url(), address);
  for (let i = 1; i <= 8; i++) {
    await at(13.4 + i * 0.0002 + (i % 3) * 0.0001);
    await seen('#extent', new RegExp(`^${i + 1} positions`));
  }
  const stored = async () =>
    (await newestOf(ground.store, ground.map.partitionOf(52.52, 13.4))).get('walker');
  const end = performance.now() + DEADLINE_MS;
  while ((await stored())?.lonE7 !== 134_018_000) {
    assert.ok(performance.now() < end, 'the last place is stored');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await picture('example-390');
  assert.equal(await page.locator('#nacked').textContent(), '0');
  const width = await page.evaluate('document.documentElement.scrollWidth');
  assert.ok((width as number) <= PHONE.width, `${width} px wide`);
});

test('example: the end of a connection and a refused token are told, and mended', { skip }, async () => {
  ingest.kill();
  await seen('#state', /^(waiting|connecting)$/);
  await seen('#log', /connection ended: .*, back in \d/);
  ingest = IngestProcess.onPort(ground, ingest.port, {});
  await seen('#state', /^open$/);
  await page.locator('#stop').click();
  await seen('#state', /^stopped$/);
  await page.locator('#token').fill(await tokenFor('walker', { audience: 'another' }));
  await page.locator('#start').click();
  // A browser is not told of a refused handshake, only that there is no connection.
  await seen('#log li:first-child', /connection ended/);
  await page.locator('#token').fill(await tokenFor('walker'));
  await page.locator('#stop').click();
  await page.locator('#start').click();
  await seen('#state', /^open$/);
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await picture('example-dark');
  assert.deepEqual(complaints, []);
});

test('example: nothing is served but the page and the modules', { skip }, async () => {
  const { origin } = new URL(address);
  for (const path of [
    '/package.json',
    '/examples/../package.json',
    '/examples/serve.mjs',
    '/dist/..%2fpackage.json',
  ])
    assert.equal((await fetch(origin + path)).status, 404, path);
  assert.equal(
    (await fetch(`${origin}/dist/client.js`)).headers.get('content-type'),
    'text/javascript; charset=utf-8',
  );
});
