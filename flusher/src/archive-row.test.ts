import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client } from 'pg';
import { arrayLiteral } from './archive-row.js';
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

async function read(type: string, values: readonly (string | number | null)[]): Promise<unknown[]> {
  const { rows } = await client.query(`SELECT $1::${type}[] AS read`, [arrayLiteral(values)]);
  return (rows as { read: unknown[] }[])[0]?.read ?? [];
}

test('Postgres reads texts as they were, whatever they hold', async () => {
  const texts = ['NULL', 'null', '', ' ', ',', '{}', '"', '\\', '\\"', "'", 'a"b\\c', '\n', 'ü', '🚕', null];
  assert.deepEqual(await read('text', texts), texts);
  assert.deepEqual(await read('text', []), []);
});

test('and numbers to the last digit', async () => {
  const numbers = [0, -1, 1e-7, 52.2297001, -85.0511287, 179.9999999, 5e-324, 1.7976931348623157e308, null];
  assert.deepEqual(await read('double precision', numbers), numbers);
  const integers = [0, 65_535, 2 ** 32 - 1, 2 ** 48 - 1, null];
  assert.deepEqual(
    await read('bigint', integers),
    integers.map((value) => (value === null ? null : String(value))),
  );
});
