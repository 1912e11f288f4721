import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { placeNamed } from '../places/city-list.js';
import { Places } from '../places/places.js';
import { clockText, DarkWatch, darkText, type PartitionNow } from './dark.js';

const places = new Places();
before(() => places.load());

const row = (partition: number, changes: Partial<PartitionNow> = {}): PartitionNow => ({
  partition,
  from: ['000000', '6gyc94', 'u3qcn5'][partition] as string,
  to: ['6gyc94', '6gyc9k', '~~~~~~'][partition] as string,
  node: `127.0.0.1:710${partition}`,
  health: 'ok',
  drivers: [5, 20, 90][partition] as number,
  available: 0,
  busy: 0,
  loss_window_ms: 0,
  ...changes,
});
const dark = { health: 'unreachable', drivers: null };

test('what is dark is told with since when, its cities by their drivers, its share and its nodes', () => {
  let nowMs = 1_000_000;
  const watch = new DarkWatch(() => nowMs);
  assert.equal(watch.look([row(0), row(1), row(2)]), null);
  const begin = watch.look([row(0), row(1, dark), row(2)]);
  assert.ok(begin);
  nowMs += 5_000;
  const later = watch.look([row(0), row(1, dark), row(2, dark)]);
  assert.ok(later);
  assert.equal(
    darkText(later, places),
    `dark since ${clockText(1_000_000)}: ${places.cityOf(row(2))}, São Paulo, 2 of 3 partitions (127.0.0.1:7102, 127.0.0.1:7101)`,
  );
  assert.equal(watch.look([row(0), row(1, { health: 'warming' }), row(2)]), null);
  assert.equal(watch.look([row(0), row(1, dark), row(2)])?.sinceMs, nowMs, 'it is dark anew');
});

test('since when is what query-api says, where it does', () => {
  const since = '2030-01-01T12:00:00.000Z';
  const found = new DarkWatch().look([row(0), row(1, { ...dark, unwell_since: since }), row(2)]);
  assert.equal(found?.sinceMs, Date.parse(since));
});

test('a range is named by its largest city, one without any by the nearest', () => {
  assert.equal(places.cityOf({ from: 'u3q000', to: 'u3qzzz' }), 'Warsaw');
  assert.equal(places.cityOf({ from: 'u3qcn5', to: 'u3qcnk' }), 'Warsaw');
});

test('without the cities it is told by geohashes', () => {
  assert.equal(new Places().textOf([row(1), row(2)]), '6gyc94 to 6gyc9k, u3qcn5 to ~~~~~~');
});

test('a place is found whatever its accents and case; of several the largest', () => {
  assert.equal(placeNamed('sao-paulo')?.name, 'São Paulo');
  assert.equal(placeNamed(' WARSAW ')?.country, 'PL');
  assert.equal(placeNamed('Nowhere at all'), null);
});
