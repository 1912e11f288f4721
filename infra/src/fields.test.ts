// The table of fields against what is made of it, and against the migrations.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  BYTES,
  bodyBytesOf,
  FIELDS,
  type Field,
  frameBytesOf,
  OLDEST_FORMAT,
  RECORD_FORMAT,
  reportSchema,
  STATUSES,
} from './fields.js';
import { readLibrary } from './live-store/library.js';
import { COLUMNS, type Position, PositionError, validatePosition } from './position.js';
import { AT, BODY_BYTES, decodeBody, encodeBody, FLAGS, HEAD_BYTES, isReadable } from './record.js';

const fields: readonly Field[] = FIELDS;
const signed = ({ type }: Field) => type.startsWith('i');
const bits = ({ type }: Field) => 8 * BYTES[type];

/** Every number that the field's type can hold. */
function numbers(field: Field): fc.Arbitrary<number> {
  const range = signed(field)
    ? { min: -(2 ** (bits(field) - 1)), max: 2 ** (bits(field) - 1) - 1 }
    : { min: 0, max: 2 ** bits(field) - 1 };
  return range.max < 2 ** 31 ? fc.integer(range) : fc.maxSafeNat().map((n) => n % (range.max + 1));
}

const positions: fc.Arbitrary<Position> = fc.record({
  driverId: fc.constant('d'),
  ...Object.fromEntries(fields.map((field) => [field.name, numbers(field)])),
  status: fc.constantFrom(...STATUSES),
  checkpoint: fc.boolean(),
  checkpointId: fc.constant(null),
}) as unknown as fc.Arbitrary<Position>;

function readNumber(bytes: Buffer, at: number, { type }: Field): number {
  if (type === 'i32') return bytes.readInt32LE(at);
  return bytes.readUIntLE(at, BYTES[type]);
}

test('no two fields overlap, in a body or in a frame', () => {
  for (const [place, first, size] of [
    ['at', 1, BODY_BYTES],
    ['frameAt', 1, frameBytesOf(RECORD_FORMAT)],
  ] as const) {
    const taken = fields.flatMap((field) => {
      const at = field[place];
      return at === undefined ? [] : Array.from({ length: BYTES[field.type] }, (_, i) => at + i);
    });
    const all = Array.from({ length: size - first }, (_, i) => first + i);
    assert.deepEqual(
      taken.sort((a, b) => a - b),
      all,
      place,
    );
  }
});

test('formats only grow: what an older body has stands where it stood', () => {
  assert.equal(bodyBytesOf(OLDEST_FORMAT), 34);
  for (const { name, at, since, absent } of fields) {
    assert.ok(since >= OLDEST_FORMAT && since <= RECORD_FORMAT, name);
    if (since === OLDEST_FORMAT) continue;
    assert.ok(at >= bodyBytesOf(since - 1), `${name} begins behind the bodies before`);
    assert.ok(absent !== undefined, `${name} can be absent`);
  }
});

test('a body has each number at its place, and is read as it was written', () => {
  fc.assert(
    fc.property(positions, fc.boolean(), (p, archived) => {
      const bytes = Buffer.alloc(BODY_BYTES + 6, 0xee);
      encodeBody(p, bytes, 3, archived);
      const body = bytes.subarray(3, 3 + BODY_BYTES);
      assert.deepEqual([bytes[2], bytes[3 + BODY_BYTES]], [0xee, 0xee], 'nothing is written beside it');
      assert.equal(body[0], RECORD_FORMAT);
      for (const field of fields) {
        const { name, at, kind } = field;
        if (kind === 'status') {
          const flags = (p.checkpoint ? FLAGS.checkpoint : 0) | (archived ? FLAGS.archived : 0);
          assert.equal(body[at], STATUSES.indexOf(p.status) | flags);
        } else assert.equal(readNumber(body, at, field), p[name as keyof Position], name);
      }
      assert.deepEqual(decodeBody('d', Buffer.from(body)), { ...p, archived });
    }),
  );
});

test('bodies of every format that there was are read; what they lack is absent', () => {
  fc.assert(
    fc.property(positions, (p) => {
      const bytes = Buffer.alloc(BODY_BYTES);
      encodeBody(p, bytes, 0);
      for (let format = OLDEST_FORMAT; format <= RECORD_FORMAT; format++) {
        bytes[0] = format;
        const decoded = decodeBody('d', bytes.subarray(0, bodyBytesOf(format)));
        for (const { name, since, absent } of fields)
          assert.equal(decoded[name as keyof Position], since <= format ? p[name as keyof Position] : absent);
      }
    }),
  );
});

test('other lengths, formats and statuses cannot be read', () => {
  const bytes = Buffer.alloc(BODY_BYTES + 1);
  encodeBody(validatePosition({ seq: 1, recordedAtMs: 1, lat: 1, lon: 1 }, 'd', 1), bytes, 0);
  const body = bytes.subarray(0, BODY_BYTES);
  assert.ok(isReadable(body));
  assert.ok(!isReadable(bytes) && !isReadable(body.subarray(1)) && !isReadable(Buffer.alloc(0)));
  for (const [at, value] of [
    [0, OLDEST_FORMAT - 1],
    [0, RECORD_FORMAT + 1],
    [AT.statusAndFlags, STATUSES.length],
  ] as const) {
    const odd = Buffer.from(body);
    odd[at] = value;
    assert.throws(() => decodeBody('d', odd), PositionError);
  }
});

test('Lua knows the order of records and their flags where they stand', () => {
  const { text } = readLibrary();
  assert.ok(!/@[A-Z_]+@/.test(text), 'everything is filled in');
  const has = (line: string) => assert.ok(text.includes(`${line}\n`), line);
  has(
    `local OLDEST_FORMAT, FORMAT, FLAGS_AT, ARCHIVED = ${OLDEST_FORMAT}, ${RECORD_FORMAT}, ${AT.statusAndFlags}, 32`,
  );
  // u8 format, u48 session, u48 recorded at.
  has("local HEAD, TAIL = '<BI6I6', '<I6I6'");
  assert.deepEqual([AT.format, AT.session, AT.recordedAt, HEAD_BYTES], [0, 1, 7, 13]);
  has(`local HEAD_BYTES, TAIL_BYTES = 13, 12`);
});

const migrations = (() => {
  const folder = new URL('../../postgres/', import.meta.url);
  const names = readdirSync(folder).filter((name) => name.endsWith('.sql'));
  const ups = names
    .sort()
    .map((name) => readFileSync(new URL(name, folder), 'utf8').split('-- Down Migration')[0]);
  return ups.join('\n');
})();

/** What the migrations say of a column of a table, in the words of SQL. */
function columnOf(table: string, column: string): string | undefined {
  const created = new RegExp(`CREATE TABLE ${table} \\((.*?)^\\)`, 'ms').exec(migrations)?.[1] ?? '';
  const altered = migrations.matchAll(new RegExp(`ALTER TABLE ${table}\\b(.*?);`, 'gs'));
  const all = [
    created,
    ...Array.from(altered, ([, text]) => text?.replaceAll('ADD COLUMN', '\n') ?? ''),
  ].join('\n');
  return new RegExp(`^\\s*${column}\\s+(.*?),?$`, 'm').exec(all)?.[1];
}

test('both tables of the archive have a column for each field, null only where it may be absent', () => {
  for (const table of ['driver_positions', 'checkpoints']) {
    for (const { column, kind } of fields) {
      const isNullable = kind === 'measure';
      const expected = `${column.type}${isNullable ? '' : ' NOT NULL'}`;
      assert.equal(columnOf(table, column.name), expected, `${table}.${column.name}`);
    }
  }
  const names = COLUMNS.map(({ name }) => name);
  assert.deepEqual(names, ['driver_id', ...fields.map(({ column }) => column.name)]);
});

test('the archive holds bounds that are not wider than the table of fields', () => {
  for (const table of ['driver_positions', 'checkpoints']) {
    const created = new RegExp(`CREATE TABLE ${table} \\((.*?)^\\)`, 'ms').exec(migrations)?.[1] ?? '';
    const has = (check: string) => assert.ok(created.includes(`CHECK (${check})`), `${table}: ${check}`);
    for (const { kind, column, min, max, below, since } of fields) {
      if (since > OLDEST_FORMAT) continue; // in a migration of its own
      const { name } = column;
      if (kind === 'count') has(`${name} BETWEEN ${min} AND ${max}`);
      if (kind === 'measure') has(`${name} >= ${min}${below === undefined ? '' : ` AND ${name} < ${below}`}`);
      if (kind === 'status') has(`${name} IN (${STATUSES.map((status) => `'${status}'`).join(', ')})`);
      if (name === 'lat') has(`${name} BETWEEN ${min} AND ${max}`);
      // One meridian, one name.
      if (name === 'lon') has(`${name} >= ${min} AND ${name} < ${max}`);
    }
  }
});

test('a value of a column is that of messages, null where it was not given', () => {
  const bare = validatePosition({ seq: 1, recordedAtMs: 5, lat: 1.5, lon: -2.25 }, 'd', 7);
  const rowOf = (p: Position) => Object.fromEntries(COLUMNS.map(({ name, value }) => [name, value(p)]));
  const common = {
    driver_id: 'd',
    session: 7,
    seq: 1,
    recorded_at: '1970-01-01T00:00:00.005Z',
    lat: 1.5,
    lon: -2.25,
  };
  for (const field of fields)
    if (field.kind === 'measure') assert.equal(rowOf(bare)[field.column.name], null, field.name);
  const given = { headingDeg: 12.34, speedMps: 5.67, accuracyM: 8.9, status: 'busy', services: 3 };
  const full = validatePosition({ seq: 1, recordedAtMs: 5, lat: 1.5, lon: -2.25, ...given }, 'd', 7);
  const {
    driver_id,
    session,
    seq,
    recorded_at,
    lat,
    lon,
    heading_deg,
    speed_mps,
    accuracy_m,
    status,
    services,
  } = rowOf(full);
  assert.deepEqual({ driver_id, session, seq, recorded_at, lat, lon }, common);
  assert.deepEqual(
    { heading_deg, speed_mps, accuracy_m },
    { heading_deg: 12.34, speed_mps: 5.67, accuracy_m: 8.9 },
  );
  assert.deepEqual({ status, services }, { status: 'busy', services: 3 });
});

test('a report that keeps to the schema is taken, one beside its bounds is refused', () => {
  const { required, properties } = reportSchema();
  assert.deepEqual(required, ['seq', 'recorded_at_ms', 'lat', 'lon']);
  const valid = { seq: 1, recordedAtMs: 1, lat: 1, lon: 1 };
  for (const field of fields) {
    if (field.kind === 'own' || field.kind === 'status') continue;
    const name = field.json.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const { minimum, maximum } = properties[field.json] as { minimum: number; maximum?: number };
    validatePosition({ ...valid, [name]: minimum }, 'd', 1);
    if (maximum === undefined) continue;
    validatePosition({ ...valid, [name]: maximum }, 'd', 1);
    assert.throws(
      () => validatePosition({ ...valid, [name]: maximum + 1 }, 'd', 1),
      PositionError,
      field.name,
    );
  }
});
