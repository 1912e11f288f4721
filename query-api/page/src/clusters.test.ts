import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Driver } from './api.js';
import { cluster } from './clusters.js';
import { columnsOf } from './driver-columns.js';
import { mercatorX, mercatorY, type ScreenView, screenX, screenY } from './mercator.js';

const viewAt = (lat: number, lon: number, zoom: number): ScreenView => ({
  ...{ x: mercatorX(lon), y: mercatorY(lat), worldPx: 512 * 2 ** zoom },
  ...{ width: 1_000, height: 700 },
});

function driversAround(lat: number, lon: number, count: number, degrees: number) {
  return columnsOf(
    Array.from({ length: count }, (_, i) => {
      const angle = i * 2.39996;
      const away = degrees * Math.sqrt(i / count);
      const at = { lat: lat + away * Math.cos(angle), lon: lon + away * Math.sin(angle) };
      return { ...at, driver_id: `d${i}`, heading_deg: null, status: 'available' } as Driver;
    }),
  );
}

test('clusters: everybody in view is in one place, alone or in a cluster', () => {
  for (const zoom of [2, 7, 10.3, 12, 14]) {
    const view = viewAt(52.2, 21, zoom);
    const drivers = driversAround(52.2, 21, 5_000, 0.05);
    const inView = Array.from({ length: drivers.count }, (_, i) => i).filter((i) => {
      const [x, y] = [screenX(view, drivers.x[i] as number), screenY(view, drivers.y[i] as number)];
      return x >= 0 && y >= 0 && x <= view.width && y <= view.height;
    });
    const { clusters, alone } = cluster(view, drivers, 0);
    const counted = clusters.reduce((sum, { count }) => sum + count, alone.length);
    assert.equal(counted, inView.length, `zoom ${zoom}`);
    assert.equal(new Set(alone).size, alone.length);
  }
});

test('clusters: symbols that are drawn are bounded, and close by everybody stands alone', () => {
  const drivers = driversAround(52.2, 21, 5_000, 0.1);
  const { clusters, alone } = cluster(viewAt(52.2, 21, 11), drivers);
  assert.ok(clusters.length + alone.length < 2_500, `${clusters.length} and ${alone.length}`);
  assert.deepEqual(cluster(viewAt(52.2, 21, 17), drivers).clusters, []);
});

test('clusters: moving the map keeps them', () => {
  const drivers = driversAround(52.2, 21, 800, 0.03);
  const sizes = (lon: number) =>
    cluster(viewAt(52.2, lon, 11), drivers)
      .clusters.map(({ count }) => count)
      .sort();
  assert.deepEqual(sizes(21.004), sizes(21));
});

test('clusters: across the antimeridian the near copy is taken', () => {
  const drivers = driversAround(-16.5, 179.999, 3, 0);
  const { alone } = cluster(viewAt(-16.5, -179.999, 12), drivers);
  assert.equal(alone.length, 3);
});
