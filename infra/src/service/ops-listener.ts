// GET /livez, /readyz[?verbose] and /metrics, on a port of their own, so that probes and scrapes neither wait
// behind the service's traffic nor are open to its callers.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BoundedSockets, socketsWithin } from './bounded-sockets.js';
import { withDeadline } from './deadline.js';
import type { Logger } from './log.js';
import { answerBadRequests } from './raw-problem.js';

export interface ReadinessReport {
  /** The service's own verdict: a failed check alone (one dark region) need not make it unready. */
  ready: boolean;
  checks: { name: string; ok: boolean; detail: string }[];
}

/** A prom-client Registry, or one that gathers the metrics of several processes. */
export interface MetricsSource {
  metrics(): Promise<string>;
}

export interface OpsSources {
  log: Logger;
  registry: MetricsSource;
  /** Called for each request. */
  readiness(): ReadinessReport | Promise<ReadinessReport>;
}

class OpsListenerError extends Error {
  constructor(
    readonly code: 'port_taken' | 'cannot_listen',
    message: string,
    options: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'OpsListenerError';
  }
}

// Kubernetes gives a probe one second, Prometheus a scrape ten.
const READINESS_DEADLINE_MS = 900;
const METRICS_DEADLINE_MS = 8_000;
// Probes and scrapers are few. One address may hold most of them, as all probes of a host come from one.
const MAX_SOCKETS = 64;
const MAX_SOCKETS_PER_ADDRESS = 48;
const TIMEOUTS = {
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  // Longer than the usual interval of scrapes, so that a scraper keeps its connection.
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 1_000,
};

export async function listenOps(
  sources: OpsSources,
  address: { host: string; port: number },
): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer(TIMEOUTS, (request, response) => {
    answer(sources, request, response).catch((error: unknown) => {
      sources.log.error({ err: error, path: pathOf(request) }, 'an ops request failed');
      if (response.headersSent) response.destroy();
      else sendProblem(response, 500, 'Internal Server Error', 'the answer could not be made; see the log');
    });
  });
  new BoundedSockets(server, { inAll: socketsWithin(MAX_SOCKETS), perAddress: MAX_SOCKETS_PER_ADDRESS });
  answerBadRequests(server);
  await listen(server, address);
  server.on('error', (error) => sources.log.error({ err: error }, 'the ops listener has an error'));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function listen(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(
        cause.code === 'EADDRINUSE'
          ? new OpsListenerError('port_taken', `OPS_PORT ${port} on ${host} is taken: give a free one`, {
              cause,
            })
          : new OpsListenerError(
              'cannot_listen',
              `cannot listen on ${host}, OPS_PORT ${port} (${cause.code})`,
              {
                cause,
              },
            ),
      );
    });
    server.listen({ host, port }, resolve);
  });
  server.removeAllListeners('error');
}

async function answer(
  sources: OpsSources,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = pathOf(request);
  const reply = REPLIES[path];
  if (!reply) {
    sendProblem(response, 404, 'Not Found', 'here are /livez, /readyz and /metrics');
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    sendProblem(response, 405, 'Method Not Allowed', `${path} takes GET and HEAD`);
  } else {
    await reply(sources, response, new URLSearchParams((request.url ?? '').slice(path.length)));
  }
}

/** Split by hand: `new URL` throws on some of what a client can send. */
function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').split('?', 1)[0] ?? '';
}

type Reply = (sources: OpsSources, response: ServerResponse, query: URLSearchParams) => Promise<void>;

// Without a prototype, or GET /constructor would find something.
const REPLIES: Record<string, Reply> = Object.assign(Object.create(null), {
  '/livez': async (_sources, response) => send(response, 200, 'text/plain; charset=utf-8', 'ok\n'),

  '/readyz': async (sources, response, query) => {
    const report = await readinessWithin(sources);
    const status = report.ready ? 200 : 503;
    if (query.has('verbose')) {
      send(response, status, 'application/json', `${JSON.stringify(report)}\n`);
    } else {
      send(response, status, 'text/plain; charset=utf-8', report.ready ? 'ready\n' : 'not ready\n');
    }
  },

  '/metrics': async (sources, response) => {
    const text = await withDeadline(sources.registry.metrics(), METRICS_DEADLINE_MS);
    send(response, 200, 'text/plain; version=0.0.4; charset=utf-8', text);
  },
} satisfies Record<string, Reply>);

/** A readiness that throws or hangs is an answer too: not ready. */
async function readinessWithin(sources: OpsSources): Promise<ReadinessReport> {
  try {
    return await withDeadline((async () => sources.readiness())(), READINESS_DEADLINE_MS);
  } catch (error) {
    sources.log.warn({ err: error }, 'readiness could not be told');
    const detail = error instanceof Error ? error.message : String(error);
    return { ready: false, checks: [{ name: 'readiness', ok: false, detail }] };
  }
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
}

function sendProblem(response: ServerResponse, status: number, title: string, detail: string): void {
  send(
    response,
    status,
    'application/problem+json',
    `${JSON.stringify({ type: 'about:blank', title, status, detail })}\n`,
  );
}
