import assert from 'node:assert/strict';
import { createReadStream, existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import ngeohash from 'ngeohash';
import { CELL_COUNT, cellFromString, cellToString } from './geohash.js';
import { keySlot } from './hash-slot.js';
import {
  buildPartitionMap,
  evenPartitionMap,
  formatPartitionMap,
  PartitionMap,
  PartitionMapError,
  parsePartitionMap,
} from './partition-map.js';
import { PositionCsv } from './position-csv.js';

type Place = { lat: number; lon: number };

const WARSAW = fileURLToPath(new URL('../../../../shared/data/warsaw_buses_a.csv', import.meta.url));
const latitude = fc.double({ min: -85.05, max: 85.05, noNaN: true });
const longitude = fc.double({ min: -180, max: 180, noNaN: true });
const cells = fc.uniqueArray(fc.integer({ min: 1, max: CELL_COUNT - 1 }), { maxLength: 200 });
const map = cells.map((list) => new PartitionMap(list.sort((a, b) => a - b).map(cellToString)));

function assertBad(make: () => unknown, reason: RegExp) {
  assert.throws(
    make,
    (error) =>
      error instanceof PartitionMapError && error.code === 'bad_partition_map' && reason.test(error.message),
  );
}

test('a position is in the one partition whose range holds its geohash', () => {
  fc.assert(
    fc.property(map, latitude, longitude, (m, lat, lon) => {
      const { from, to } = m.range(m.partitionOf(lat, lon));
      const geohash = ngeohash.encode(lat, lon === 180 ? -180 : lon, 6);
      assert.ok(from <= geohash && geohash < to, `${geohash} is not within ${from} and ${to}`);
    }),
    { numRuns: 1000 },
  );
});

test('a boundary belongs to the partition that it begins', () => {
  const m = new PartitionMap(['s00000', 's00001']);
  assert.equal(m.partitionOf(-0.001, 0.001), 0);
  assert.equal(m.partitionOf(0.001, 0.001), 1);
  assert.equal(m.partitionOf(0.001, 0.012), 2);
  assert.throws(() => m.partitionOf(Number.NaN, 0), RangeError);
});

test('ranges follow one another from the start of the curve to its end', () => {
  fc.assert(
    fc.property(map, (m) => {
      assert.equal(m.range(0).from, '000000');
      assert.equal(m.range(m.partitions - 1).to, '~~~~~~');
      assert.equal(m.cellRange(0).from, 0);
      assert.equal(m.cellRange(m.partitions - 1).to, CELL_COUNT);
      for (let i = 1; i < m.partitions; i++) {
        assert.equal(m.range(i).from, m.range(i - 1).to);
        assert.ok(m.range(i).from < m.range(i).to);
        assert.equal(m.cellRange(i).from, cellFromString(m.range(i).from));
        assert.equal(m.cellRange(i).from, m.cellRange(i - 1).to);
      }
    }),
  );
});

test('slots go evenly and in order, each tag leads to its slot', () => {
  for (const partitions of [1, 2, 3, 64, 96, 1000]) {
    const m = evenPartitionMap(partitions);
    for (let i = 0; i < partitions; i++) {
      assert.equal(m.slotOf(i), Math.floor(((i + 0.5) * 16_384) / partitions));
      assert.equal(keySlot(`{${m.tagOf(i)}}:positions`), m.slotOf(i));
    }
  }
  assert.equal(evenPartitionMap(64).slotOf(0), 128);
  const finest = evenPartitionMap(16_384);
  for (let i = 0; i < finest.partitions; i++) assert.equal(finest.slotOf(i), i);
});

test('there is nothing to say of a partition that is none', () => {
  const m = evenPartitionMap(4);
  for (const i of [-1, 4, 0.5, Number.NaN]) {
    assert.throws(() => m.range(i), RangeError);
    assert.throws(() => m.slotOf(i), RangeError);
    assert.throws(() => m.tagOf(i), RangeError);
  }
});

test('an even map cuts the curve into equal pieces', () => {
  assert.deepEqual(evenPartitionMap(4).boundaries, ['800000', 'h00000', 's00000'].sort());
  const m = evenPartitionMap(7);
  for (let i = 0; i < 7; i++) {
    const { from, to } = m.cellRange(i);
    assert.ok(Math.abs(to - from - CELL_COUNT / 7) <= 1);
  }
  for (const partitions of [0, -1, 1.5, 16_385, Number.NaN]) {
    assertBad(() => evenPartitionMap(partitions), /within 1 and 16384/);
  }
});

test('a file is read as it was written, and its hash is that of its content alone', () => {
  fc.assert(
    fc.property(map, (m) => {
      const again = parsePartitionMap(formatPartitionMap(m));
      assert.deepEqual(again.boundaries, m.boundaries);
      assert.equal(again.hash, m.hash);
      const compact = parsePartitionMap(JSON.stringify(JSON.parse(formatPartitionMap(m))));
      assert.equal(compact.hash, m.hash);
    }),
  );
  // Pinned: other processes hold partitions under this name.
  assert.equal(evenPartitionMap(64).hash, 'b252a9055ad6057b');
  assert.notEqual(evenPartitionMap(64).hash, evenPartitionMap(63).hash);
});

test('a bad file is refused with the reason', () => {
  const file = (change: object) => () =>
    parsePartitionMap(
      JSON.stringify({ format: 1, partitions: 3, boundaries: ['900000', 'u3qcnh'], ...change }),
    );
  assert.equal(file({})().partitions, 3);
  assertBad(() => parsePartitionMap('{"format":1'), /not JSON/);
  assertBad(() => parsePartitionMap('[]'), /not a JSON object/);
  assertBad(() => parsePartitionMap('null'), /not a JSON object/);
  assertBad(file({ format: 2 }), /"format" must be 1, not 2/);
  assertBad(file({ format: undefined }), /"format" must be 1/);
  assertBad(file({ partitions: 4 }), /"partitions" is 4, but 2 boundaries make 3/);
  assertBad(file({ boundaries: 'u3qcnh' }), /"boundaries" must be a list/);
  assertBad(
    file({ boundaries: ['900000', 'u3qcn'] }),
    /boundary 1 must be a geohash of 6 characters, not "u3qcn"/,
  );
  assertBad(file({ boundaries: ['900000', 'U3QCNH'] }), /boundary 1 must be/);
  assertBad(file({ boundaries: ['900000', 7] }), /boundary 1 must be .* not 7/);
  assertBad(
    file({ boundaries: ['u3qcnh', '900000'] }),
    /boundary 1 \("900000"\) does not come after "u3qcnh"/,
  );
  assertBad(file({ boundaries: ['900000', '900000'] }), /does not come after/);
  assertBad(file({ boundaries: ['000000', '900000'] }), /boundary 0 .* the start of the curve/);
});

/** Positions and distinct cells of the sample in each partition. */
function loads(m: PartitionMap, samples: Place[]): { positions: number; cells: number }[] {
  const found = Array.from({ length: m.partitions }, () => ({ positions: 0, cells: new Set<string>() }));
  for (const { lat, lon } of samples) {
    const load = found[m.partitionOf(lat, lon)];
    assert.ok(load);
    load.positions++;
    load.cells.add(ngeohash.encode(lat, lon, 6));
  }
  return found.map((load) => ({ positions: load.positions, cells: load.cells.size }));
}

test('no partition is empty or hair-thin, whatever the sample repeats', () => {
  const spot = fc.record({
    lat: fc.double({ min: 52, max: 52.4, noNaN: true }),
    lon: fc.double({ min: 20.8, max: 21.3, noNaN: true }),
    times: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 3000 })),
  });
  fc.assert(
    fc.property(fc.array(spot, { minLength: 10, maxLength: 200 }), (spots) => {
      const samples = spots.flatMap(({ lat, lon, times }) =>
        Array.from({ length: times }, () => ({ lat, lon })),
      );
      const distinct = new Set(spots.map(({ lat, lon }) => ngeohash.encode(lat, lon, 6))).size;
      const partitions = Math.max(1, Math.floor(distinct / 2));
      const m = buildPartitionMap(samples, partitions);
      assert.equal(m.partitions, partitions);
      for (const load of loads(m, samples)) assert.ok(load.cells >= 2 || partitions === 1);
    }),
    { numRuns: 60, endOnFailure: true },
  );
});

test('where no cell is crowded every partition has from half to one and a half of its share', () => {
  const grid = Array.from({ length: 1000 }, (_, i) => ({
    lat: 52 + 0.011 * Math.floor(i / 40),
    lon: 20.8 + 0.022 * (i % 40),
  }));
  const share = 1000 / 64;
  for (const { positions } of loads(buildPartitionMap(grid), grid)) {
    assert.ok(positions >= share / 2 && positions <= share * 1.5, `${positions} of ${share}`);
  }
});

test('a queue at the airport leaves the rest of the city evenly cut', () => {
  const city = Array.from({ length: 1000 }, (_, i) => ({
    lat: 52 + 0.011 * Math.floor(i / 40),
    lon: 20.8 + 0.022 * (i % 40),
  }));
  const airport = Array.from({ length: 20_000 }, () => ({ lat: 52.1657, lon: 20.9671 }));
  const m = buildPartitionMap([...city, ...airport], 32);
  const share = 1000 / 32;
  for (const { positions, cells } of loads(m, city)) {
    assert.ok(positions >= share / 3 && positions <= share * 1.6, `${positions} of ${share}`);
    assert.ok(cells >= 2);
  }
});

test('a sample with too few distinct cells is refused, and says what it would take', () => {
  const place = { lat: 52.2, lon: 21 };
  assertBad(() => buildPartitionMap([], 64), /has 0 distinct geohash-6 cells.* need at least 128/);
  assertBad(
    () =>
      buildPartitionMap(
        Array.from({ length: 10_000 }, () => place),
        2,
      ),
    /has 1 distinct/,
  );
  assertBad(() => buildPartitionMap([place], 0), /within 1 and 16384/);
  assert.equal(buildPartitionMap([place], 1).partitions, 1);
  assert.throws(() => buildPartitionMap([{ lat: Number.NaN, lon: 0 }], 1), RangeError);
});

test('the same sample in another order makes the same map', () => {
  const samples = Array.from({ length: 500 }, (_, i) => ({
    lat: 30 + (i % 25) * 0.02,
    lon: -97 + i * 0.013,
  }));
  assert.equal(buildPartitionMap(samples, 16).hash, buildPartitionMap(samples.toReversed(), 16).hash);
});

test('a real city is cut evenly', async (t) => {
  if (!existsSync(WARSAW)) return t.skip(`${WARSAW} is not here`);
  const samples: Place[] = [];
  for await (const position of new PositionCsv(createReadStream(WARSAW, 'utf8'))) samples.push(position);
  for (const partitions of [16, 64, 128]) {
    const found = loads(buildPartitionMap(samples, partitions), samples).map((load) => load.positions);
    const share = samples.length / partitions;
    const [least, most] = [Math.min(...found) / share, Math.max(...found) / share];
    t.diagnostic(`${partitions} partitions: ${least.toFixed(2)} to ${most.toFixed(2)} of a fair share`);
    assert.ok(least > 0.4 && most < 2, `${least} to ${most} of a fair share`);
  }
});
