// Rows as the parameters of a statement that takes a whole batch: an array for each column, as the text that Postgres
// reads. pg makes the same of any array, but quotes and escapes numbers too: that took half of what a row costs here.

import { COLUMNS, type Position } from '@whereabouts/infra/position';

export interface ArchiveRow {
  partition: number;
  position: Position;
}

const NEEDS_ESCAPE = /["\\]/;

/** The partitions, then the columns. */
export function rowParameters(rows: readonly ArchiveRow[]): string[] {
  const partitions = arrayLiteral(rows.map((row) => row.partition));
  return [partitions, ...columnParameters(rows.map((row) => row.position))];
}

/** In the order of COLUMNS. */
export function columnParameters(positions: readonly Position[]): string[] {
  return COLUMNS.map((column) => arrayLiteral(positions.map(column.value)));
}

export function arrayLiteral(values: readonly (string | number | null)[]): string {
  return `{${values.map(elementOf).join(',')}}`;
}

function elementOf(value: string | number | null): string | number {
  if (value === null) return 'NULL';
  if (typeof value === 'number') return value;
  return `"${NEEDS_ESCAPE.test(value) ? value.replace(/["\\]/g, '\\$&') : value}"`;
}
