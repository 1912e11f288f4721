// Tile38 with its defaults: on loopback, with its append-only file, in a folder that is removed with it.

import { mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Argument } from '@whereabouts/infra/live-store/command-bytes';
import type { NodeConnection } from '@whereabouts/infra/live-store/node-connection';
import { freePort } from '@whereabouts/infra/local/ports';
import { type ServerProcess, startServer } from '@whereabouts/infra/local/server-process';
import { NotInstalled } from '../bench.js';
import { plainConnection } from './plain-connection.js';

const COMMAND = 'tile38-server';
const STOP_DEADLINE_MS = 8000;
const HOW_TO_GET =
  'no tile38-server on the PATH, so nothing is compared with Tile38. To get it: git clone ' +
  'https://github.com/tidwall/tile38 && cd tile38 && go build -o /usr/local/bin ./cmd/tile38-server';

export class Tile38 {
  readonly #server: ServerProcess;
  readonly #connection: NodeConnection;
  readonly #dir: string;
  readonly #port: number;

  private constructor(server: ServerProcess, connection: NodeConnection, dir: string, port: number) {
    this.#server = server;
    this.#connection = connection;
    this.#dir = dir;
    this.#port = port;
  }

  /** Rejects with NotInstalled. */
  static async start(): Promise<Tile38> {
    const dir = await mkdtemp(join(tmpdir(), 'whereabouts-tile38-'));
    let server: ServerProcess | undefined;
    try {
      const port = await freePort();
      const args = ['-h', '127.0.0.1', '-p', String(port), '-d', join(dir, 'data')];
      server = await startServer({
        command: COMMAND,
        args,
        logFile: join(dir, 'log'),
        stopSignal: 'SIGTERM',
      });
      return new Tile38(server, await plainConnection(`127.0.0.1:${port}`), dir, port);
    } catch (error) {
      await server?.stop(STOP_DEADLINE_MS);
      await rm(dir, { recursive: true, force: true });
      const { cause } = error as { cause?: NodeJS.ErrnoException };
      throw cause?.code === 'ENOENT' ? new NotInstalled(HOW_TO_GET) : error;
    }
  }

  get pid(): number {
    return this.#server.pid;
  }

  call(...args: readonly Argument[]): Promise<unknown> {
    return this.#connection.call(args);
  }

  /** Over HTTP, where it closes the connection after each answer. */
  get(...args: readonly (string | number)[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const path = `/${args.map((arg) => encodeURIComponent(arg)).join('+')}`;
      get({ host: '127.0.0.1', port: this.#port, path, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve(JSON.parse(text)));
        response.on('error', reject);
      }).on('error', reject);
    });
  }

  async stop(): Promise<void> {
    this.#connection.close();
    await this.#server.stop(STOP_DEADLINE_MS);
    await rm(this.#dir, { recursive: true, force: true });
  }
}

/** Null, with a message, if it is not installed: the rest of a bench still runs. */
export async function startTile38(say: (text: string) => void): Promise<Tile38 | null> {
  try {
    return await Tile38.start();
  } catch (error) {
    if (!(error instanceof NotInstalled)) throw error;
    say(`SKIPPED: ${error.message}`);
    return null;
  }
}

/** For the notes of a bench. */
export const tile38Note = (tile38: Tile38 | null): string[] => (tile38 ? [] : [`Skipped: ${HOW_TO_GET}`]);
