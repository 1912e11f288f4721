// A test takes over Postgres of a running stack from `npm start`, which leaves a stopped one alone.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type PostgresServer, startPostgres } from '@whereabouts/infra/local/postgres-server';
import { isAlive, waitFor } from '@whereabouts/infra/local/server-process';
import { Client } from 'pg';
import type { OwnStack } from '../stack/own-stack.js';

/** No writer can use that table until the lock is released. */
export async function lockTable(url: string, table: string): Promise<() => Promise<void>> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
  return () => client.end();
}

export class ArchiveControl {
  #server: PostgresServer;
  readonly #copy: string;

  private constructor(server: PostgresServer, copy: string) {
    this.#server = server;
    this.#copy = copy;
  }

  /** Stops the stack's Postgres and starts another on its data and port. */
  static async takeOver(stack: OwnStack): Promise<ArchiveControl> {
    const { pid, url } = stack.now.postgres;
    if (pid === null) throw new Error('the stack does not run its own Postgres');
    process.kill(pid, 'SIGINT');
    await waitFor('Postgres has stopped', 30_000, () => !isAlive(pid) || undefined);
    const server = await startPostgres({
      dir: join(stack.home, 'postgres'),
      port: Number(new URL(url).port),
    });
    return new ArchiveControl(server, join(server.dataDir, 'older-copy'));
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  start(): Promise<void> {
    return this.#server.restart();
  }

  /** Of the stopped server. */
  keepCopy(): void {
    copy(this.#data, this.#copy);
  }

  /** As after a restore from a backup. */
  putBackCopy(): void {
    rmSync(this.#data, { recursive: true });
    copy(this.#copy, this.#data);
  }

  get #data(): string {
    return join(this.#server.dataDir, 'data');
  }
}

/** With its owner: Postgres may run as another user than we do. */
function copy(from: string, to: string): void {
  execFileSync('cp', ['-a', from, to]);
}
