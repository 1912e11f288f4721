import assert from 'node:assert/strict';
import { createReadStream, existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type CsvPosition, type MalformedLine, PositionCsv, PositionCsvError } from './position-csv.js';

const DATA = fileURLToPath(new URL('../../../../shared/data/', import.meta.url));

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
      String(reason),
    );
  await refused('', /empty/);
  await refused('id,lat,lon\n1,2,3\n', /lacks vehicle_id, unix_ms/);
  await refused('5022,1490072402000,30.4,-97.6\n', /lacks vehicle_id, unix_ms, lat, lon/);
  await refused('vehicle_id;unix_ms,lat,lon\n', /lacks vehicle_id, unix_ms/);
  await refused('"vehicle_id,unix_ms,lat,lon\n1,2,3,4', /line 1: a quote is opened and not closed/);
  await refused('v\0e\0h\0i\0', /not UTF-8/);
});

test('fields may be quoted, and separated by comma, semicolon, tab or bar', async () => {
  const header = ['vehicle_id', 'note', 'unix_ms', 'lat', 'lon'];
  const rows = [
    ['5022', 'from A, by "B"; | \t', '1490072402000', '30.414877', '-97.66681'],
    ['tram-7', '', '1490072403000', '0', '180'],
  ];
  const quoted = (field: string) => `"${field.replaceAll('"', '""')}"`;
  const plain = (field: string) => (/[",;|\t]/.test(field) ? quoted(field) : field);
  for (const delimiter of [',', ';', '\t', '|']) {
    for (const style of [plain, quoted]) {
      const lines = [header, ...rows].map((fields) => fields.map(style).join(delimiter));
      for (const [start, end] of [
        ['', '\n'],
        ['\uFEFF', '\r\n'],
      ] as const) {
        for (const length of [1, 13, 10_000]) {
          const { positions, malformed } = await read(inChunks(start + lines.join(end) + end, length));
          assert.deepEqual([positions, malformed], [[one, two], []], `${delimiter} ${style.name} ${length}`);
        }
      }
    }
  }
});

test('where the comma does not separate it may stand for the point', async () => {
  const text = 'vehicle_id;unix_ms;lat;lon\n5022;1490072402000;30,414877;-97,66681\n5022;1,5;1,2,3;0\n';
  const { positions, malformed } = await read(inChunks(text, 64));
  assert.deepEqual(positions, [one]);
  assert.match(malformed[0]?.reason ?? '', /unix_ms must be an integer/);
});

test('a quote that is wrong costs its own row, with its line, and lines are counted through quoted line ends', async () => {
  const good = '5022,1490072402000,30.414877,-97.66681,';
  const lines = [
    'vehicle_id,unix_ms,lat,lon,note',
    `${good}"two`, // 2 and 3
    'lines"',
    '"5022,1490072402000,30.4,-97.6,stray',
    good,
    `${good}a "b" c`,
    `${good}"a" b`,
    good,
    '5022,1490072402000,30.4,"-97.6,stray again',
    ...Array.from({ length: 30 }, () => good),
    '"5022,1490072402000,30.4,-97.6,at the end',
  ];
  for (const length of [1, 50, 100_000]) {
    const { positions, malformed } = await read(inChunks(lines.join('\n'), length));
    assert.equal(positions.length, 33, `chunks of ${length}`);
    const told = malformed.map(({ line, reason }) => `${line}: ${reason}`);
    assert.deepEqual(told, [
      '4: a quote is opened and not closed',
      '6: a quote stands in the middle of a field',
      '7: a quote is followed by something else than a separator',
      '9: a quote is opened and not closed',
      '40: a quote is opened and not closed',
    ]);
  }
});

test('times in seconds, microseconds or nanoseconds are noticed', async () => {
  for (const [time, unit] of [
    ['1490072402', 'seconds'],
    ['1490072402.5', 'seconds'],
    ['1490072402000000', 'microseconds'],
    ['1490072402000000000', 'nanoseconds'],
  ] as const) {
    const text = `vehicle_id,unix_ms,lat,lon\n5022,${time},30.4,-97.6\n5022,1490072402000,30.414877,-97.66681\n`;
    const { positions, malformed } = await read(inChunks(text, 64));
    assert.deepEqual(positions, [one]);
    const reason = `unix_ms ${time} looks like ${unit}: give milliseconds`;
    assert.deepEqual(malformed, [{ line: 2, reason }]);
  }
});

test('a file without a usable row is refused, with the first reason', async () => {
  const refused = (rows: string, message: string) =>
    assert.rejects(read(inChunks(`vehicle_id,unix_ms,lat,lon\n${rows}`, 100)), {
      code: 'no_positions',
      message,
    });
  await refused('', 'there is no row below the header');
  await refused('\n\n', 'there is no row below the header');
  const seconds = 'line 2: unix_ms 1490072402 looks like seconds: give milliseconds';
  await refused('5022,1490072402,30.4,-97.6\n', `the only row is no position; ${seconds}`);
  await refused('5022,1490072402,30.4,-97.6\nx\n', `none of 2 rows is a position; ${seconds}`);
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
