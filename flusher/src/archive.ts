// The archive: the only SQL of the flusher.
//
// What always holds: a row of driver_positions is the newest, by (session, recorded_at), of all that were ever
// written for its driver; flush_progress never runs ahead of the rows it speaks of, since both are in one
// transaction, and never moves back. So every statement may be sent twice, by anybody, in any order.
//
//   commit(rows, progress):  rows ──▶ pieces ──▶ a transaction each; the last one carries the progress
//     refused: halves, down to the row     slow: halves, and fewer at once from now on     contended: again

import { COLUMNS, fromE7, type Position } from '@whereabouts/infra/position';
import type { PoolClient } from 'pg';
import { archiveError, archiveRefuses, troubleOf } from './archive-error.js';
import { type ArchiveRow, arrayOf, columnParameters, rowParameters } from './archive-row.js';
import { ArchiveSessions, type SessionOptions } from './archive-sessions.js';
import type { Reached } from './failpoint.js';
import { Pieces } from './pieces.js';
import { mayRefuse, RefusalJudge } from './refusal-judge.js';
import { shuffled } from './shuffled.js';

/** Fewer cost more for each row; more hold their locks longer. */
export const MAX_BATCH_ROWS = 5_000;
/** Of rows that were refused before; then the others wait for the next time. */
const REFUSED_AGAIN = 20;

/** The table has partition `partition` as it was at `asOfMs`, if the archive is not older than `flushedAtMs`. */
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

export interface CommitAnswer<R extends ArchiveRow = ArchiveRow> {
  /** Inserted or updated; the others were not newer than what is there. */
  written: number;
  refused: R[];
  /** What Postgres said of the last of them. */
  why: Error | null;
  /** The archive is older than the last flush: their progress was not moved. */
  behind: Behind[];
  transactions: number;
}

const AT_ONCE: Turn = { before: Promise.resolve(), sent: () => {} };

const names = COLUMNS.map((column) => column.name);
const epochMs = (name: string) => `floor(extract(epoch FROM ${name}) * 1000)::double precision`;
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
// Moves each partition's progress forward, unless the archive has lost what the cache counts as flushed. Returns those
// partitions instead, with as_of in ms or null. One statement, so that the check and the move are atomic.
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
SELECT partition, (extract(epoch FROM as_of) * 1000)::double precision AS as_of_ms FROM behind`;

// $1 driver ids, $2 sessions, $3 recorded at; all of one length. Returns the drivers whose row is as new, or newer.
const HELD_POSITIONS = `
SELECT driver_id
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[]) AS given (driver_id, session, recorded_at)
JOIN driver_positions AS held USING (driver_id)
WHERE (held.session, held.recorded_at) >= (given.session, given.recorded_at)`;

// $1 checkpoint ids, then one array for each of COLUMNS; all of one length.
// Row count: how many did not exist, neither by (driver, session, seq) nor by (driver, checkpoint id).
// A separate statement then reads what exists instead.
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

// $1 the driver to continue after, $2 the most rows: a walk along the primary key. Pages are read at different times; a
// driver who is written in between is in the cache, and a restore skips those.
// Times come as epoch ms, whatever the session's format is; an infinite one as Infinity.
const READ_POSITIONS = `
SELECT ${epochMs('persisted_at')} AS persisted_at, ${COLUMNS.map(({ name, type }) => (type === 'timestamptz' ? `${epochMs(name)} AS ${name}` : name)).join(', ')}
FROM driver_positions WHERE driver_id > $1 ORDER BY driver_id LIMIT $2`;

/** Which of several with one (driver, session, seq) is taken must not be left to chance. */
function byIdentity(a: Position, b: Position): number {
  const bySeq = byDriver(a, b) || a.session - b.session || a.seq - b.seq;
  const [idA, idB] = [a.checkpointId ?? '', b.checkpointId ?? ''];
  return bySeq || (idA < idB ? -1 : idA > idB ? 1 : 0);
}

/** What has to be possible before anything is sent again. */
export type Probe = 'positions' | 'checkpoints';

export interface ArchiveOptions extends SessionOptions {
  mapHash: string;
  reached: Reached;
}

export class Archive {
  readonly #sessions: ArchiveSessions;
  readonly #mapHash: string;
  readonly #reached: Reached;
  readonly #pieces = new Pieces(MAX_BATCH_ROWS);
  readonly #judge = new RefusalJudge();

  constructor(o: ArchiveOptions) {
    this.#mapHash = o.mapHash;
    this.#reached = o.reached;
    this.#sessions = new ArchiveSessions(o);
  }

  /**
   * Rows in any order, each driver at most once. They are made ready at once, while Postgres still has to do with the
   * ones before. Rejects with ArchiveError; then any rows may have been written, but no progress was moved.
   */
  async commit<R extends ArchiveRow>(
    rows: readonly R[],
    progress: readonly Progress[],
    turn: Turn = AT_ONCE,
  ): Promise<CommitAnswer<R>> {
    const sorted = rows.toSorted(byDriverOfRow);
    const whole = rowParameters(sorted);
    await turn.before;
    const answer: CommitAnswer<R> = { written: 0, refused: [], why: null, behind: [], transactions: 0 };
    const check = (refused: readonly ArchiveRow[], isLast: boolean) => {
      if (this.#areTablesWrong(refused, rows.length, isLast))
        throw archiveRefuses(refused.length, rows.length, answer.why);
    };
    answer.refused = await this.#pieces.write(sorted, async (piece, isLast, refused) => {
      check(refused, isLast);
      const upsert = piece.length === 0 ? null : piece === sorted ? whole : rowParameters(piece);
      const transaction = this.#transaction(upsert, isLast ? progress : [], turn);
      const { written, behind } = await transaction.catch((error) => {
        if (troubleOf(error) === 'refused') answer.why = error;
        throw error;
      });
      answer.written += written;
      answer.behind.push(...behind);
      answer.transactions++;
    });
    this.#judge.note(answer.refused.map(driverOf), rows.length, performance.now());
    return answer;
  }

  /** Of these drivers, those of whom it has a row that is as new, or newer. Rejects with ArchiveError. */
  async held(positions: readonly Position[]): Promise<Set<string>> {
    const rows = await this.#rows(HELD_POSITIONS, [
      arrayOf('text', positions, ({ driverId }) => driverId),
      arrayOf('bigint', positions, ({ session }) => session),
      arrayOf('timestamptz', positions, ({ recordedAtMs }) => recordedAtMs),
    ]);
    return new Set(rows.map(({ driver_id: driverId }) => String(driverId)));
  }

  /** Rows that were refused before, each driver at most once; in the order given, until some are refused again. */
  async commitRefused<R extends ArchiveRow>(rows: readonly R[]): Promise<R[]> {
    const taken: R[] = [];
    await this.#pieces.write(rows, async (piece, _, refused) => {
      if (piece.length === 0 || refused.length >= REFUSED_AGAIN) return;
      await this.#transaction(rowParameters(piece.toSorted(byDriverOfRow)), [], AT_ONCE);
      taken.push(...piece);
    });
    return taken;
  }

  /**
   * Rejects with ArchiveError. `untried`: left out, because so many were refused before them; `why`: what Postgres said
   * of the last of those; `conflicting`: another of that driver and id stands there, of another time or place.
   */
  async insertCheckpoints(positions: readonly Position[]): Promise<{
    written: number;
    refused: Position[];
    untried: Position[];
    conflicting: Position[];
    why: Error | null;
  }> {
    let written = 0;
    let why: Error | null = null;
    const untried: Position[] = [];
    const conflicting: Position[] = [];
    const atMost = mayRefuse(positions.length);
    // Not always the same ones are left out. Each statement is sorted, as those of positions are: two flushers may well
    // insert the same ones at once.
    const refused = await this.#pieces.write(shuffled(positions), async (piece, _, refusedSoFar) => {
      if (piece.length === 0) return;
      if (refusedSoFar.length > atMost) {
        untried.push(...piece);
        return;
      }
      const sorted = piece.toSorted(byIdentity);
      const inserted = await this.#insertCheckpoints(sorted).catch((error) => {
        if (troubleOf(error) === 'refused') why = error;
        throw error;
      });
      written += inserted;
      if (inserted < sorted.length) conflicting.push(...(await this.#conflictsOf(sorted)));
    });
    return { written, refused, untried, conflicting, why };
  }

  #insertCheckpoints(positions: readonly Position[]): Promise<number> {
    const ids = arrayOf('text', positions, (position) => position.checkpointId);
    return this.#statement(INSERT_CHECKPOINTS, [ids, ...columnParameters(positions)]);
  }

  async #conflictsOf(positions: readonly Position[]): Promise<Position[]> {
    // Checkpoints of a version without ids differ by session and seq only.
    const named = positions.filter(({ checkpointId }) => checkpointId !== null);
    const rows = await this.#rows(CONFLICTING_CHECKPOINTS, [
      arrayOf('text', named, ({ driverId }) => driverId),
      arrayOf('text', named, ({ checkpointId }) => checkpointId),
      arrayOf('timestamptz', named, ({ recordedAtMs }) => recordedAtMs),
      arrayOf('double precision', named, ({ latE7 }) => fromE7(latE7)),
      arrayOf('double precision', named, ({ lonE7 }) => fromE7(lonE7)),
    ]);
    return rows.map(({ n }) => named[Number(n) - 1] as Position);
  }

  /**
   * Over a new connection, does what a flush does, but with no row: so it needs the tables as they should be, the rights
   * on them, and a server that takes writes, and leaves nothing behind. Rejects with ArchiveError.
   */
  async probe(what: Probe): Promise<void> {
    this.#sessions.renew();
    const probes = {
      positions: () =>
        this.#sessions.transaction(async (client) => {
          await this.#upsert(client, rowParameters([]), AT_ONCE);
          await this.#move(client, []);
        }),
      checkpoints: () => this.#insertCheckpoints([]),
    };
    await probes[what]().catch(fail);
  }

  /** Returns how many; fewer than `limit`: that was all. */
  async deleteCheckpoints(before: Date, limit: number): Promise<number> {
    return await this.#statement(DELETE_CHECKPOINTS, [before.toISOString(), limit]).catch(fail);
  }

  /** Looks at the `limit` drivers after `after`; `last` is null at the end of the table. */
  async deletePositions(
    before: Date,
    after: string,
    limit: number,
  ): Promise<{ last: string | null; deleted: number }> {
    const rows = await this.#rows(DELETE_POSITIONS, [before.toISOString(), after, limit]);
    return rows[0] as { last: string | null; deleted: number };
  }

  /** By the clock of Postgres, which stamps each row that it writes. */
  async nowMs(): Promise<number> {
    const rows = await this.#rows(`SELECT ${epochMs('now()')} AS now`, []);
    return Number(rows[0]?.now);
  }

  /**
   * The `limit` drivers after `after`, by their id: when each row was written, and the columns of COLUMNS as the driver of
   * Postgres reads them.
   */
  readPositions(after: string, limit: number): Promise<Record<string, unknown>[]> {
    return this.#rows(READ_POSITIONS, [after, limit]);
  }

  close(): Promise<void> {
    return this.#sessions.close();
  }

  async #rows(text: string, values: unknown[]): Promise<Record<string, unknown>[]> {
    const result = await this.#sessions.transaction((client) => client.query(text, values)).catch(fail);
    return result.rows;
  }

  /** Returns how many rows it changed. Rejects with the error of Postgres. */
  async #statement(text: string, values: unknown[]): Promise<number> {
    const result = await this.#sessions.transaction((client) => client.query(text, values));
    return result.rowCount ?? 0;
  }

  #transaction(upsert: readonly Buffer[] | null, progress: readonly Progress[], turn: Turn) {
    return this.#sessions.transaction(async (client) => {
      const written = upsert === null ? 0 : await this.#upsert(client, upsert, turn);
      const behind = progress.length > 0 ? await this.#move(client, progress) : [];
      this.#reached('after_upsert');
      return { written, behind };
    });
  }

  async #upsert(client: PoolClient, parameters: readonly Buffer[], turn: Turn): Promise<number> {
    const result = client.query(UPSERT_POSITIONS, [this.#mapHash, ...parameters]);
    turn.sent();
    return (await result).rowCount ?? 0;
  }

  /** What is wrong with it is no row's fault. */
  async #move(client: PoolClient, progress: readonly Progress[]): Promise<Behind[]> {
    const time = (ms: number) => (ms === 0 ? null : new Date(ms).toISOString());
    const values = [
      this.#mapHash,
      progress.map((entry) => entry.partition),
      progress.map((entry) => time(entry.asOfMs)),
      progress.map((entry) => time(entry.flushedAtMs)),
    ];
    const { rows } = await client.query(MOVE_PROGRESS, values).catch(fail);
    return rows.map(({ partition, as_of_ms: asOfMs }) => ({
      partition: partition as number,
      asOfMs: Number.isFinite(asOfMs) ? (asOfMs as number) : null,
    }));
  }

  /** Before the last piece, which carries the progress, for good; before each other one, where it is certain already. */
  #areTablesWrong(refused: readonly ArchiveRow[], rows: number, isLast: boolean): boolean {
    if (!isLast && refused.length <= mayRefuse(rows)) return false;
    const drivers = refused.map(driverOf);
    const nowMs = performance.now();
    const areWrong = this.#judge.areTablesWrong(drivers, rows, nowMs);
    if (areWrong) this.#judge.note(drivers, drivers.length, nowMs);
    return areWrong;
  }
}

const byDriver = (a: Position, b: Position) =>
  a.driverId < b.driverId ? -1 : a.driverId > b.driverId ? 1 : 0;
const byDriverOfRow = (a: ArchiveRow, b: ArchiveRow) => byDriver(a.position, b.position);
const driverOf = ({ position }: ArchiveRow) => position.driverId;

function fail(error: unknown): never {
  throw archiveError(error);
}
