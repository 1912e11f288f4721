import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Health, Partition } from './api.js';
import { Cities } from './cities.js';
import { geohashOf } from './geohash.js';
import { placeText, regionsOf } from './regions.js';

const place = (name: string, lat: number, lon: number, population: number) => ({
  properties: { name, population },
  geometry: { coordinates: [lon, lat] as [number, number] },
});
const CITIES = new Cities({
  features: [
    place('Warsaw', 52.23, 21.01, 1_700_000),
    place('Praga', 52.25, 21.05, 180_000),
    place('São Paulo', -23.55, -46.63, 12_000_000),
  ],
});
const WARSAW = [0, 1, 2].map((i) => geohashOf(52.2 + i * 0.03, 21.03, 6));
const BORDERS = ['000000', geohashOf(-23.5, -46.6, 6), ...WARSAW, '~~~~~~'];

function partitionsOf(healths: Health[], since: (string | null)[] = []): Partition[] {
  return healths.map((health, partition) => ({
    partition,
    from: BORDERS[partition] as string,
    to: BORDERS[partition + 1] as string,
    health,
    unwell_since: since[partition] ?? null,
    ...{ node: null, drivers: 0, available: 0, busy: 0, loss_window_ms: 0 },
  }));
}

test('regions: none while all is well', () => {
  assert.deepEqual(regionsOf(partitionsOf(['ok', 'ok', 'ok', 'ok', 'ok']), CITIES), []);
});

test('regions: neighbours with the same trouble are one, named by the city at their borders', () => {
  const since = [null, null, '2026-11-27T14:02:12.000Z', '2026-11-27T14:02:11.000Z'];
  const [region, ...others] = regionsOf(
    partitionsOf(['ok', 'ok', 'unreachable', 'unreachable', 'ok'], since),
    CITIES,
  );
  assert.equal(others.length, 0);
  assert.deepEqual(region?.partitions, [2, 3]);
  // Praga is nearer, but nobody would name it.
  assert.equal(region && placeText(region), 'Near Warsaw');
  assert.equal(region?.sinceMs, Date.parse('2026-11-27T14:02:11.000Z'));
});

test('regions: different trouble is told apart, and one without cities by its range', () => {
  const regions = regionsOf(partitionsOf(['silent', 'unreachable', 'unreachable', 'ok', 'warming']), CITIES);
  assert.deepEqual(
    regions.map(({ health }) => health),
    ['silent', 'unreachable', 'warming'],
  );
  assert.deepEqual(regions.map(placeText), ['Near São Paulo', 'Near Warsaw and São Paulo', 'Near Warsaw']);
  const [nameless] = regionsOf(partitionsOf(['silent']), new Cities({ features: [] }));
  assert.match(nameless ? placeText(nameless) : '', /^The range 0\.\./);
});
