// The upper bound for a flusher: the same rows sent to Postgres and nothing else done. And what it saves: each row
// written singly.

import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import {
  batchValues,
  type PlacedPosition,
  rowValues,
  UPSERT_BATCH,
  UPSERT_ROW,
} from '../postgres/upsert-statement.js';

export const BATCH_ROWS = 5_000;

async function connect(url: string): Promise<Client> {
  // The flusher's setting, whatever the database's default.
  const client = new Client({ connectionString: url, options: '-c synchronous_commit=on' });
  client.on('error', () => {});
  await client.connect();
  return client;
}

export interface Written {
  rows: number;
  seconds: number;
}

/** Parameters are made before the clock starts. Every row has to be newer than the existing one. */
export async function writeBatches(
  url: string,
  mapHash: string,
  rows: readonly PlacedPosition[],
): Promise<Written> {
  const batches: unknown[][] = [];
  for (let at = 0; at < rows.length; at += BATCH_ROWS) {
    batches.push(batchValues(mapHash, rows.slice(at, at + BATCH_ROWS)));
  }
  const client = await connect(url);
  try {
    const startedMs = performance.now();
    let written = 0;
    for (const batch of batches) {
      await client.query('BEGIN');
      written += (await client.query(UPSERT_BATCH, batch)).rowCount ?? 0;
      await client.query('COMMIT');
    }
    const seconds = (performance.now() - startedMs) / 1000;
    if (written !== rows.length) throw new Error(`${written} of ${rows.length} rows were newer`);
    return { rows: written, seconds };
  } finally {
    await client.end();
  }
}

/** A prepared statement and a transaction for each row, one after the other on each connection. */
export async function writeSingles(
  url: string,
  mapHash: string,
  rows: readonly PlacedPosition[],
  o: { connections: number; seconds: number },
): Promise<Written> {
  const clients = await Promise.all(Array.from({ length: o.connections }, () => connect(url)));
  let next = 0;
  let isOver = false;
  const work = async (client: Client) => {
    for (let row = rows[next++]; row !== undefined && !isOver; row = rows[next++]) {
      await client.query({ name: 'upsert', text: UPSERT_ROW, values: rowValues(mapHash, row) });
    }
  };
  try {
    const startedMs = performance.now();
    const done = Promise.all(clients.map(work));
    await Promise.race([done, delay(o.seconds * 1000)]);
    isOver = true;
    await done;
    const written = Math.min(next, rows.length);
    return { rows: written, seconds: (performance.now() - startedMs) / 1000 };
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}
