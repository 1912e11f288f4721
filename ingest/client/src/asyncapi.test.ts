// docs/asyncapi.yaml describes the WebSocket to tools. It must be a valid AsyncAPI document, and agree with the code.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import asyncapi from '@asyncapi/specs';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import {
  decodeClientMessage,
  decodeServerMessage,
  encodeClientMessage,
  encodeServerMessage,
} from './frame.js';
import { FRAME_TYPES } from './frame-bytes.js';
import {
  CLOSE_CODES,
  type ClientMessage,
  DURABILITIES,
  NACK_CODES,
  type PositionReport,
  parseClientMessage,
  RETRYABLE,
  type ServerMessage,
  STREAM_PATH,
} from './protocol.js';
import { parseServerMessage } from './server-message.js';

const page = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const BYTES = { u8: 1, u16: 2, u32: 4, u48: 6, i32: 4 };

interface FrameField {
  at: number;
  type: keyof typeof BYTES;
  name: string;
  scale?: number;
  absent?: number;
}

interface Message {
  payload: { $ref: string };
  'x-frame': { first_byte?: number; bytes?: number; fields?: FrameField[] };
  'x-codes'?: { code: string; number: number; retryable: boolean }[];
  examples: { name: string; payload: Record<string, unknown> & { type: string } }[];
}

const document = parse(page('docs/asyncapi.yaml'));
const messages = Object.entries(document.components.messages as Record<string, Message>);

const namesOf = (operation: string): string[] =>
  document.operations[operation].messages.map(({ $ref }: { $ref: string }) => $ref.split('/').at(-1));
const fromClient = namesOf('report');

function at(ref: string): unknown {
  let value: unknown = document;
  for (const key of ref.slice('#/'.length).split('/'))
    value = (value as Record<string, unknown> | undefined)?.[key];
  return value;
}

function* refsIn(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  if ('$ref' in value) yield value.$ref as string;
  for (const child of Object.values(value)) yield* refsIn(child);
}

/** Of a message's payload, including what it refers to. */
const payloadSchema = new Ajv({ strict: false, allErrors: true }).addSchema(document, 'asyncapi');
const violations = (name: string, payload: unknown) => {
  const validate = payloadSchema.getSchema(
    `asyncapi${(at(`#/components/messages/${name}`) as Message).payload.$ref}`,
  );
  assert.ok(validate, name);
  return validate(payload) ? [] : validate.errors;
};

test('the document is valid AsyncAPI 3, and its references lead somewhere', () => {
  const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
  const validate = ajv.compile(asyncapi.schemasWithoutId['3.0.0'] as object);
  assert.equal(validate(document), true, JSON.stringify(validate.errors, null, 1));
  for (const ref of refsIn(document)) assert.ok(at(ref), ref);
  assert.equal(document.channels.stream.address, STREAM_PATH);
});

test('it has every message, in its direction, with the first byte of its frame', () => {
  const all = [...fromClient, ...namesOf('answer')];
  assert.deepEqual(messages.map(([name]) => name).sort(), [...all].sort());
  assert.deepEqual(Object.keys(document.channels.stream.messages).sort(), [...all].sort());
  const types = Object.keys(FRAME_TYPES).filter((type) => type !== 'checkpoint');
  assert.deepEqual(all.filter((name) => name !== 'positions').sort(), types.sort());
  for (const [name, message] of messages) {
    const type = FRAME_TYPES[name as keyof typeof FRAME_TYPES];
    if (type !== undefined) assert.equal(message['x-frame'].first_byte, (1 << 4) | type, name);
  }
});

test('it has every nack code and close code', () => {
  const codes = NACK_CODES.map((code, number) => ({ code, number, retryable: RETRYABLE[code] }));
  assert.deepEqual(document.components.messages.nack['x-codes'], codes);
  const closeCodes = Object.keys(document.channels.stream['x-close-codes']).map(Number);
  assert.deepEqual(closeCodes, Object.values(CLOSE_CODES));
  assert.deepEqual(document.components.schemas.Durability.enum, DURABILITIES);
});

test('the examples fit their schemas, and the code reads them as they stand', () => {
  for (const [name, { examples }] of messages) {
    assert.ok(examples.length > 0, name);
    for (const { payload } of examples) {
      assert.deepEqual(violations(name, payload), [], name);
      const text = JSON.stringify(payload);
      const read = fromClient.includes(name) ? parseClientMessage(text) : parseServerMessage(text);
      assert.deepEqual(JSON.parse(JSON.stringify(read)), payload, name);
      assert.notDeepEqual(violations(name, { ...payload, type: 'other' }), [], name);
    }
  }
});

test('the JSON examples of PROTOCOL.md fit the schemas too', () => {
  const blocks = [...page('PROTOCOL.md').matchAll(/^```(jsonl?) (?:client|server)\n(.*?)\n```$/gms)];
  const lines = blocks.flatMap(([, kind, text = '']) => (kind === 'json' ? [text] : text.split('\n')));
  assert.ok(lines.length > 10);
  for (const line of lines) {
    const message = JSON.parse(line);
    assert.deepEqual(violations(message.type, message), [], line);
  }
});

test('frames are laid out as it says', () => {
  const number = (bytes: Uint8Array, { at, type }: FrameField): number => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (type === 'i32') return view.getInt32(at, true);
    return [...bytes.slice(at, at + BYTES[type])].reduceRight((sum, byte) => sum * 256 + byte, 0);
  };
  for (const [name, { 'x-frame': frame, examples }] of messages) {
    for (const { payload } of examples) {
      const isClients = fromClient.includes(name);
      const bytes = isClients
        ? encodeClientMessage(payload as unknown as ClientMessage<PositionReport>)
        : encodeServerMessage(payload as unknown as ServerMessage);
      const decoded = isClients ? decodeClientMessage(bytes) : decodeServerMessage(bytes);
      assert.equal(decoded.type, payload.type);
      const isUsual = payload.checkpoint_id === undefined && payload.durability === undefined;
      if (frame.bytes !== undefined && (isUsual || name === 'hello'))
        assert.equal(bytes.length, frame.bytes, name);
      if (isUsual && frame.first_byte !== undefined) assert.equal(bytes[0], frame.first_byte, name);
      const said: Record<string, unknown> = { ...payload, ...(payload.limits as object) };
      for (const field of frame.fields ?? []) {
        const value = said[field.name] ?? field.absent;
        if (typeof value === 'number' && said[field.name] === undefined)
          assert.equal(number(bytes, field), value, `${name}: ${field.name} is absent`);
        else if (typeof value === 'number')
          assert.equal(
            number(bytes, field),
            Math.round(value * (field.scale ?? 1)),
            `${name}: ${field.name}`,
          );
      }
    }
  }
});
