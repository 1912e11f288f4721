// A copy of the upsert of flusher/src/archive.ts, for comparisons: the flusher cannot be imported. It is made from the
// same COLUMNS, so a new column is in both. `unnest` brings a batch, `VALUES` a row.

import { COLUMNS, type Position } from '@whereabouts/infra/position';

export interface PlacedPosition {
  partition: number;
  position: Position;
}

const names = COLUMNS.map((column) => column.name);
const update = [
  'map_hash = excluded.map_hash',
  'partition = excluded.partition',
  'persisted_at = excluded.persisted_at',
  ...names.map((name) => `${name} = excluded.${name}`),
];
const upsertFrom = (source: string) => `
INSERT INTO driver_positions AS held (map_hash, partition, ${names.join(', ')})
${source}
ON CONFLICT (driver_id) DO UPDATE SET ${update.join(', ')}
WHERE (excluded.session, excluded.recorded_at) > (held.session, held.recorded_at)`;

const arrays = COLUMNS.map((column, i) => `$${i + 3}::${column.type}[]`);
const scalars = COLUMNS.map((column, i) => `$${i + 3}::${column.type}`);

export const UPSERT_BATCH = upsertFrom(
  `SELECT $1, batch.* FROM unnest($2::integer[], ${arrays.join(', ')}) AS batch`,
);
export const UPSERT_ROW = upsertFrom(`VALUES ($1, $2::integer, ${scalars.join(', ')})`);

type Value = string | number | null;

/** In Postgres's syntax; ids and times need no escapes. */
const literal = (values: readonly Value[]) =>
  `{${values.map((value) => (typeof value === 'string' ? `"${value}"` : (value ?? 'NULL'))).join(',')}}`;

/** Sorted by driver id, as the flusher does it; down to the text that is sent. */
export function batchValues(mapHash: string, rows: readonly PlacedPosition[]): string[] {
  const sorted = rows.toSorted((a, b) => (a.position.driverId < b.position.driverId ? -1 : 1));
  const columns = COLUMNS.map((column) => literal(sorted.map(({ position }) => column.value(position))));
  return [mapHash, literal(sorted.map(({ partition }) => partition)), ...columns];
}

export function rowValues(mapHash: string, { partition, position }: PlacedPosition): unknown[] {
  return [mapHash, partition, ...COLUMNS.map((column) => column.value(position))];
}
