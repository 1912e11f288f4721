// The Fastify instance: its limits, the hooks common to all requests, and every registered plugin and route.

import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import cors, { type FastifyCorsOptions } from '@fastify/cors';
import type { Logger } from '@whereabouts/infra/service/log';
import { tracerOf } from '@whereabouts/infra/service/tracing';
import { type FastifyInstance, type FastifyRequest, fastify } from 'fastify';
import { type ApiOptions, registerApi } from './api.js';
import { registerDocs } from './docs.js';
import { type PageOptions, registerPage } from './page.js';
import { Problem } from './problem.js';
import { traceQuestions } from './question-spans.js';
import { answerErrors, problemOf, refuseOtherMethods, sendProblem } from './refusals.js';
import { compileValidator } from './validation.js';

type CorsOptionsCallback = (error: Error | null, options: FastifyCorsOptions) => void;

export interface AppOptions extends ApiOptions {
  log: Logger;
  corsOrigins: readonly string[];
  page: PageOptions;
}

// An address with 100 ids of the greatest length takes 7 KiB, a token up to 8; cookies and a proxy's headers come on
// top.
const MAX_HEADER_BYTES = 32 * 1024;
const HEADERS_DEADLINE_MS = 5_000;
/** Longer than the deadline for a body, which has a separate answer. */
const REQUEST_DEADLINE_MS = 10_000;
/**
 * Longer than proxies keep idle connections (nginx: 60 s), so that they close first and never send into a closing one.
 */
const KEEP_ALIVE_MS = 75_000;
/** For callers that neither read nor write. */
const SILENCE_MS = 30_000;
const REQUEST_ID = /^[A-Za-z0-9._:/+=@~-]{1,128}$/;

export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const { log, corsOrigins } = options;
  const { metrics } = options.ground;
  const app = fastify({
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_DEADLINE_MS,
      connectionsCheckingInterval: 1_000,
      // Checked below, where the refusal can be a problem.
      requireHostHeader: false,
    },
    requestTimeout: REQUEST_DEADLINE_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionTimeout: SILENCE_MS,
    return503OnClosing: false,
    // A log of requests would reveal where every driver and caller is.
    logger: false,
    clientErrorHandler: () => {},
    genReqId: requestIdOf,
    rewriteUrl: ({ url = '/' }) => withPlainColons(url),
    // Ids are checked by their schema.
    routerOptions: { maxParamLength: MAX_HEADER_BYTES },
    frameworkErrors: (error, request, reply) => {
      const problem = problemOf(error) ?? new Problem(500, 'internal', 'something is wrong on our side');
      void sendProblem(request, reply, problem);
    },
  });
  app.setValidatorCompiler(compileValidator);
  // Handlers serialize their answers themselves.
  app.setSerializerCompiler(() => JSON.stringify);
  answerErrors(app, log);
  const tracer = tracerOf('query-api');
  if (tracer) traceQuestions(app, tracer, routeOf);
  const otherMethods = refuseOtherMethods(app);
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    // Without this header `fetch` asks caches to revalidate; @fastify/send would read that as a request for the whole
    // file.
    const { headers } = request.raw;
    if (headers['if-none-match'] !== undefined) delete headers['cache-control'];
    if (isHostMissing(request)) throw new Problem(400, 'bad_request', 'the Host header is missing');
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    // The time a stream was open is not the duration of an answer.
    if (request.isStream) return done();
    const status = `${Math.floor(reply.statusCode / 100)}xx`;
    metrics.duration.observe({ route: routeOf(request), status }, reply.elapsedTime / 1_000);
    done();
  });
  closeWhileDraining(app);
  if (corsOrigins.length > 0) await registerCors(app, corsOrigins);
  await registerDocs(app);
  await app.register(registerApi, options);
  await app.register(registerPage, options.page);
  otherMethods.finish();
  return app;
}

/** When the app closes, requests in flight are answered and their connections then close. */
function closeWhileDraining(app: FastifyInstance): void {
  let isDraining = false;
  app.addHook('preClose', (done) => {
    isDraining = true;
    done();
  });
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (isDraining) reply.header('connection', 'close');
    done(null, payload);
  });
}

async function registerCors(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  const options: FastifyCorsOptions = {
    origin: [...origins],
    methods: ['GET', 'HEAD', 'POST'],
    allowedHeaders: ['Authorization', 'Content-Type', 'Last-Event-ID', 'X-Request-Id'],
    exposedHeaders: ['X-Request-Id', 'Retry-After', 'WWW-Authenticate'],
    maxAge: 600,
  };
  await app.register(cors, () => (request: FastifyRequest, callback: CorsOptionsCallback) => {
    // Any other OPTIONS is handled like all other methods.
    callback(null, { ...options, preflight: request.headers['access-control-request-method'] !== undefined });
  });
}

function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
}

/** The router treats `%3A` as part of a name; some callers write `nearby:batch` that way. */
function withPlainColons(url: string): string {
  return url.includes('%3') ? url.replaceAll(/%3a/gi, ':') : url;
}

function isHostMissing({ raw }: FastifyRequest): boolean {
  return raw.headers.host === undefined && raw.httpVersionMinor > 0;
}

/** The route's label in the metrics: as the documentation writes it, with one label for all files. */
function routeOf(request: FastifyRequest): string {
  const { url = '*' } = request.routeOptions;
  if (url === '*') return 'none';
  if (url === '/openapi.json') return url;
  if (url.startsWith('/v1/')) return url.replace('::', ':').replace(/:id.*/, '{id}');
  return url.startsWith('/docs') ? 'docs' : 'page';
}
