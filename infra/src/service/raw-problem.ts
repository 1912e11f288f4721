// Answers below the application: for what Node's HTTP parser refuses by itself, and for sockets that are closed
// before a request. RFC 9457 problems, as all other refusals are.

import { randomUUID } from 'node:crypto';
import { type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';

export interface RawProblem {
  status: number;
  code: string;
  detail: string;
  headers?: Readonly<Record<string, string>>;
}

/** How long a socket that is closed is still read. */
const LINGER_MS = 1_000;
const closing = new WeakSet<Duplex>();

const BAD_REQUEST: RawProblem = { status: 400, code: 'bad_request', detail: 'this is no HTTP/1.1 request' };
const REFUSALS = new Map<string | undefined, RawProblem>([
  [
    'HPE_HEADER_OVERFLOW',
    { status: 431, code: 'headers_too_large', detail: 'the address and the headers together are too long' },
  ],
  [
    'ERR_HTTP_REQUEST_TIMEOUT',
    { status: 408, code: 'request_timeout', detail: 'the request did not arrive in time' },
  ],
  [
    'HPE_INVALID_VERSION',
    { status: 505, code: 'version_not_supported', detail: 'HTTP/1.0 and HTTP/1.1 are spoken here' },
  ],
  [
    'HPE_CHUNK_EXTENSIONS_OVERFLOW',
    { status: 413, code: 'body_too_large', detail: 'the extensions of a chunk are too long' },
  ],
]);

/** Answers what the parser refuses, which never reaches the application. `refused` is called with each status. */
export function answerBadRequests(server: Server, refused: (status: number) => void = () => {}): void {
  const responses = new WeakMap<Duplex, ServerResponse>();
  server.on('request', ({ socket }, response) => responses.set(socket, response));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    // The parser stumbles over what a caller goes on sending, too.
    if (closing.has(socket)) return;
    if (error.code === 'ECONNRESET' || !socket.writable || !mayAnswer(responses.get(socket))) {
      socket.destroy();
      return;
    }
    const refusal = REFUSALS.get(error.code) ?? BAD_REQUEST;
    refused(refusal.status);
    endWithProblem(socket, refusal);
  });
  server.on('connect', (_request, socket: Duplex) => {
    refused(405);
    endWithProblem(socket, { status: 405, code: 'method_not_allowed', detail: 'this is no proxy' });
  });
}

/** The problem as the last answer on this socket. */
export function endWithProblem(socket: Duplex, problem: RawProblem): void {
  const { status, code, detail, headers = {} } = problem;
  const title = STATUS_CODES[status] ?? 'Error';
  const requestId = randomUUID();
  const body = JSON.stringify({
    ...{ type: 'about:blank', title, status, detail, code },
    ...{ request_id: requestId, errors: [] },
  });
  const all = {
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
    'x-request-id': requestId,
    connection: 'close',
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.on('error', () => {}); // whoever is sent away may be gone already
  socket.write(`HTTP/1.1 ${status} ${title}\r\n${lines.join('')}\r\n${body}`);
  closeGently(socket);
}

/**
 * The kernel resets a connection that is closed with unread input, and the answer is lost with it. So what still comes
 * is read and dropped for a moment.
 */
export function closeGently(socket: Duplex): void {
  closing.add(socket);
  socket.end();
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('end', () => socket.destroy());
  socket.once('close', () => clearTimeout(timer));
}

/** Else our answer would be taken for a part of another one, or for that of another request. */
function mayAnswer(response: ServerResponse | undefined): boolean {
  if (!response) return true;
  const isWhole = response.req.complete;
  return response.writableFinished ? isWhole : !isWhole && !response.headersSent;
}
