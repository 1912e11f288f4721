// The client's frames and messages, PROTOCOL.md and docs/asyncapi.yaml against the table of fields: they import nothing
// of it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  encodePositionInto,
  POSITION_FRAME_BYTES,
  readPositionFrame,
} from '@whereabouts/client/position-frame';
import { type PositionReport, STATUSES } from '@whereabouts/client/protocol';
import {
  BYTES,
  FIELDS,
  type Field,
  frameBytesOf,
  jsonSchemaOf,
  NONE_U16,
  OLDEST_FORMAT,
  RECORD_FORMAT,
  STATUSES as RECORD_STATUSES,
} from '@whereabouts/infra/fields';
import { AT } from '@whereabouts/infra/record';
import { parse } from 'yaml';

const page = readFileSync(new URL('../../PROTOCOL.md', import.meta.url), 'utf8');
const sent = (FIELDS as readonly Field[]).filter(({ frameAt }) => frameAt !== undefined);
/** Of a frame without fields that came later, and with all. */
const FRAME_BYTES = frameBytesOf(OLDEST_FORMAT);
const FULL_BYTES = frameBytesOf(RECORD_FORMAT);
const isRequired = ({ kind, absent }: Field) => kind !== 'status' && absent === undefined;

/** Different in every byte. */
const FULL: Record<string, number | string> = {
  seq: 0x01020304,
  recorded_at_ms: 0x0518_2a3b_4c5d,
  lat: 52.1234567,
  lon: -13.7654321,
  heading_deg: 271.56,
  speed_mps: 123.45,
  accuracy_m: 67.8,
  status: 'busy',
  services: 0xbeef,
};

function numberAt(view: DataView, { frameAt = 0, type }: Field): number {
  if (type === 'i32') return view.getInt32(frameAt, true);
  let number = 0;
  for (let i = BYTES[type] - 1; i >= 0; i--) number = number * 256 + view.getUint8(frameAt + i);
  return number;
}

function packed(field: Field, value: number | string): number {
  if (field.kind === 'status') return RECORD_STATUSES.indexOf(value as (typeof RECORD_STATUSES)[number]);
  return Math.round((value as number) * field.scale);
}

test('a frame of a position has each field at its place, in its type and scale', () => {
  assert.equal(POSITION_FRAME_BYTES, FRAME_BYTES);
  assert.deepEqual(STATUSES, RECORD_STATUSES);
  assert.deepEqual(Object.keys(FULL).sort(), sent.map(({ json }) => json).sort(), 'every field is tried');
  const view = new DataView(new ArrayBuffer(FULL_BYTES));
  assert.equal(encodePositionInto(view, 0, FULL as unknown as PositionReport), FULL_BYTES);
  for (const field of sent)
    assert.equal(numberAt(view, field), packed(field, FULL[field.json] as number | string), field.json);
  const { type, checkpoint, checkpoint_id, ...read } = readPositionFrame(view, 0);
  assert.deepEqual([type, checkpoint, checkpoint_id], ['position', false, undefined]);
  assert.deepEqual(read, FULL);
});

test('what is not given is what the table says', () => {
  const view = new DataView(new ArrayBuffer(FRAME_BYTES));
  const given = sent.filter(isRequired).map(({ json }) => [json, FULL[json]]);
  assert.equal(encodePositionInto(view, 0, Object.fromEntries(given) as PositionReport), FRAME_BYTES);
  const read = readPositionFrame(view, 0) as unknown as Record<string, unknown>;
  for (const field of sent) {
    if (isRequired(field)) continue;
    if (field.since === OLDEST_FORMAT) assert.equal(numberAt(view, field), field.absent, field.json);
    if (field.kind === 'measure') assert.equal(read[field.json], undefined, field.json);
  }
});

test('what a measure is too large for is its greatest value', () => {
  const view = new DataView(new ArrayBuffer(FULL_BYTES));
  for (const field of sent) {
    if (field.kind !== 'measure' || field.below !== undefined || field.max !== undefined) continue;
    encodePositionInto(view, 0, { ...FULL, [field.json]: 1e9 } as unknown as PositionReport);
    assert.equal(numberAt(view, field), (field.absent ?? NONE_U16) - 1, field.json);
  }
});

test('from recorded-at to services a frame is laid out as a record is', () => {
  const shared = sent.filter(({ at }) => at >= AT.recordedAt && at <= AT.services);
  const shift = AT.recordedAt - (shared.find(({ at }) => at === AT.recordedAt)?.frameAt as number);
  for (const { at, frameAt, json } of shared) assert.equal(at - (frameAt as number), shift, json);
});

test('PROTOCOL.md has a row for each field, in messages and in frames', () => {
  const [messages, frames] = page.split('## Binary frames') as [string, string];
  for (const { json, frameAt, type, absent, kind } of sent) {
    assert.match(messages, new RegExp(`^\\| .*\`${json}\`.* \\|`, 'm'), json);
    const row = new RegExp(`^\\| ${frameAt} +\\| ${type} +\\| (.*) \\|$`, 'm').exec(frames)?.[1];
    assert.ok(row, `${json}: | ${frameAt} | ${type} |`);
    if (kind === 'measure') assert.ok(row.includes(`${absent}: not given`), json);
  }
  assert.ok(frames.includes(`(first byte \`0x11\`), ${FRAME_BYTES} bytes`));
});

test('docs/asyncapi.yaml has each field with its bounds, in messages and in frames', () => {
  const document = parse(readFileSync(new URL('../../docs/asyncapi.yaml', import.meta.url), 'utf8'));
  const { properties } = document.components.schemas.Report;
  const names = [...sent.map(({ json }) => json), 'checkpoint', 'checkpoint_id'];
  assert.deepEqual(Object.keys(properties).sort(), names.sort());
  for (const field of sent) {
    if (field.kind === 'measure' || field.kind === 'status' || field.json === 'seq') continue;
    const { minimum, maximum } = jsonSchemaOf(field);
    const said = properties[field.json];
    assert.deepEqual([said.minimum, said.maximum], [minimum, maximum], field.json);
  }
  const frame = document.components.messages.position['x-frame'];
  assert.equal(frame.bytes, FRAME_BYTES);
  const places = frame.fields.map(({ at, type, name }: Record<string, unknown>) => [name, at, type]);
  assert.deepEqual(places.sort(), sent.map(({ json, frameAt, type }) => [json, frameAt, type]).sort());
});
