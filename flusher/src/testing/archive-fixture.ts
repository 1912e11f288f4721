// A real Postgres with the roles, the database and the migrations, for the tests of this package.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type PostgresServer,
  removePostgresData,
  startPostgres,
} from '@whereabouts/infra/local/postgres-server';
import { MAX_LATITUDE, NONE_U16, type Position } from '@whereabouts/infra/position';
import { Pool, type QueryResultRow } from 'pg';
import { Archive, type ArchiveOptions } from '../archive.js';
import { FLUSHER, MIGRATOR, migrate, prepareDatabase, roleUrl } from '../database.js';

export const MAP_HASH = '0123456789abcdef';
// What a password may well hold and an address must not.
const PASSWORDS = { migrator: 'm:/?#@% ü', flusher: 'f\'"\\$' };

export interface ArchiveFixture {
  server: PostgresServer;
  flusherUrl: string;
  migratorUrl: string;
  /** As the migrator, who owns the tables. */
  sql<R extends QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>;
  archive(o?: Partial<ArchiveOptions>): Archive;
  /** As of when, in epoch ms, the table has each partition of that map. */
  progress(mapHash?: string): Promise<Map<number, number>>;
  stop(): Promise<void>;
}

export async function startArchive(database = 'whereabouts'): Promise<ArchiveFixture> {
  const dir = await mkdtemp(join(tmpdir(), 'whereabouts-archive-'));
  const server = await startPostgres({ dir });
  await prepareDatabase(server.adminUrl, database, PASSWORDS);
  const migratorUrl = roleUrl(server.adminUrl, database, MIGRATOR, PASSWORDS.migrator);
  const flusherUrl = roleUrl(server.adminUrl, database, FLUSHER, PASSWORDS.flusher);
  await migrate({ connectionString: migratorUrl });
  // Short-lived connections, so that stopping and starting the server leaves nothing broken here.
  const owner = new Pool({ connectionString: migratorUrl, max: 2, maxUses: 1 });
  owner.on('error', () => {});
  const archives: Archive[] = [];
  return {
    server,
    flusherUrl,
    migratorUrl,
    sql: async (text, values) => (await owner.query(text, values)).rows,
    archive(o = {}) {
      const archive = new Archive({
        postgres: { connectionString: flusherUrl },
        mapHash: MAP_HASH,
        reached: () => {},
        onConnectionLost: () => {},
        ...o,
      });
      archives.push(archive);
      return archive;
    },
    async progress(mapHash = MAP_HASH) {
      const { rows } = await owner.query(
        'SELECT partition, extract(epoch FROM as_of) * 1000 AS ms FROM flush_progress WHERE map_hash = $1',
        [mapHash],
      );
      return new Map(rows.map(({ partition, ms }) => [partition, Number(ms)]));
    },
    async stop() {
      await Promise.all(archives.map((archive) => archive.close().catch(() => {})));
      await owner.end();
      await server.stop();
      await removePostgresData(dir);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Every field at the edge of what it can be. */
export const EXTREMES: Partial<Position> = {
  session: 281_474_976_710_655,
  seq: 4_294_967_295,
  recordedAtMs: 1_700_000_001_999,
  latE7: -850_511_287,
  lonE7: 1_799_999_999,
  headingCdeg: 35_999,
  speedCmps: 65_534,
  accuracyDm: 65_534,
  status: 'busy',
  services: 65_535,
};

export function stored(driverId: string, fields: Partial<Position> = {}): Position {
  return {
    driverId,
    session: 1_700_000_000_000,
    seq: 1,
    recordedAtMs: 1_700_000_001_234,
    latE7: Math.floor(MAX_LATITUDE * 1e7),
    lonE7: -1_800_000_000,
    headingCdeg: NONE_U16,
    speedCmps: NONE_U16,
    accuracyDm: NONE_U16,
    status: 'available',
    services: 0,
    checkpoint: false,
    checkpointId: null,
    ...fields,
  };
}
