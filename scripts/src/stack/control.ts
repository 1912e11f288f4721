// Requests to the running `npm start`, over a socket in its own folder, which only its owner can reach:
//
//   GET  /servers              the Redis nodes and Postgres, as they are now
//   POST /servers/NAME/start   starts one that is down, as a child of `npm start`; NAME is a port, or `postgres`
//
//  A request that makes no sense is answered with 409 or 404 and a text.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { UsageError } from '../usage-error.js';

/** The longest socket path that works on every supported system. */
const MAX_PATH_BYTES = 100;

export interface ServerRow {
  /** The name by which it is started. */
  name: string;
  address: string;
  role: 'master' | 'replica' | 'archive';
  pid: number;
  state: 'up' | 'down' | 'silent';
}

export interface Servers {
  list(): Promise<ServerRow[]>;
  start(name: string): Promise<void>;
}

/** Why a request is refused, worded for the user. */
export class WishError extends Error {
  constructor(
    readonly status: 404 | 409,
    message: string,
  ) {
    super(message);
  }
}

export interface Control {
  path: string;
  close(): void;
}

/** In the folder itself, or in a private temporary one if its path is too long for a socket. */
function socketPath(home: string): { path: string; remove(): void } {
  const path = join(home, 'control.sock');
  if (Buffer.byteLength(path) <= MAX_PATH_BYTES) return { path, remove: () => rmSync(path, { force: true }) };
  const other = join(mkdtempSync(join(tmpdir(), 'whereabouts-control-')), 'control.sock');
  return { path: other, remove: () => rmSync(dirname(other), { recursive: true, force: true }) };
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function serve(servers: Servers, method: string, url: string): Promise<ServerRow[]> {
  const name = /^\/servers\/([a-z0-9]+)\/start$/.exec(url)?.[1];
  if (method === 'POST' && name !== undefined) await servers.start(name);
  else if (method !== 'GET' || url !== '/servers') throw new WishError(404, `there is no ${method} ${url}`);
  return servers.list();
}

function serverOf(servers: Servers): Server {
  return createServer(({ method = '', url = '' }, response) => {
    serve(servers, method, url).then(
      (rows) => answer(response, 200, { servers: rows }),
      (error: Error) =>
        answer(response, error instanceof WishError ? error.status : 500, { detail: error.message }),
    );
  });
}

export async function openControl(home: string, servers: Servers): Promise<Control> {
  const { path, remove } = socketPath(home);
  rmSync(path, { force: true }); // that of a run that was killed
  const server = serverOf(servers);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return {
    path,
    close: () => {
      server.close();
      server.closeAllConnections();
      remove();
    },
  };
}

/** A request from another process of this machine. */
export function wish(path: string, method: 'GET' | 'POST', url: string): Promise<ServerRow[]> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: path, path: url, method }, async (response) => {
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += chunk;
      const body = JSON.parse(text) as { servers?: ServerRow[]; detail?: string };
      if (body.servers !== undefined) resolve(body.servers);
      else reject(new UsageError(`It could not be done: ${body.detail}`));
    });
    sent.once('error', (cause) => reject(new UsageError('The running stack does not answer.', { cause })));
    sent.end();
  });
}
