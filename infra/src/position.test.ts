import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  bearingDeg,
  distanceM,
  fromE7,
  isNewer,
  MAX_LATITUDE,
  NONE_U16,
  PositionError,
  type PositionInput,
  toE7,
  validatePosition,
} from './position.js';

const NOW = 1_708_353_615_000;
const valid = { seq: 1, recordedAtMs: NOW, lat: 52.2297, lon: 21.0122 };

function validate(change: PositionInput = {}) {
  return validatePosition({ ...valid, ...change }, 'bus-1', 7);
}

function assertRefused(change: PositionInput, code: string, field: RegExp) {
  assert.throws(
    () => validate(change),
    (error) => error instanceof PositionError && error.code === code && field.test(error.message),
    `${JSON.stringify(change)} should be refused with ${code}`,
  );
}

test('a bare report gets its defaults', () => {
  assert.deepEqual(validate(), {
    driverId: 'bus-1',
    session: 7,
    seq: 1,
    recordedAtMs: NOW,
    latE7: 522_297_000,
    lonE7: 210_122_000,
    headingCdeg: NONE_U16,
    speedCmps: NONE_U16,
    accuracyDm: NONE_U16,
    status: 'available',
    services: 0,
    checkpoint: false,
    checkpointId: null,
  });
});

test('a full report keeps everything in its unit', () => {
  const p = validate({
    headingDeg: 90.126,
    speedMps: 13.889,
    accuracyM: 4.56,
    status: 'busy',
    services: 65_535,
    checkpoint: true,
    checkpointId: 'trip_9-Z',
  });
  assert.equal(p.headingCdeg, 9013);
  assert.equal(p.speedCmps, 1389);
  assert.equal(p.accuracyDm, 46);
  assert.equal(p.status, 'busy');
  assert.equal(p.services, 65_535);
  assert.equal(p.checkpoint, true);
  assert.equal(p.checkpointId, 'trip_9-Z');
});

test('null is an unknown heading, speed, accuracy or checkpoint id, as browsers report it', () => {
  const p = validate({ headingDeg: null, speedMps: null, accuracyM: null, checkpointId: null });
  assert.deepEqual([p.headingCdeg, p.speedCmps, p.accuracyDm, p.checkpointId], [65535, 65535, 65535, null]);
});

test('coordinates that are no place on the map are bad_position and name the field', () => {
  for (const lat of [Number.NaN, Infinity, -Infinity, '52.2', null, [], 85.0511288, -85.06, 90, 95]) {
    assertRefused({ lat }, 'bad_position', /^lat /);
  }
  for (const lon of [Number.NaN, Infinity, '21', null, {}, 180.0000001, -180.1, 200]) {
    assertRefused({ lon }, 'bad_position', /^lon /);
  }
  assertRefused({ lat: undefined }, 'bad_message', /^lat is missing/);
  assertRefused({ lon: undefined }, 'bad_message', /^lon is missing/);
});

test('every other field is refused as bad_message and named', () => {
  const cases: [RegExp, keyof PositionInput, unknown[]][] = [
    [/^seq /, 'seq', [undefined, null, 0, -1, 1.5, 2 ** 32, Number.NaN, '1', true]],
    [/^recorded_at_ms /, 'recordedAtMs', [undefined, null, 0, -1, 0.4, 2 ** 48, Infinity, '1708353615000']],
    [/^heading_deg /, 'headingDeg', [360.01, Number.NaN, Infinity, '90']],
    [/^speed_mps /, 'speedMps', [Number.NaN, Infinity, '3']],
    [/^accuracy_m /, 'accuracyM', [Number.NaN, Infinity, '3']],
    [/^status /, 'status', ['free', '', 0, ['busy']]],
    [/^services /, 'services', [-1, 65_536, 0.5, '1']],
    [/^checkpoint /, 'checkpoint', ['true', 1]],
  ];
  for (const [name, field, values] of cases) {
    for (const value of values) assertRefused({ [field]: value }, 'bad_message', name);
  }
  for (const id of ['', 'a b', 'é', 'a'.repeat(65), 5]) {
    assertRefused({ checkpoint: true, checkpointId: id }, 'bad_message', /^checkpoint_id /);
  }
  assertRefused({ checkpointId: 'trip' }, 'bad_message', /^checkpoint_id goes only with/);
});

test('what phones say where they do not know counts as not given', () => {
  for (const unknown of [null, -1, -0.01, -180, Number.NEGATIVE_INFINITY]) {
    const { headingCdeg, speedCmps, accuracyDm } = validate({
      headingDeg: unknown,
      speedMps: unknown,
      accuracyM: unknown,
    });
    assert.deepEqual([headingCdeg, speedCmps, accuracyDm], [NONE_U16, NONE_U16, NONE_U16], String(unknown));
  }
  const { status, services, checkpoint, checkpointId } = validate({
    status: null,
    services: null,
    checkpoint: null,
    checkpointId: null,
  });
  assert.deepEqual([status, services, checkpoint, checkpointId], ['available', 0, false, null]);
});

test('fractions of a millisecond are rounded', () => {
  assert.equal(validate({ recordedAtMs: 1_708_353_615_000.75 }).recordedAtMs, 1_708_353_615_001);
  assert.equal(validate({ recordedAtMs: 1_708_353_615_000.25 }).recordedAtMs, 1_708_353_615_000);
});

test('the limits themselves are taken', () => {
  assert.equal(validate({ seq: 2 ** 32 - 1 }).seq, 2 ** 32 - 1);
  assert.equal(validate({ recordedAtMs: 2 ** 48 - 1 }).recordedAtMs, 2 ** 48 - 1);
  assert.equal(validate({ headingDeg: 360 }).headingCdeg, 0);
  assert.equal(validate({ headingDeg: 359.999 }).headingCdeg, 0);
  assert.equal(validate({ headingDeg: 359.99 }).headingCdeg, 35_999);
  assert.equal(validate({ speedMps: 1e9 }).speedCmps, NONE_U16 - 1);
  assert.equal(validate({ accuracyM: 1e9 }).accuracyDm, NONE_U16 - 1);
  assert.equal(validate({ speedMps: 0 }).speedCmps, 0);
});

test('the edges of the world stay inside what Redis takes', () => {
  assert.equal(validate({ lat: MAX_LATITUDE }).latE7, 850_511_287);
  assert.equal(validate({ lat: -MAX_LATITUDE }).latE7, -850_511_287);
  assert.ok(fromE7(validate({ lat: MAX_LATITUDE }).latE7) <= MAX_LATITUDE);
  assert.equal(validate({ lon: 180 }).lonE7, -1_800_000_000);
  assert.equal(validate({ lon: 179.99999999 }).lonE7, -1_800_000_000);
  assert.equal(validate({ lon: -180 }).lonE7, -1_800_000_000);
  assert.ok(Object.is(validate({ lat: -0 }).latE7, 0));
});

test('coordinates survive the way to 1e-7 degree and back', () => {
  fc.assert(
    fc.property(fc.integer({ min: -1_800_000_000, max: 1_800_000_000 }), (e7) => toE7(fromE7(e7)) === e7),
  );
});

test('newer is the greater session, then the later time, as numbers', () => {
  const at = (session: number, recordedAtMs: number) => ({ session, recordedAtMs });
  assert.equal(isNewer(at(10, 1), at(9, 99)), true);
  assert.equal(isNewer(at(9, 99), at(10, 1)), false);
  assert.equal(isNewer(at(9, 100), at(9, 99)), true);
  assert.equal(isNewer(at(9, 99), at(9, 99)), false);
});

test('distance agrees with known ones, also across the antimeridian', () => {
  const nearly = (actual: number, expected: number) =>
    assert.ok(Math.abs(actual - expected) < expected * 1e-4, `${actual} is not nearly ${expected}`);
  nearly(distanceM(0, 0, 0, 1), 111_195.08);
  nearly(distanceM(52.2297, 21.0122, 51.5074, -0.1278), 1_448_516);
  nearly(distanceM(0, 179.5, 0, -179.5), 111_195.08);
  nearly(distanceM(0, 0, 0, 180), Math.PI * 6_371_008.8);
  assert.equal(distanceM(85, 10, 85, 10), 0);
});

test('bearings are within 0 and 360', () => {
  const rounded = (...p: [number, number, number, number]) => Math.round(bearingDeg(...p));
  assert.equal(rounded(0, 0, 1, 0), 0);
  assert.equal(rounded(0, 0, 0, 1), 90);
  assert.equal(rounded(0, 0, -1, 0), 180);
  assert.equal(rounded(0, 0, 0, -1), 270);
  assert.equal(rounded(0, 179.5, 0, -179.5), 90);
  const lat = fc.double({ min: -85, max: 85, noNaN: true });
  const lon = fc.double({ min: -180, max: 180, noNaN: true });
  fc.assert(
    fc.property(lat, lon, lat, lon, (a, b, c, d) => {
      const bearing = bearingDeg(a, b, c, d);
      return bearing >= 0 && bearing < 360;
    }),
  );
});
