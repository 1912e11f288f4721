// Redis and Postgres of the running stack, for `npm run node`: listed, and restarted when they are down. `npm start`
// does not restart them: a node that is down is a deliberate fault, or somebody has to look at it.

import { join } from 'node:path';
import { postgresPid } from '@whereabouts/infra/local/postgres-place';
import type { PostgresServer } from '@whereabouts/infra/local/postgres-server';
import type { RedisCluster } from '@whereabouts/infra/local/redis-servers';
import { formatAddress } from '@whereabouts/infra/node-address';
import type { StackNode } from '../stack-file.js';
import { type ServerRow, type Servers, WishError } from './control.js';
import type { OwnProcess, OwnProcesses } from './own-processes.js';
import { clusterDir } from './redis-admin.js';

const POSTGRES = 'postgres';

export const redisProcess = (home: string, pid: number): OwnProcess => ({
  pid,
  marker: clusterDir(home),
  name: 'Redis',
  signal: 'SIGTERM',
});

export const postgresProcess = ({ pid, dataDir }: PostgresServer): OwnProcess => ({
  pid,
  marker: dataDir,
  name: 'Postgres',
  signal: 'SIGINT',
});

export interface StackServersOptions {
  home: string;
  cluster: RedisCluster;
  /** Null if the database is not ours. */
  postgres: PostgresServer | null;
  own: OwnProcesses;
  /** As they are now. */
  look(): Promise<readonly StackNode[]>;
  stopping(): boolean;
}

export class StackServers implements Servers {
  readonly #o: StackServersOptions;
  readonly #starting = new Map<string, Promise<void>>();

  constructor(options: StackServersOptions) {
    this.#o = options;
  }

  async list(): Promise<ServerRow[]> {
    const nodes = (await this.#o.look()).map((node) => ({
      name: String(node.port),
      address: formatAddress(node),
      role: node.role,
      pid: node.pid,
      state: node.state,
    }));
    const { postgres } = this.#o;
    if (postgres === null) return nodes;
    const pid = this.postgresPid();
    const address = `127.0.0.1:${postgres.port}`;
    return [
      ...nodes,
      { name: POSTGRES, address, role: 'archive', pid: pid ?? 0, state: pid ? 'up' : 'down' },
    ];
  }

  /** Null: it is down, or not ours. */
  postgresPid(): number | null {
    return this.#o.postgres && postgresPid(join(this.#o.home, 'postgres'));
  }

  isArchiveDown(): boolean {
    return this.#o.postgres !== null && this.postgresPid() === null;
  }

  /** A second request waits for the same start. */
  async start(name: string): Promise<void> {
    if (this.#o.stopping()) throw new WishError(409, 'the stack is stopping');
    const under = this.#starting.get(name) ?? this.#start(name).finally(() => this.#starting.delete(name));
    this.#starting.set(name, under);
    await under;
  }

  /**
   * Everything in progress has succeeded or failed, and every running process is known, also those that a drill has
   * started again.
   */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#starting.values());
    const { home, own, postgres } = this.#o;
    for (const { pid } of await this.#o.look()) own.add(redisProcess(home, pid));
    const pid = this.postgresPid();
    if (postgres !== null && pid !== null) own.add({ ...postgresProcess(postgres), pid });
  }

  async #start(name: string): Promise<void> {
    const row = (await this.list()).find((one) => one.name === name);
    if (row === undefined) throw new WishError(404, `there is no server ${name}`);
    if (row.state === 'up') throw new WishError(409, `${row.address} runs (process ${row.pid})`);
    if (row.state === 'silent')
      throw new WishError(409, `${row.address} runs (process ${row.pid}), but does not answer`);
    if (name !== POSTGRES) {
      const { pid } = await this.#o.cluster.restartNode(Number(name));
      this.#o.own.add(redisProcess(this.#o.home, pid));
    } else if (this.#o.postgres !== null) {
      await this.#o.postgres.restart();
      this.#o.own.add(postgresProcess(this.#o.postgres));
    }
  }
}
