// Packs rows as parameters of a statement for a whole batch: an array for each column, in Postgres's binary format.
// Numbers and times as text took more than half of the CPU for a row here, and Postgres would have to parse them.
//
//   array   i32 dimensions (1), i32 flags, u32 element type, i32 length, i32 first index (1), elements
//   element i32 bytes, value; -1 bytes: null

import { FIELDS } from '@whereabouts/infra/fields';
import { COLUMNS, type Column, type Position } from '@whereabouts/infra/position';

export interface ArchiveRow {
  partition: number;
  position: Position;
}

type Write = (into: DataView, at: number, value: number) => void;

/** By type: how Postgres numbers it, and its elements. */
const NUMBERS: Record<string, { oid: number; bytes: number; write: Write }> = {
  integer: { oid: 23, bytes: 4, write: (into, at, value) => into.setInt32(at, value) },
  bigint: { oid: 20, bytes: 8, write: writeInt64 },
  real: { oid: 700, bytes: 4, write: (into, at, value) => into.setFloat32(at, value) },
  'double precision': { oid: 701, bytes: 8, write: (into, at, value) => into.setFloat64(at, value) },
  /** Of epoch ms. */
  timestamptz: { oid: 1184, bytes: 8, write: (into, at, value) => writeMicros(into, at, value) },
};
const TEXT_OID = 25;
const HEAD_BYTES = 20;
const NULL_BYTES = -1;
/** Postgres counts from 2000-01-01. */
const EPOCH_MS = Date.UTC(2000, 0, 1);
const MICROS_PER_MS = 1_000;
const TWO_32 = 2 ** 32;
const ASCII_END = 0x80;
const MAX_UTF8_BYTES_PER_UNIT = 3;

/** Times as they stand in a position: a column says them as text. */
const TIMES = new Map<string, Column['value']>(
  FIELDS.flatMap((field) =>
    field.kind === 'time' ? [[field.column.name, (p: Position) => p[field.name]]] : [],
  ),
);

/** The partitions, then the columns. */
export function rowParameters(rows: readonly ArchiveRow[]): Buffer[] {
  const partitions = arrayOf('integer', rows, (row) => row.partition);
  return [partitions, ...columnParameters(rows.map((row) => row.position))];
}

/** In the order of COLUMNS. */
export function columnParameters(positions: readonly Position[]): Buffer[] {
  return COLUMNS.map(({ name, type, value }) => arrayOf(type, positions, TIMES.get(name) ?? value));
}

/** Times are given as epoch ms. */
export function arrayOf<T>(
  type: string,
  items: readonly T[],
  of: (item: T) => string | number | null,
): Buffer {
  if (type === 'text') return textArray(items.map(of) as (string | null)[]);
  return numberArray(type, items, of as (item: T) => number | null);
}

function numberArray<T>(type: string, items: readonly T[], of: (item: T) => number | null): Buffer {
  const number = NUMBERS[type];
  if (number === undefined) throw new RangeError(`an array of ${type}`);
  const { oid, bytes, write } = number;
  const array = Buffer.allocUnsafe(HEAD_BYTES + items.length * (4 + bytes));
  const view = viewOf(array);
  let at = writeHead(view, oid, items.length);
  for (const item of items) {
    const value = of(item);
    view.setInt32(at, value === null ? NULL_BYTES : bytes);
    at += 4;
    if (value === null) continue;
    write(view, at, value);
    at += bytes;
  }
  return array.subarray(0, at);
}

function textArray(texts: readonly (string | null)[]): Buffer {
  const atMost = texts.reduce((sum, text) => sum + 4 + MAX_UTF8_BYTES_PER_UNIT * (text?.length ?? 0), 0);
  const array = Buffer.allocUnsafe(HEAD_BYTES + atMost);
  const view = viewOf(array);
  let at = writeHead(view, TEXT_OID, texts.length);
  for (const text of texts) {
    const bytes = text === null ? NULL_BYTES : writeText(array, at + 4, text);
    view.setInt32(at, bytes);
    at += 4 + Math.max(0, bytes);
  }
  return array.subarray(0, at);
}

const viewOf = (bytes: Buffer) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** Returns where the elements begin. Of none there is no dimension either. */
function writeHead(view: DataView, oid: number, length: number): number {
  view.setInt32(0, length === 0 ? 0 : 1);
  view.setInt32(4, 0);
  view.setUint32(8, oid);
  if (length === 0) return 12;
  view.setInt32(12, length);
  view.setInt32(16, 1);
  return HEAD_BYTES;
}

/** Returns how many bytes. Nearly all texts are short and ASCII: byte by byte is faster than a call of `write`. */
function writeText(into: Buffer, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= ASCII_END) return into.write(text, at);
    into[at + i] = unit;
  }
  return text.length;
}

/** Of a whole number. */
function writeInt64(into: DataView, at: number, value: number): void {
  into.setInt32(at, Math.floor(value / TWO_32));
  into.setUint32(at + 4, value);
}

/** In two halves: the product of a time that lies far ahead is beyond what a number holds to the last digit. */
function writeMicros(into: DataView, at: number, epochMs: number): void {
  const ms = epochMs - EPOCH_MS;
  const high = Math.floor(ms / TWO_32);
  const low = (ms - high * TWO_32) * MICROS_PER_MS;
  into.setInt32(at, high * MICROS_PER_MS + Math.floor(low / TWO_32));
  into.setUint32(at + 4, low);
}
