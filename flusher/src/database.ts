// Makes the database ready for the flusher: the roles, the database itself, the migrations. Everything may be run
// again, and by several at once.
//
//   admin (once, and to change passwords)  whereabouts_migrator, whereabouts_flusher, the database
//   migrator (each deployment)             infra/postgres/*.sql; owns what it makes
//   flusher                                reads, writes and deletes rows; no DDL

import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import { Client, type ClientConfig, escapeIdentifier, escapeLiteral } from 'pg';

export const MIGRATOR = 'whereabouts_migrator';
export const FLUSHER = 'whereabouts_flusher';

const MIGRATIONS = fileURLToPath(new URL('../../infra/postgres', import.meta.url));
const ADMIN_LOCK = 7_241_865_325;
// Whatever the database, the role or the address would set. The wait for a lock, another one's migrations among them, is
// of each statement.
const SESSION = [
  'SET search_path = public',
  'SET statement_timeout = 0',
  'SET lock_timeout = 60000',
  'SET standard_conforming_strings = on',
].join('; ');
const START_DEADLINE_MS = 30_000;
const RETRY_MS = 250;

export interface RolePasswords {
  migrator: string;
  flusher: string;
}

/** Creates what is missing and sets the passwords. Returns a line for each thing that it made. */
export async function prepareDatabase(
  adminUrl: string,
  database: string,
  passwords: RolePasswords,
): Promise<string[]> {
  const made: string[] = [];
  await connected({ connectionString: adminUrl }, async (admin) => {
    // Two at once would both find nothing and both create it.
    await admin.query('SELECT pg_advisory_lock($1)', [ADMIN_LOCK]);
    if (await ensureRole(admin, MIGRATOR, passwords.migrator)) made.push(`created role ${MIGRATOR}`);
    if (await ensureRole(admin, FLUSHER, passwords.flusher)) made.push(`created role ${FLUSHER}`);
    if (await ensureDatabase(admin, database)) made.push(`created database ${database}`);
  });
  await connected({ connectionString: withDatabase(adminUrl, database) }, async (admin) => {
    await admin.query('SELECT pg_advisory_lock($1)', [ADMIN_LOCK]);
    // Before Postgres 15 everyone may create tables in public.
    await admin.query('REVOKE CREATE ON SCHEMA public FROM PUBLIC');
    await admin.query(`GRANT USAGE, CREATE ON SCHEMA public TO ${MIGRATOR}`);
    await admin.query(`GRANT USAGE ON SCHEMA public TO ${FLUSHER}`);
  });
  return made;
}

/** Returns the names of the migrations that it ran. */
export async function migrate(config: ClientConfig, direction: 'up' | 'down' = 'up'): Promise<string[]> {
  return connected(config, async (dbClient) => {
    const log = { debug: () => {}, info: () => {}, warn: console.warn, error: console.error };
    const ran = await runner({
      dbClient,
      dir: MIGRATIONS,
      direction,
      migrationsTable: 'schema_migrations',
      // Waits for other migrations, as long as for any lock.
      advisoryLockMode: 'wait',
      logger: log,
    });
    return ran.map(({ name }) => name);
  });
}

/** The address of the same server for another role and database. */
export function roleUrl(adminUrl: string, database: string, role: string, password: string): string {
  const url = new URL(withDatabase(adminUrl, database));
  url.username = role;
  url.password = encodeURIComponent(password);
  return url.href;
}

function withDatabase(address: string, database: string): string {
  const url = new URL(address);
  url.pathname = `/${encodeURIComponent(database)}`;
  return url.href;
}

async function ensureRole(admin: Client, role: string, password: string): Promise<boolean> {
  const { rowCount } = await admin.query('SELECT FROM pg_roles WHERE rolname = $1', [role]);
  const command = rowCount === 0 ? 'CREATE' : 'ALTER';
  // Where the server logs DDL, the log would hold the password.
  await admin.query(`SET log_statement = 'none'`).catch(() => {});
  await admin.query(`${command} ROLE ${role} LOGIN PASSWORD ${escapeLiteral(password)}`);
  return command === 'CREATE';
}

async function ensureDatabase(admin: Client, database: string): Promise<boolean> {
  const { rowCount } = await admin.query('SELECT FROM pg_database WHERE datname = $1', [database]);
  const name = escapeIdentifier(database);
  if (rowCount === 0) {
    // An administrator who is no superuser can only give a database to a role that it is a member of.
    await admin.query(`GRANT ${MIGRATOR} TO CURRENT_USER`);
    await admin.query(`CREATE DATABASE ${name} OWNER ${MIGRATOR}`);
  }
  await admin.query(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC`);
  await admin.query(`GRANT CONNECT ON DATABASE ${name} TO ${MIGRATOR}, ${FLUSHER}`);
  return rowCount === 0;
}

/** Waits for a server that is still starting. */
async function connected<T>(config: ClientConfig, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await connect(config);
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function connect(config: ClientConfig): Promise<Client> {
  const deadlineMs = Date.now() + START_DEADLINE_MS;
  for (;;) {
    const client = new Client({
      ...config,
      application_name: 'whereabouts-migrate',
      connectionTimeoutMillis: 5_000,
    });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query(SESSION);
      return client;
    } catch (error) {
      await client.end().catch(() => {});
      if (!isStarting(error) || Date.now() > deadlineMs) throw error;
      await delay(RETRY_MS);
    }
  }
}

function isStarting(error: unknown): boolean {
  const code = (error as { code?: string }).code;
  return code === 'ECONNREFUSED' || code === '57P03';
}
