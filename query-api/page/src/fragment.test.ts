import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LAYERS, LAYERS_AT_FIRST, readView, type View, viewText } from './fragment.js';

const FIRST: View = {
  at: null,
  zoom: 11,
  layers: [...LAYERS_AT_FIRST],
  point: null,
  status: 'available',
  driver: null,
  isFollowing: false,
  isTable: false,
};

test('fragment: without one, the page begins as it always does', () => {
  assert.deepEqual(readView(''), FIRST);
  assert.equal(viewText(FIRST), '');
});

test('fragment: whatever is looked at is found again', () => {
  const view: View = {
    at: { lat: 52.2297, lon: 21.0122 },
    zoom: 12.35,
    layers: LAYERS.filter((layer) => layer !== 'grid'),
    point: { lat: -1.5, lon: 36.25 },
    status: 'busy',
    driver: 'sim-1-0',
    isFollowing: true,
    isTable: true,
  };
  assert.deepEqual(readView(`#${viewText(view)}`), view);
  const none = { ...FIRST, layers: [] };
  assert.deepEqual(readView(viewText(none)), none);
});

test('fragment: nonsense is left out', () => {
  assert.deepEqual(readView('#at=x,y&zoom=NaN&layers=names,walls&point=99,200&driver=a%20b&status=gone'), {
    ...FIRST,
    layers: ['names'],
  });
  assert.equal(readView('#zoom=1000').zoom, 20);
});
