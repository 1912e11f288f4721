import assert from 'node:assert/strict';
import { createReadStream, existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type CsvPosition, type MalformedLine, PositionCsv, PositionCsvError } from './position-csv.js';

const DATA = fileURLToPath(new URL('../../../shared/data/', import.meta.url));

async function* inChunks(text: string, length: number): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += length) yield text.slice(at, at + length);
}

async function read(chunks: AsyncIterable<string>) {
  const malformed: MalformedLine[] = [];
  const csv = new PositionCsv(chunks, (line) => malformed.push(line));
  const positions: CsvPosition[] = [];
  for await (const position of csv) positions.push(position);
  assert.equal(csv.rows, positions.length);
  assert.equal(csv.malformed, malformed.length);
  return { positions, malformed };
}

const one = { vehicleId: '5022', unixMs: 1_490_072_402_000, lat: 30.414877, lon: -97.66681 };
const two = { vehicleId: 'tram-7', unixMs: 1_490_072_403_000, lat: 0, lon: 180 };

test('positions are read whatever the chunks, line ends, blank lines and last line', async () => {
  const lines = [
    'vehicle_id,unix_ms,lat,lon',
    '5022,1490072402000,30.414877,-97.66681',
    '',
    'tram-7,1490072403000,0,180',
  ];
  for (const end of ['\n', '\r\n']) {
    for (const last of ['', end]) {
      const text = lines.join(end) + last;
      for (const length of [1, 2, 7, 10_000]) {
        assert.deepEqual(await read(inChunks(text, length)), { positions: [one, two], malformed: [] });
      }
    }
  }
});

test('columns are found by their names, in any order and among others', async () => {
  const text = '\uFEFFLon, Lat,snapshot,UNIX_MS,vehicle_id\n-97.66681,30.414877,2,1490072402000,5022\n';
  assert.deepEqual((await read(inChunks(text, 64))).positions, [one]);
});

test('a line that is no position is told with its number and counted, and the rest is read', async () => {
  const bad: [string, RegExp][] = [
    ['5022,1490072402000,30.4', /3 fields where the header has 4/],
    ['5022,1490072402000,30.4,-97.6,9', /5 fields/],
    [',1490072402000,30.4,-97.6', /vehicle_id must be/],
    ['bus 1,1490072402000,30.4,-97.6', /vehicle_id must be/],
    ['5022,2017-03-21 05:00:02,30.4,-97.6', /unix_ms must be an integer/],
    ['5022,-5,30.4,-97.6', /unix_ms must be within/],
    ['5022,0.4,30.4,-97.6', /unix_ms must be within/],
    ['5022,1490072402000,,-97.6', /lat must be a finite number/],
    ['5022,1490072402000,0x1f,-97.6', /lat must be a finite number/],
    ['5022,1490072402000,30.4,east', /lon must be a finite number/],
    ['5022,1490072402000,86,-97.6', /lat must be within/],
    ['5022,1490072402000,30.4,180.1', /lon must be within/],
    ['x'.repeat(100_000), /longer than 16384 characters/],
  ];
  const good = '5022,1490072402000,30.414877,-97.66681';
  const text = ['vehicle_id,unix_ms,lat,lon', ...bad.map(([line]) => line), good].join('\n');
  for (const length of [1000, 1_000_000]) {
    const { positions, malformed } = await read(inChunks(text, length));
    assert.deepEqual(positions, [one]);
    assert.equal(malformed.length, bad.length);
    for (const [i, { line, reason }] of malformed.entries()) {
      assert.equal(line, i + 2);
      assert.match(reason, bad[i]?.[1] ?? /^$/);
    }
  }
});

test('a file without the columns is refused and says which are missing', async () => {
  const refused = (text: string, reason: RegExp) =>
    assert.rejects(
      read(inChunks(text, 100)),
      (error) =>
        error instanceof PositionCsvError && error.code === 'bad_header' && reason.test(error.message),
    );
  await refused('', /empty/);
  await refused('id,lat,lon\n1,2,3\n', /lacks vehicle_id, unix_ms/);
  await refused('5022,1490072402000,30.4,-97.6\n', /lacks vehicle_id, unix_ms, lat, lon/);
});

for (const [file, rows] of [
  ['warsaw_buses_a.csv', 331_140],
  ['austin_buses_20170321.csv', 45_385],
  ['warsaw_arrival_order.csv', 79_965],
] as const) {
  test(`${file} is read whole`, async (t) => {
    if (!existsSync(DATA + file)) return t.skip(`${DATA}${file} is not here`);
    const { positions, malformed } = await read(createReadStream(DATA + file, 'utf8'));
    assert.deepEqual([positions.length, malformed], [rows, []]);
  });
}
