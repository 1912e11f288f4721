// Compares the rows of Postgres with what was acknowledged to drivers.
import { waitFor } from '@whereabouts/infra/local/server-process';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { Client, type QueryResultRow } from 'pg';
import type { Known, Truth } from './truth.js';

/** One connection for each question: Postgres comes and goes in these tests. */
export async function sql<R extends QueryResultRow>(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<R[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<R>(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** Microseconds, so that a time that is not exact to the millisecond shows. */
export const EXACT_TIME = `to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS recorded_at`;
export const exactTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z');

const POSITIONS = `SELECT driver_id, map_hash, partition, session, seq, ${EXACT_TIME}, lat, lon,
  heading_deg, speed_mps, accuracy_m, status, services FROM driver_positions`;

function rowOf(known: Known, map: PartitionMap): string {
  return JSON.stringify({
    driver_id: known.driverId,
    map_hash: map.hash,
    partition: map.partitionOf(known.lat, known.lon),
    session: String(known.session),
    seq: String(known.seq),
    recorded_at: exactTime(known.recordedAtMs),
    lat: known.lat,
    lon: known.lon,
    heading_deg: known.headingDeg,
    speed_mps: known.speedMps,
    accuracy_m: known.accuracyM,
    status: known.status,
    services: known.services,
  });
}

/** Row by row, column by column; an empty list means equal. `strangers`: rows of drivers that never reported. */
export async function archiveDifferences(
  url: string,
  truth: Truth,
  map: PartitionMap,
  strangers: 'wrong' | 'ignored' = 'wrong',
): Promise<string[]> {
  const rows = new Map<string, string>();
  for (const row of await sql<{ driver_id: string }>(url, POSITIONS)) {
    rows.set(row.driver_id, JSON.stringify(row));
  }
  const wrong: string[] = [];
  for (const known of truth.newest.values()) {
    const expected = rowOf(known, map);
    const actual = rows.get(known.driverId) ?? 'no row';
    if (actual !== expected) wrong.push(`${actual} instead of ${expected}`);
    rows.delete(known.driverId);
  }
  if (strangers === 'ignored') return wrong;
  for (const stranger of rows.values()) wrong.push(`${stranger}, who never reported`);
  return wrong;
}

/** Returns how long it took. */
export async function untilArchived(
  url: string,
  truth: Truth,
  map: PartitionMap,
  deadlineMs: number,
): Promise<number> {
  const since = performance.now();
  let wrong: string[] = [];
  try {
    await waitFor('every row is the newest', deadlineMs, async () => {
      wrong = await archiveDifferences(url, truth, map);
      return wrong.length === 0 || undefined;
    });
  } catch (cause) {
    const first = wrong.slice(0, 3).join('\n');
    throw new Error(`${wrong.length} of ${truth.newest.size} rows differ, first:\n${first}`, { cause });
  }
  return performance.now() - since;
}
