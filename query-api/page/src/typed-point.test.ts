import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTyped } from './typed-point.js';

const POINTS: [string, number, number][] = [
  ['52.2297, 21.0122', 52.2297, 21.0122],
  ['52.2297,21.0122', 52.2297, 21.0122],
  [' 52.2297  21.0122 ', 52.2297, 21.0122],
  ['(-23.55, -46.63)', -23.55, -46.63],
  ['52,21', 52, 21],
  ['52.2297;21.0122', 52.2297, 21.0122],
  ['33.8688° S, 151.2093° E', -33.8688, 151.2093],
  ['40.7N 74W', 40.7, -74],
  ['0, -180', 0, -180],
];

test('typed point: what people paste is a point', () => {
  for (const [text, lat, lon] of POINTS) {
    assert.deepEqual(readTyped(text), { kind: 'point', point: { lat, lon } }, text);
  }
});

test('typed point: a decimal comma is refused with a word', () => {
  for (const text of ['52,23 21,01', '52,23, 21,01', '52,23;21,01', '52,23 21', '52.23 21,01']) {
    const typed = readTyped(text);
    assert.equal(typed.kind, 'refused', text);
    assert.match(typed.kind === 'refused' ? typed.why : '', /point, not a comma/);
  }
});

test('typed point: what is out of range, or nothing, is refused with a reason', () => {
  const REFUSED: [string, RegExp][] = [
    ['121.01, 52.23', /Latitude comes first, and 121.01/],
    ['52.23, 210.1', /Longitude comes second, and 210.1/],
    ['88, 20', /map ends at latitude/],
    ['', /Nothing was typed/],
    ['52.23, 21.01, 3', /neither a point nor/],
    ['two words', /driver's id has/],
  ];
  for (const [text, why] of REFUSED) {
    const typed = readTyped(text);
    assert.match(typed.kind === 'refused' ? typed.why : 'taken', why, text);
  }
});

test('typed point: anything else of the right letters is an id', () => {
  for (const driverId of ['sim-1-0', 'driver_7', '4711', '-', 'a'.repeat(64)]) {
    assert.deepEqual(readTyped(driverId), { kind: 'driver', driverId });
  }
});
