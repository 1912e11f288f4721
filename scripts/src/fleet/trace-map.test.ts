// A partition map from a trace: as many partitions as it has places for, and a message about skipped rows.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { PartitionMapError } from '@whereabouts/infra/partition-map';
import { UsageError } from '../usage-error.js';
import { mapOfTrace, traceExample } from './trace-map.js';

let dir: string;
let file: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'whereabouts-trace-'));
  file = join(dir, 'trace.csv');
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

const HEADER = 'vehicle_id,unix_ms,lat,lon';
const START_MS = 1_700_000_000_000;

/** So many cells of the map next to each other, `each` positions in each. */
function write(cells: number, each = 1, more: readonly string[] = []): void {
  const rows = Array.from({ length: cells * each }, (_, i) => {
    const lon = 21 + (i % cells) * 0.011; // a cell is 0.011 degrees wide
    return `bus-${i % 7},${START_MS + i},52.23,${lon.toFixed(4)}`;
  });
  writeFileSync(file, [HEADER, ...rows, ...more].join('\n'));
}

for (const [cells, partitions] of [
  [128, 64],
  [127, 32],
  [86, 32],
  [4, 2],
  [1, 1],
] as const) {
  test(`a trace in ${cells} cells gives ${partitions} partitions`, async () => {
    write(cells, 3);
    const { map, positions, notes } = await mapOfTrace(file);
    assert.equal(map.partitions, partitions);
    assert.equal(positions, 3 * cells);
    if (partitions === 64) assert.deepEqual(notes, []);
    else
      assert.match(notes.join(), new RegExp(`too few places for 64 partitions: the map has ${partitions}`));
  });
}

test('a number that was asked for is not made smaller', async () => {
  write(86);
  await assert.rejects(mapOfTrace(file, 64), PartitionMapError);
  assert.equal((await mapOfTrace(file, 40)).map.partitions, 40);
});

test('skipped rows are reported, the first with their lines', async () => {
  write(
    128,
    1,
    Array.from({ length: 7 }, () => `bus-1,${START_MS},95,21`),
  );
  const { notes } = await mapOfTrace(file);
  assert.equal(notes.length, 1);
  assert.match(notes[0] ?? '', /7 rows are skipped:\n {2}line 130: lat must be.*\n {2}and 2 more$/s);
});

test('a trace without a usable row, or that is not there, is told to the person', async () => {
  writeFileSync(file, `${HEADER}\nbus-1,1700000000,52.23,21\n`);
  for (const ask of [mapOfTrace, traceExample]) {
    await assert.rejects(ask(file), (error) => error instanceof UsageError && /seconds/.test(error.message));
  }
  await assert.rejects(mapOfTrace(join(dir, 'none.csv')), UsageError);
});

test('the example is the first position', async () => {
  write(3);
  assert.deepEqual(await traceExample(file), { lat: 52.23, lon: 21, driverId: 'bus-0' });
});

const AUSTIN = join(import.meta.dirname, '../../../../shared/data/austin_buses_20170321.csv');

test('a real trace', { skip: existsSync(AUSTIN) ? false : `${AUSTIN} is not here` }, async () => {
  const { map, notes } = await mapOfTrace(AUSTIN);
  assert.deepEqual([map.partitions, notes], [64, []]);
});
