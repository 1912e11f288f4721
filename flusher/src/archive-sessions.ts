// Sessions with Postgres, for transactions alone.
//
// What always holds: no statement depends on how the session was set up. Each transaction begins with the settings that
// our statements need, since the database, the role, the address or a pooler may have given the session others, and a
// pooler that hands out a session for each transaction forgets what we set outside of one. Nothing but our name is sent
// at connect: PgBouncer refuses startup parameters that it does not know.
//
// A session goes back to the pool only after a commit or an error that is about our rows. After any other error it is
// closed: it may belong to a primary that is none any more.

import { withDeadline } from '@whereabouts/infra/service/deadline';
import { Pool, type PoolClient, type PoolConfig } from 'pg';
import { troubleOf } from './archive-error.js';

// One for the passes, one for checkpoints, one for the retention and the probes.
const CONNECTIONS = 3;
const CLOSING_MS = 300;

// READ WRITE is not demanded: a database that somebody has set read-only is left alone.
const BEGIN = [
  'BEGIN ISOLATION LEVEL READ COMMITTED',
  'SET LOCAL search_path = public',
  'SET LOCAL statement_timeout = 2000',
  'SET LOCAL lock_timeout = 500',
  'SET LOCAL idle_in_transaction_session_timeout = 10000',
  // A commit that came back must be on disk: the watermark moves on it.
  'SET LOCAL synchronous_commit = on',
  // NULL within an array is no text.
  'SET LOCAL array_nulls = on',
  // Numbers come back as they went in.
  'SET LOCAL extra_float_digits = 1',
].join('; ');

export interface SessionOptions {
  postgres: PoolConfig;
  onConnectionLost(error: Error): void;
}

export class ArchiveSessions {
  readonly #o: SessionOptions;
  #pool: Pool;

  constructor(o: SessionOptions) {
    this.#o = o;
    this.#pool = this.#newPool();
  }

  /** Rejects with the error. The transaction was then rolled back; after an error in COMMIT its fate is unknown. */
  async transaction<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    try {
      await client.query(BEGIN);
      const result = await work(client);
      await client.query('COMMIT');
      client.release();
      return result;
    } catch (error) {
      await giveBack(client, error);
      throw error;
    }
  }

  /** The next caller gets a new connection, to wherever the address points then. */
  renew(): void {
    const old = this.#pool;
    this.#pool = this.#newPool();
    // Its sessions end when they are given back.
    void old.end();
  }

  /** A server that is frozen does not answer a goodbye either, so it is not waited for long. */
  async close(): Promise<void> {
    await withDeadline(this.#pool.end(), CLOSING_MS, () => {});
  }

  #newPool(): Pool {
    const pool = new Pool({
      ...this.#o.postgres,
      application_name: 'whereabouts-flusher',
      max: CONNECTIONS,
      // What Postgres itself cannot say any more: frozen, or cut off without a word.
      query_timeout: 3_000,
      connectionTimeoutMillis: 2_000,
      idleTimeoutMillis: 60_000,
      keepAlive: true,
    });
    pool.on('error', this.#o.onConnectionLost);
    // A connection that breaks in the middle of a query also emits this; without a listener it would end the process.
    pool.on('connect', (client) => client.on('error', () => {}));
    return pool;
  }
}

async function giveBack(client: PoolClient, error: unknown): Promise<void> {
  if (troubleOf(error) === 'away') {
    client.release(true);
    return;
  }
  await client.query('ROLLBACK').then(
    () => client.release(),
    () => client.release(true),
  );
}
