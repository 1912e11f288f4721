// The warnings before anything is broken.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeView } from './cluster-view.js';
import { previewOf } from './preview.js';
import { type PartitionRow, regionsOf, stretchesOf } from './regions.js';

const BORDERS = ['000000', '3', '6', 'd', 's', '~~~~~~'].map((text) => text.padEnd(6, '0'));
const row = (partition: number, node: string | null, drivers: number | null = 10): PartitionRow => ({
  partition,
  from: BORDERS[partition] as string,
  to: BORDERS[partition + 1] as string,
  slot: partition,
  tag: `t${partition}`,
  node,
  drivers,
  available: drivers,
  busy: drivers === null ? null : 1,
});
const node = (address: string, master: string | null = null): NodeView => ({
  id: `id-${address}`,
  address,
  master: master === null,
  masterId: master === null ? null : `id-${master}`,
  failing: false,
  slots: master === null ? [[0, 1]] : [],
});

test('each node with its drivers; scattered shares and missing replicas are warned of', () => {
  const rows = [row(0, 'a:1'), row(1, 'b:2'), row(2, 'a:1'), row(3, 'b:2', null), row(4, null)];
  const nodes = [node('a:1'), node('b:2'), node('c:3', 'b:2')];
  const [a, b] = previewOf(regionsOf(rows), nodes);
  assert.equal(a?.liveDrivers, 22);
  assert.equal(a?.warnings.length, 2);
  assert.match(a?.warnings[0] ?? '', /not one stretch but 2/);
  assert.match(a?.warnings[1] ?? '', /no replica/);
  assert.equal(b?.liveDrivers, null);
  assert.deepEqual(b?.replicas, ['c:3']);
  assert.equal(b?.warnings.length, 1);
});

test('a replica that is down is none', () => {
  const nodes = [node('a:1'), { ...node('c:3', 'a:1'), failing: true }];
  const [a] = previewOf(regionsOf([row(0, 'a:1'), row(1, 'a:1')]), nodes);
  assert.deepEqual(a?.warnings.length, 1);
});

test('neighbours are one stretch', () => {
  assert.deepEqual(stretchesOf([row(2, 'a'), row(0, 'a'), row(1, 'a')]), [
    { from: BORDERS[0], to: BORDERS[3] },
  ]);
});
