import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client } from 'pg';
import { arrayOf } from './archive-row.js';
import { type ArchiveFixture, startArchive } from './testing/archive-fixture.js';

let postgres: ArchiveFixture;
let client: Client;

before(async () => {
  postgres = await startArchive();
  client = new Client({ connectionString: postgres.flusherUrl });
  await client.connect();
});
after(async () => {
  await client.end();
  await postgres.stop();
});

type Value = string | number | null;

async function read(type: string, values: readonly Value[], as = type): Promise<unknown[]> {
  const array = arrayOf(type, values, (value) => value);
  const { rows } = await client.query(`SELECT $1::${type}[]::${as}[] AS read`, [array]);
  return (rows as { read: unknown[] }[])[0]?.read ?? [];
}

test('Postgres reads texts as they were, whatever they hold', async () => {
  const texts = [
    'NULL',
    'null',
    '',
    ' ',
    ',',
    '{}',
    '"',
    '\\',
    '\\"',
    "'",
    'a"b\\c',
    '\n',
    'ü',
    'aü',
    '🚕',
    null,
  ];
  assert.deepEqual(await read('text', texts), texts);
  assert.deepEqual(await read('text', []), []);
});

test('and numbers to the last digit', async () => {
  const numbers = [0, -1, 1e-7, 52.2297001, -85.0511287, 179.9999999, 5e-324, 1.7976931348623157e308, null];
  assert.deepEqual(await read('double precision', numbers), numbers);
  const bigints = [0, 65_535, 2 ** 32 - 1, 2 ** 32, 2 ** 48 - 1, -1, -(2 ** 40) - 3, null];
  assert.deepEqual(
    await read('bigint', bigints),
    bigints.map((value) => (value === null ? null : String(value))),
  );
  const integers = [0, 65_535, -1, 2 ** 31 - 1, -(2 ** 31), null];
  assert.deepEqual(await read('integer', integers), integers);
  assert.deepEqual(await read('integer', []), []);
});

test('and measures as if they had come as text: every hundredth that a record can hold', async () => {
  const hundredths = [null, ...Array.from({ length: 65_535 }, (_, i) => i / 100)];
  const asText = `{${hundredths.map((value) => value ?? 'NULL').join(',')}}`;
  const { rows } = await client.query('SELECT $1::real[] = $2::real[] AS same', [
    arrayOf('real', hundredths, (value) => value),
    asText,
  ]);
  assert.deepEqual(rows, [{ same: true }]);
});

test('and times to the millisecond, as far as a record reaches', async () => {
  const times = [1, 946_684_799_999, 946_684_800_000, 1_795_000_000_123, 8.64e15 / 1_000, 2 ** 48 - 1];
  const array = arrayOf('timestamptz', [...times, null], (value) => value);
  const { rows } = await client.query(
    `SELECT (extract(epoch FROM t) * 1000)::numeric(20, 3)::text AS ms FROM unnest($1::timestamptz[]) AS t`,
    [array],
  );
  assert.deepEqual(
    rows.map(({ ms }) => ms),
    [...times.map((ms) => `${ms}.000`), null],
  );
});
