// The nearest drivers by looking at every one of them, and the comparison of an answer with that.
import assert from 'node:assert/strict';
import type { Answer, AnsweredDriver, Question } from '../outside/dispatcher.js';
import { type Known, metresBetween } from '../outside/truth.js';

/** Two drivers at the same distance may come in either order; sums of sines differ by less than this. */
const TIE_M = 1e-6;
/** Distances are given in centimetres. */
const TOLD_M = 0.0051;

interface Sighted {
  known: Known;
  distanceM: number;
}

export function nearest(drivers: Iterable<Known>, question: Question): Sighted[] {
  const { lat, lon, radius_m, limit, status, services, exclude } = question;
  const found: Sighted[] = [];
  for (const known of drivers) {
    if (known.status !== status || (known.services & services) !== services) continue;
    if (exclude.includes(known.driverId)) continue;
    const distanceM = metresBetween(lat, lon, known.lat, known.lon);
    if (distanceM <= radius_m) found.push({ known, distanceM });
  }
  found.sort((a, b) => a.distanceM - b.distanceM || (a.known.driverId < b.known.driverId ? -1 : 1));
  return found.slice(0, limit);
}

/** Throws if the answer differs from the one that looking at every driver gives. */
export function assertNearest(answer: Answer, drivers: ReadonlyMap<string, Known>, question: Question): void {
  const why = JSON.stringify(question);
  assert.equal(answer.complete, true, `${why}: ${JSON.stringify(answer.missing)}`);
  const expected = nearest(drivers.values(), question);
  const ids = answer.drivers.map(({ driver_id }) => driver_id);
  assert.equal(new Set(ids).size, ids.length, `${why}: a driver is listed twice: ${ids}`);
  assert.equal(ids.length, expected.length, `${why}: ${ids} instead of ${namesOf(expected)}`);
  for (const [i, driver] of answer.drivers.entries()) {
    const known = drivers.get(driver.driver_id);
    assert.ok(known, `${why}: no acknowledgement for ${driver.driver_id}`);
    const { distanceM } = expected[i] as Sighted;
    const actualM = metresBetween(question.lat, question.lon, known.lat, known.lon);
    const isRight = Math.abs(actualM - distanceM) <= TIE_M;
    assert.ok(isRight, `${why}: place ${i}: ${ids} instead of ${namesOf(expected)}`);
    assert.ok(
      Math.abs((driver.distance_m ?? Number.NaN) - distanceM) <= TOLD_M,
      `${why}: ${driver.driver_id}`,
    );
    assertSame(driver, known);
  }
}

function namesOf(sighted: readonly Sighted[]): string {
  return sighted.map(({ known, distanceM }) => `${known.driverId} (${distanceM.toFixed(3)} m)`).join();
}

/** Every field of a driver, except those that depend on the question. */
export function assertSame(driver: AnsweredDriver, known: Known): void {
  assert.deepEqual(
    {
      driverId: driver.driver_id,
      recordedAt: driver.recorded_at,
      lat: driver.lat,
      lon: driver.lon,
      headingDeg: driver.heading_deg,
      speedMps: driver.speed_mps,
      accuracyM: driver.accuracy_m,
      status: driver.status,
      services: driver.services,
    },
    {
      driverId: known.driverId,
      recordedAt: new Date(known.recordedAtMs).toISOString(),
      lat: known.lat,
      lon: known.lon,
      headingDeg: known.headingDeg,
      speedMps: known.speedMps,
      accuracyM: known.accuracyM,
      status: known.status,
      services: known.services,
    },
  );
}
