// The HTTP server of query-api: listens, bounds its sockets, drains.

import type { AddressInfo } from 'node:net';
import { BoundedSockets, type SocketBounds } from '@whereabouts/infra/service/bounded-sockets';
import { answerBadRequests } from '@whereabouts/infra/service/raw-problem';
import { type AppOptions, createApp } from './app.js';
import { continueWhenRead } from './bodies.js';

export interface Server {
  port: number;
  /** That are open. */
  sockets(): number;
  /** That may be open. */
  socketsLimit: number;
  /** Stops accepting connections, answers what is in flight, closes. */
  drain(): Promise<void>;
  close(): void;
}

export interface ServerOptions extends AppOptions {
  host: string;
  port: number;
  bounds: SocketBounds;
}

class ListenError extends Error {
  readonly code = 'cannot_listen';
}

export async function startServer(options: ServerOptions): Promise<Server> {
  const { host, port } = options;
  const { metrics, streams } = options.ground;
  const app = await createApp(options);
  const sockets = new BoundedSockets(app.server, options.bounds, {
    lost: (reason) => metrics.socketsLost.inc({ reason }),
  });
  answerBadRequests(app.server, (status) => metrics.badRequests.inc({ status: String(status) }));
  continueWhenRead(app.server);
  app.addHook('preClose', (done) => {
    streams.drain();
    sockets.closeIdle();
    done();
  });
  try {
    await app.listen({ host, port });
  } catch (cause) {
    await app.close();
    throw new ListenError(`cannot listen on ${host}, PORT ${port}: is it taken?`, { cause });
  }
  return {
    port: (app.server.address() as AddressInfo).port,
    sockets: () => sockets.size,
    socketsLimit: options.bounds.inAll,
    drain: async () => await app.close(),
    close() {
      app.server.closeAllConnections();
      void app.close();
    },
  };
}
