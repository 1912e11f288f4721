import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bearingDeg, type Status } from '@whereabouts/infra/position';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { driverText, featureText } from './driver-text.js';
import { driver, emptyIndex, NOW_MS, take } from './fixtures/filled-index.js';

const SEED = 3;

test('driver: the text is what a serializer makes of it, to the last digit', () => {
  const random = seededRandom(SEED).next;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  for (let i = 0; i < 20_000; i++) {
    const { index } = emptyIndex();
    const places = pick([1, 1e3, 1e7]);
    const lat = Math.round((random() - 0.5) * 170 * places) / places;
    const lon = Math.round((random() - 0.5) * 360 * places) / places;
    const p = driver(`d-${i}_`, lat, lon, {
      headingDeg: pick([undefined, 0, 0.01, 359.99, 90.5]),
      speedMps: pick([undefined, 0, 0.5, 8.25, 100]),
      accuracyM: pick([undefined, 0, 4.2, 5]),
      status: pick(['available', 'busy', 'offline'] as Status[]),
      services: Math.floor(random() * 65_536),
      recordedAtMs: pick([0, 1, 86_399_999, NOW_MS, NOW_MS - 1, Math.floor(random() * NOW_MS)]) || 1,
    });
    const archived = random() < 0.2;
    take(index, p, { archived });
    const slot = index.slotOf(p.driverId) as number;
    const sight = random() < 0.5 ? null : { lat: 52, lon: 21, distanceM: pick([0, 0.005, 12.3, 49_999.994]) };
    const known = (units: number, each: number) => (units === 65_535 ? null : units / each);
    const [storedLat, storedLon] = [p.latE7 / 1e7, p.lonE7 / 1e7];
    const bearing = sight && bearingDeg(sight.lat, sight.lon, storedLat, storedLon);
    const body = {
      driver_id: p.driverId,
      lat: storedLat,
      lon: storedLon,
      distance_m: sight && Math.round(sight.distanceM * 100) / 100,
      bearing_deg: bearing === null ? null : (Math.round(bearing * 10) / 10) % 360,
      heading_deg: known(p.headingCdeg, 100),
      speed_mps: known(p.speedCmps, 100),
      accuracy_m: known(p.accuracyDm, 10),
      status: p.status,
      services: p.services,
      recorded_at: new Date(p.recordedAtMs).toISOString(),
      age_ms: NOW_MS - p.recordedAtMs,
      persisted: false,
      source: archived ? 'archive' : 'live',
      provisional: true,
    };
    assert.equal(driverText(index, slot, NOW_MS, sight), JSON.stringify(body), `seed ${SEED}, ${i}`);
    const geometry = { type: 'Point', coordinates: [storedLon, storedLat] };
    const feature = { type: 'Feature', id: p.driverId, geometry, properties: body };
    assert.equal(featureText(index, slot, NOW_MS, sight), JSON.stringify(feature));
  }
});
