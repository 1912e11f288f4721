// What an update of the map costs the page with 5,000 moving drivers in view: the time of the page's own thread, since
// a user feels that. The figure is printed; a slow machine fails nothing.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import type { Browser, CDPSession } from 'playwright-core';
import { launchBrowser, noBrowser, openPage, seen } from './fixtures/map-browser.js';
import { type Running, reported, startRunning, whenComplete } from './fixtures/running-service.js';

const DRIVERS = 5_000;
const UPDATES = 15;
/** A frame of 60 each second. */
const FRAME_MS = 16.7;
/** Drawn in software, on a machine that may be busy. */
const GROUND_DEADLINE_MS = 90_000;
const STEP_DEGREES = 0.0002;

let running: Running | undefined;
let browser: Browser | undefined;
after(async () => {
  await browser?.close();
  await running?.stop();
});

const START = Array.from({ length: DRIVERS }, (_, i) => ({
  lat: 52.23 + 0.09 * Math.sqrt((i + 1) / DRIVERS) * Math.cos(i * 2.39996),
  lon: 21.01 + 0.15 * Math.sqrt((i + 1) / DRIVERS) * Math.sin(i * 2.39996),
}));

/** All drivers, a little further on. */
function moveAll({ record }: Running, step: number): Promise<void> {
  const positions = START.map(({ lat, lon }, i) => {
    const [y, x] = [Math.cos(i), Math.sin(i)];
    const at = { lat: lat + y * step * STEP_DEGREES, lon: lon + x * step * STEP_DEGREES };
    const headingDeg = (Math.round((Math.atan2(x, y) * 180) / Math.PI) + 360) % 360;
    return reported(`d${i}`, { ...at, headingDeg, seq: step, status: i % 3 === 0 ? 'busy' : 'available' });
  });
  return record(...positions);
}

/** Seconds of the page's thread: processor time, which other processes on the machine do not stretch. */
async function threadTimes(session: CDPSession): Promise<{ script: number; all: number }> {
  const { metrics } = await session.send('Performance.getMetrics');
  const of = (name: string) => metrics.find((metric) => metric.name === name)?.value ?? Number.NaN;
  return { script: of('ScriptDuration'), all: of('TaskDuration') };
}

test('page cost: an update with 5,000 moving drivers', { skip: noBrowser }, async () => {
  running = await startRunning(buildPartitionMap(START, 16), { FRESHNESS_MS: '600000' });
  await moveAll(running, 1);
  await whenComplete(running);
  browser = await launchBrowser();
  const { page } = await openPage(browser);
  let updates = 0;
  page.on('response', (response) => {
    if (response.url().includes('/v1/drivers/live')) updates++;
  });
  await page.goto(`${running.url}/#at=52.23,21.01&zoom=11&token=${running.token}`);
  await seen(page, '#totals', /In view5,000/);
  // The ground, its names and programs have a separate, one-time cost.
  await page.locator('#map[data-ground=drawn]').waitFor({ timeout: GROUND_DEADLINE_MS });
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const warm = updates + 3;
  while (updates < warm) await moveAll(running, 1 + updates);
  const before = await threadTimes(session);
  const first = updates;
  while (updates < first + UPDATES) await moveAll(running, 1 + updates);
  const ended = await threadTimes(session);
  const each = (name: 'script' | 'all') => (1_000 * (ended[name] - before[name])) / (updates - first);
  assert.ok(each('script') > 0);
  const verdict = each('script') < FRAME_MS ? 'less than a frame' : 'more than a frame';
  console.log(
    `page cost: ${DRIVERS} moving drivers, each of ${updates - first} updates: ${each('script').toFixed(1)} ms of script ` +
      `(${verdict}), ${each('all').toFixed(1)} ms with layout, painting and WebGL calls`,
  );
});
