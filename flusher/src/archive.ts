// The archive: the only SQL of the flusher.
//
// What always holds: a row of driver_positions is the newest, by (session, recorded_at), of all that were ever
// written for its driver; flush_progress never runs ahead of the rows it speaks of, since both are in one
// transaction, and never moves back. So every statement may be sent twice, by anybody, in any order.
//
//   commit(rows, progress):  rows ──▶ pieces ──▶ a transaction each; the last one carries the progress
//     refused: halves, down to the row     slow: halves, and fewer at once from now on     contended: again

import { COLUMNS, fromE7, type Position, type StoredPosition } from '@whereabouts/infra/position';
import { Pool, type PoolClient, type PoolConfig } from 'pg';
import { archiveError, isOfPostgres } from './archive-error.js';
import { type ArchiveRow, arrayLiteral, columnParameters, rowParameters } from './archive-row.js';
import type { Reached } from './failpoint.js';
import { Pieces } from './pieces.js';

/** Fewer cost more for each row; more hold their locks longer. */
export const MAX_BATCH_ROWS = 5_000;
// One for the passes, one for checkpoints, one for the retention and the probe.
const CONNECTIONS = 3;

/** Partition `partition` is in the table as of `asOfMs`, if the archive still is as of `flushedAtMs` at least. */
export interface Progress {
  partition: number;
  asOfMs: number;
  /** When the last flush began that the cache knows of; 0 for never. */
  flushedAtMs: number;
}

export interface Behind {
  partition: number;
  /** null where the archive knows nothing of the partition. */
  asOfMs: number | null;
}

/** Of commits that follow each other. */
export interface Turn {
  /** Settles when the one before is done; if it rejects, this one is not tried. */
  before: Promise<void>;
  /** Called when Postgres has work again, so that there is time for other things; perhaps more than once. */
  sent(): void;
}

export interface CommitAnswer {
  /** Inserted or updated; the others were not newer than what is there. */
  written: number;
  refused: ArchiveRow[];
  /** The archive is older than the last flush: their progress was not moved. */
  behind: Behind[];
  transactions: number;
}

const AT_ONCE: Turn = { before: Promise.resolve(), sent: () => {} };

const names = COLUMNS.map((column) => column.name);
const parameters = (first: number) => COLUMNS.map((column, i) => `$${first + i}::${column.type}[]`);

// $1 map hash, $2 partitions, then one array for each of COLUMNS; all of one length, each driver at most once,
// sorted by driver_id so that two batches lock the rows they share in the same order and cannot deadlock.
// Row count: how many were newer than what was there.
const UPSERT_POSITIONS = `
INSERT INTO driver_positions AS held (map_hash, partition, ${names.join(', ')})
SELECT $1, batch.* FROM unnest($2::integer[], ${parameters(3).join(', ')}) AS batch
ON CONFLICT (driver_id) DO UPDATE SET
  map_hash = excluded.map_hash, partition = excluded.partition, persisted_at = excluded.persisted_at,
  ${names.map((name) => `${name} = excluded.${name}`).join(', ')}
WHERE (excluded.session, excluded.recorded_at) > (held.session, held.recorded_at)`;

// $1 map hash, $2 partitions, $3 as of, $4 flushed at (null: never); arrays of one length, each partition once.
// Moves each partition's progress on, never back, unless the archive has lost what the cache counts as flushed.
// Returns those instead: partition, and as_of in ms or null. One statement, so seen and moved are one.
const MOVE_PROGRESS = `
WITH done AS (
  SELECT * FROM unnest($2::integer[], $3::timestamptz[], $4::timestamptz[]) AS done (partition, as_of, flushed_at)
), behind AS (
  SELECT done.partition, held.as_of
  FROM done LEFT JOIN flush_progress AS held ON held.map_hash = $1 AND held.partition = done.partition
  WHERE done.flushed_at IS NOT NULL AND (held.as_of IS NULL OR held.as_of < done.flushed_at)
), moved AS (
  INSERT INTO flush_progress AS held (map_hash, partition, as_of)
  SELECT $1, partition, as_of FROM done
  WHERE partition NOT IN (SELECT partition FROM behind)
  ORDER BY partition
  ON CONFLICT (map_hash, partition) DO UPDATE SET as_of = excluded.as_of WHERE excluded.as_of > held.as_of
)
SELECT partition, (extract(epoch FROM as_of) * 1000)::bigint AS as_of_ms FROM behind`;

// $1 map hash. Returns partition, as_of in ms.
const READ_PROGRESS = `
SELECT partition, (extract(epoch FROM as_of) * 1000)::bigint AS as_of_ms FROM flush_progress WHERE map_hash = $1`;

// $1 checkpoint ids, then one array for each of COLUMNS; all of one length.
// Row count: how many were not there, neither by (driver, session, seq) nor by (driver, checkpoint id).
// A statement of its own tells afterwards what stands there instead.
const INSERT_CHECKPOINTS = `
INSERT INTO checkpoints (checkpoint_id, ${names.join(', ')})
SELECT * FROM unnest($1::text[], ${parameters(2).join(', ')})
ON CONFLICT DO NOTHING`;

// $1 driver ids, $2 checkpoint ids, $3 recorded at, $4 lat, $5 lon; all of one length.
// Returns the places in these arrays, from 1 on, of those that do not stand there with this time and place.
const CONFLICTING_CHECKPOINTS = `
SELECT given.n::integer AS n
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::double precision[], $5::double precision[])
  WITH ORDINALITY AS given (driver_id, checkpoint_id, recorded_at, lat, lon, n)
LEFT JOIN checkpoints AS held USING (driver_id, checkpoint_id)
WHERE (held.recorded_at, held.lat, held.lon) IS DISTINCT FROM (given.recorded_at, given.lat, given.lon)
ORDER BY n`;

// $1 cutoff, $2 at most so many. Row count: how many were deleted.
const DELETE_CHECKPOINTS = `
DELETE FROM checkpoints WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM checkpoints WHERE persisted_at < $1 LIMIT $2))`;

// $1 cutoff, $2 the driver after which to go on, $3 at most so many rows to look at (no index could find the old
// ones: it would have to change with every position). Returns the last driver looked at, null at the end of the
// table, and how many were deleted. A row that becomes new meanwhile stays: DELETE looks again once it has the lock.
const DELETE_POSITIONS = `
WITH page AS (
  SELECT driver_id FROM driver_positions WHERE driver_id > $2 ORDER BY driver_id LIMIT $3
), deleted AS (
  DELETE FROM driver_positions AS held USING page
  WHERE held.driver_id = page.driver_id AND held.recorded_at < $1
  RETURNING 1
)
SELECT (SELECT max(driver_id) FROM page) AS last, (SELECT count(*)::integer FROM deleted) AS deleted`;

// $1 the driver after which to go on, $2 at most so many rows: a walk along the primary key. Pages are of different
// moments; a driver who is written between them is in the cache then, and whoever restores leaves that alone.
const READ_POSITIONS = `
SELECT ${names.join(', ')} FROM driver_positions WHERE driver_id > $1 ORDER BY driver_id LIMIT $2`;

export interface ArchiveOptions {
  postgres: PoolConfig;
  mapHash: string;
  reached: Reached;
  onConnectionLost(error: Error): void;
}

export class Archive {
  readonly #pool: Pool;
  readonly #mapHash: string;
  readonly #reached: Reached;
  readonly #pieces = new Pieces(MAX_BATCH_ROWS);

  constructor(o: ArchiveOptions) {
    this.#mapHash = o.mapHash;
    this.#reached = o.reached;
    this.#pool = new Pool({
      ...o.postgres,
      application_name: 'whereabouts-flusher',
      max: CONNECTIONS,
      statement_timeout: 2_000,
      lock_timeout: 500,
      // What Postgres itself cannot say any more: frozen, or cut off without a word.
      query_timeout: 3_000,
      connectionTimeoutMillis: 2_000,
      idleTimeoutMillis: 60_000,
      keepAlive: true,
      // A commit that came back must be on disk, whatever the database's default: the watermark moves on it.
      options: '-c synchronous_commit=on',
    });
    this.#pool.on('error', o.onConnectionLost);
    // A connection that breaks in the middle of a query also says so here, where nobody listening ends the process.
    this.#pool.on('connect', (client) => client.on('error', () => {}));
  }

  /**
   * Rows in any order, each driver at most once. They are made ready at once, while Postgres still has to do with the
   * ones before. Rejects with ArchiveError; then any part may have been written.
   */
  async commit(
    rows: readonly ArchiveRow[],
    progress: readonly Progress[],
    turn: Turn = AT_ONCE,
  ): Promise<CommitAnswer> {
    const sorted = rows.toSorted((a, b) => byDriver(a.position, b.position));
    const whole = rowParameters(sorted);
    await turn.before;
    const answer: CommitAnswer = { written: 0, refused: [], behind: [], transactions: 0 };
    answer.refused = await this.#pieces.write(sorted, async (piece, isLast) => {
      const upsert = piece.length === 0 ? null : piece === sorted ? whole : rowParameters(piece);
      const { written, behind } = await this.#transaction(upsert, isLast ? progress : [], turn);
      answer.written += written;
      answer.behind.push(...behind);
      answer.transactions++;
    });
    return answer;
  }

  /**
   * `conflicting`: Postgres has another checkpoint of that driver and id, of another time or place. Rejects with
   * ArchiveError.
   */
  async insertCheckpoints(
    positions: readonly StoredPosition[],
  ): Promise<{ written: number; refused: StoredPosition[]; conflicting: StoredPosition[] }> {
    let written = 0;
    const conflicting: StoredPosition[] = [];
    // For the same reason as positions: two flushers may well insert the same ones at once.
    const sorted = positions.toSorted((a, b) => byDriver(a, b) || a.session - b.session || a.seq - b.seq);
    const refused = await this.#pieces.write(sorted, async (piece) => {
      if (piece.length === 0) return;
      const ids = arrayLiteral(piece.map((position) => position.checkpointId));
      const result = await this.#pool.query(INSERT_CHECKPOINTS, [ids, ...columnParameters(piece)]);
      const inserted = result.rowCount ?? 0;
      written += inserted;
      if (inserted < piece.length) conflicting.push(...(await this.#conflictsOf(piece)));
    });
    return { written, refused, conflicting };
  }

  async #conflictsOf(positions: readonly StoredPosition[]): Promise<StoredPosition[]> {
    // Those of a version that gave no ids are told apart by session and seq alone.
    const named = positions.filter(({ checkpointId }) => checkpointId !== null);
    const { rows } = await this.#pool.query(CONFLICTING_CHECKPOINTS, [
      arrayLiteral(named.map(({ driverId }) => driverId)),
      arrayLiteral(named.map(({ checkpointId }) => checkpointId)),
      arrayLiteral(named.map(({ recordedAtMs }) => new Date(recordedAtMs).toISOString())),
      arrayLiteral(named.map(({ latE7 }) => fromE7(latE7))),
      arrayLiteral(named.map(({ lonE7 }) => fromE7(lonE7))),
    ]);
    return rows.map(({ n }) => named[n - 1] as StoredPosition);
  }

  /** As of when each partition of this map is in the table. Also the probe: it needs the tables and the right to read. */
  async readProgress(): Promise<Map<number, number>> {
    const { rows } = await this.#pool.query(READ_PROGRESS, [this.#mapHash]).catch(fail);
    return new Map(rows.map((row) => [row.partition as number, Number(row.as_of_ms)]));
  }

  /** Returns how many; fewer than `limit`: that was all. */
  async deleteCheckpoints(before: Date, limit: number): Promise<number> {
    const result = await this.#pool.query(DELETE_CHECKPOINTS, [before, limit]).catch(fail);
    return result.rowCount ?? 0;
  }

  /** Looks at the `limit` drivers after `after`; `last` is null at the end of the table. */
  async deletePositions(
    before: Date,
    after: string,
    limit: number,
  ): Promise<{ last: string | null; deleted: number }> {
    const result = await this.#pool.query(DELETE_POSITIONS, [before, after, limit]).catch(fail);
    return result.rows[0] as { last: string | null; deleted: number };
  }

  /** The `limit` drivers after `after`, by their id: the columns of COLUMNS as the driver of Postgres reads them. */
  async readPositions(after: string, limit: number): Promise<Record<string, unknown>[]> {
    const { rows } = await this.#pool.query(READ_POSITIONS, [after, limit]).catch(fail);
    return rows;
  }

  close(): Promise<void> {
    return this.#pool.end();
  }

  async #transaction(upsert: string[] | null, progress: readonly Progress[], turn: Turn) {
    const client = await this.#pool.connect();
    try {
      await client.query('BEGIN');
      const written = upsert === null ? 0 : await this.#upsert(client, upsert, turn);
      const behind = progress.length > 0 ? await this.#move(client, progress) : [];
      this.#reached('after_upsert');
      await client.query('COMMIT');
      client.release();
      return { written, behind };
    } catch (error) {
      await giveBack(client, error);
      throw error;
    }
  }

  async #upsert(client: PoolClient, parameters: string[], turn: Turn): Promise<number> {
    const result = client.query(UPSERT_POSITIONS, [this.#mapHash, ...parameters]);
    turn.sent();
    return (await result).rowCount ?? 0;
  }

  async #move(client: PoolClient, progress: readonly Progress[]): Promise<Behind[]> {
    const time = (ms: number) => (ms === 0 ? null : new Date(ms).toISOString());
    const { rows } = await client.query(MOVE_PROGRESS, [
      this.#mapHash,
      progress.map((entry) => entry.partition),
      progress.map((entry) => time(entry.asOfMs)),
      progress.map((entry) => time(entry.flushedAtMs)),
    ]);
    return rows.map((row) => ({
      partition: row.partition as number,
      asOfMs: row.as_of_ms === null ? null : Number(row.as_of_ms),
    }));
  }
}

const byDriver = (a: Position, b: Position) =>
  Number(a.driverId > b.driverId) - Number(a.driverId < b.driverId);

/** A connection whose state is known goes back to the pool; any other is closed. */
async function giveBack(client: PoolClient, error: unknown): Promise<void> {
  if (!isOfPostgres(error)) {
    client.release(true);
    return;
  }
  await client.query('ROLLBACK').then(
    () => client.release(),
    () => client.release(true),
  );
}

function fail(error: unknown): never {
  throw archiveError(error);
}
