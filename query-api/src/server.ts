// The HTTP server; the only file that knows uWebSockets.js.
//
// Its rules: a request is dead after the first await, so what is needed of it is copied at once; a response is dead
// once aborted, so that is always watched; whoever neither answers nor watches ends the process.

import {
  App,
  type HttpRequest,
  type HttpResponse,
  type TemplatedApp,
  type us_listen_socket,
  us_listen_socket_close,
  us_socket_local_port,
} from 'uWebSockets.js';
import { STATUS_CODES } from 'node:http';
import { type Api, type ApiAnswer, type ApiRequest, MAX_BODY_BYTES } from './api.js';
import { Problem, unavailable } from './problem.js';

export interface Server {
  port: number;
  /** Takes no more connections, answers what is under way, closes. */
  drain(): Promise<void>;
  close(): void;
}

class ListenError extends Error {
  readonly code = 'cannot_listen';
}

// LIBUS_LISTEN_EXCLUSIVE_PORT: else a second process would listen on a taken port too, and share it.
const EXCLUSIVE_PORT = 1;
const BODY_DEADLINE_MS = 5_000;
// Bodies that are arriving take memory before anything is known of their sender.
const MAX_BODIES_ARRIVING = 64;
const DRAIN_POLL_MS = 10;

// Of listen() with a host and options, which the type declarations lack.
type Listen = (host: string, port: number, options: number, done: (socket: Socket) => void) => void;
type Socket = us_listen_socket | false;

interface Traffic {
  exchanges: number;
  bodiesArriving: number;
  draining: boolean;
}

export function listen(api: Api, address: { host: string; port: number }): Promise<Server> {
  const traffic: Traffic = { exchanges: 0, bodiesArriving: 0, draining: false };
  const app = App();
  app.any('/*', (res, req) => void exchange(api, traffic, res, req));
  return new Promise((resolve, reject) => {
    const { host, port } = address;
    (app.listen as unknown as Listen).call(app, host, port, EXCLUSIVE_PORT, (socket) => {
      if (socket) resolve(serverOf(app, socket, traffic));
      else reject(new ListenError(`cannot listen on ${host}, PORT ${port}: is it taken?`));
    });
  });
}

function serverOf(app: TemplatedApp, socket: us_listen_socket, traffic: Traffic): Server {
  const port = us_socket_local_port(socket as never);
  let isListening = true;
  const stopListening = () => {
    if (isListening) us_listen_socket_close(socket);
    isListening = false;
  };
  return {
    port,
    async drain() {
      traffic.draining = true;
      stopListening();
      while (traffic.exchanges > 0) await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
      app.close();
    },
    close() {
      stopListening();
      app.close();
    },
  };
}

async function exchange(api: Api, traffic: Traffic, res: HttpResponse, req: HttpRequest): Promise<void> {
  let aborted = false;
  const method = req.getMethod().toUpperCase();
  const body = method === 'POST' ? new ArrivingBody(traffic, res, req) : null;
  res.onAborted(() => {
    aborted = true;
    body?.abandon();
  });
  traffic.exchanges++;
  try {
    const answer = await api.answer(copyOf(req, method, body));
    // What is left of a body nobody wants would be read to its end, at its sender's pace.
    const closes = traffic.draining || body?.isComplete === false;
    if (!aborted) send(res, answer, method === 'HEAD', closes);
  } finally {
    body?.abandon();
    traffic.exchanges--;
  }
}

function copyOf(req: HttpRequest, method: string, body: ArrivingBody | null): ApiRequest {
  return {
    method,
    path: req.getUrl(),
    query: req.getQuery() ?? '',
    authorization: req.getHeader('authorization'),
    accept: req.getHeader('accept'),
    contentType: req.getHeader('content-type'),
    requestId: req.getHeader('x-request-id'),
    ifNoneMatch: req.getHeader('if-none-match'),
    body: () => body?.read() ?? Promise.resolve(Buffer.alloc(0)),
  };
}

function send(res: HttpResponse, answer: ApiAnswer, isHead: boolean, closes: boolean): void {
  res.cork(() => {
    res.writeStatus(`${answer.status} ${STATUS_CODES[answer.status] ?? ''}`);
    for (const [name, value] of Object.entries(answer.headers)) res.writeHeader(name, value);
    if (closes) res.writeHeader('connection', 'close');
    if (isHead) res.endWithoutBody(Buffer.byteLength(answer.body), closes);
    else if (answer.status === 304) res.endWithoutBody(undefined, closes);
    else res.end(answer.body, closes);
  });
}

/** Gathered from the first moment, as chunks that nobody waits for are lost. */
class ArrivingBody {
  isComplete = false;
  readonly #traffic: Traffic;
  readonly #done: Promise<Buffer>;
  #fail: (problem: Problem) => void = () => {};
  #chunks: Buffer[] = [];
  #bytes = 0;
  #counted = true;
  #timer: NodeJS.Timeout;

  constructor(traffic: Traffic, res: HttpResponse, req: HttpRequest) {
    this.#traffic = traffic;
    traffic.bodiesArriving++;
    this.#timer = setTimeout(() => this.#refuse(tooSlow()), BODY_DEADLINE_MS);
    this.#done = new Promise((resolve, reject) => {
      this.#fail = reject;
      res.onData((chunk, isLast) => {
        if (!this.#counted) return;
        this.#bytes += chunk.byteLength;
        if (this.#bytes > MAX_BODY_BYTES) return this.#refuse(tooLarge());
        this.#chunks.push(Buffer.from(chunk.slice(0)));
        if (!isLast) return;
        this.isComplete = true;
        resolve(Buffer.concat(this.#chunks));
        this.abandon();
      });
    });
    // Whoever answers without it does not hear of its end.
    this.#done.catch(() => {});
    if (Number(req.getHeader('content-length')) > MAX_BODY_BYTES) this.#refuse(tooLarge());
    else if (traffic.bodiesArriving > MAX_BODIES_ARRIVING) this.#refuse(tooMany());
  }

  read(): Promise<Buffer> {
    return this.#done;
  }

  /** Forgets what came so far, and takes no more. */
  abandon(): void {
    if (!this.#counted) return;
    this.#counted = false;
    this.#traffic.bodiesArriving--;
    this.#chunks = [];
    clearTimeout(this.#timer);
    this.#fail(tooSlow());
  }

  #refuse(problem: Problem): void {
    this.#fail(problem);
    this.abandon();
  }
}

function tooLarge(): Problem {
  return new Problem(413, 'body_too_large', `the body has more than ${MAX_BODY_BYTES} bytes`);
}

function tooSlow(): Problem {
  return new Problem(408, 'body_timeout', `the body did not arrive within ${BODY_DEADLINE_MS} ms`);
}

function tooMany(): Problem {
  return unavailable('overloaded', `more than ${MAX_BODIES_ARRIVING} bodies are arriving at once`);
}
