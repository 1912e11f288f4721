// Answers every failed request with a problem: RFC 9457.

import { METHODS } from 'node:http';
import type { Logger } from '@whereabouts/infra/service/log';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { dropUnreadBody } from './bodies.js';
import { Problem, unsupportedMediaType } from './problem.js';
import { PROBLEM_TYPE } from './route-schema.js';

/**
 * Unknown callers and callers that ask too much are answered late. Otherwise one that retries at once, over and over,
 * would take as much of our time as all the others.
 */
const HELD_BACK = new Set([401, 403, 413, 429]);
const HELD_BACK_MS = 100;

export function sendProblem(request: FastifyRequest, reply: FastifyReply, problem: Problem): FastifyReply {
  reply.code(problem.status).headers({
    'content-type': PROBLEM_TYPE,
    'cache-control': 'no-store',
    'x-request-id': request.id,
    ...problem.headers,
  });
  // Fastify closes after any body that was not accepted, even if it has been read to its end.
  reply.removeHeader('connection');
  dropUnreadBody(request, reply);
  return reply.serializer(JSON.stringify).send(problem.body(request.id));
}

/** If the caller is not at fault, the route and the request's id are logged; the address would reveal positions. */
export function answerErrors(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const problem = problemOf(error) ?? unexpected(error, request, log);
    if (HELD_BACK.has(problem.status)) setTimeout(sendProblem, HELD_BACK_MS, request, reply, problem);
    else sendProblem(request, reply, problem);
  });
  app.setNotFoundHandler((request, reply) => {
    const problem = new Problem(404, 'not_found', 'there is nothing here: see /openapi.json');
    return sendProblem(request, reply, problem);
  });
}

/** null: an unexpected error. */
export function problemOf(error: FastifyError): Problem | null {
  if (error instanceof Problem) return error;
  if (error.code === 'FST_ERR_BAD_URL')
    return new Problem(404, 'not_found', 'the address is not well encoded');
  if (error.statusCode === 415) return unsupportedMediaType();
  const { statusCode = 500 } = error;
  return statusCode >= 400 && statusCode < 500 ? new Problem(statusCode, 'bad_request', error.message) : null;
}

function unexpected(error: FastifyError, request: FastifyRequest, log: Logger): Problem {
  log.error({ err: error, request_id: request.id, route: request.routeOptions.url }, 'a request failed');
  return new Problem(500, 'internal', 'something is wrong on our side');
}

/** Every route's path answers all other methods with 405. Routes that are added later are not known here. */
export function refuseOtherMethods(app: FastifyInstance): { finish(): void } {
  for (const method of METHODS) {
    if (!app.supportedMethods.includes(method) && method !== 'CONNECT') app.addHttpMethod(method);
  }
  const allowed = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    // @fastify/cors has a handler for OPTIONS on every possible path.
    if (url === '*') return;
    const methods = allowed.get(url) ?? new Set();
    for (const one of [method].flat()) methods.add(one);
    // If a route has two paths, only its HEAD learns of the second.
    if (methods.has('HEAD')) methods.add('GET');
    allowed.set(url, methods);
  });
  return {
    finish() {
      for (const [url, methods] of [...allowed]) {
        const others = app.supportedMethods.filter((method) => !methods.has(method));
        if (others.length > 0) refuseMethods(app, url, others, [...methods].sort());
      }
    },
  };
}

function refuseMethods(app: FastifyInstance, url: string, others: string[], allowed: string[]): void {
  const headers = { allow: allowed.join(', ') };
  const refuse = ({ method }: FastifyRequest) =>
    new Problem(405, 'method_not_allowed', `${allowed.join(' or ')}, not ${method}`, { headers });
  app.route({
    url,
    method: others as never,
    schema: { hide: true },
    exposeHeadRoute: false,
    // Before a body is read.
    onRequest: (request, _reply, done) => done(refuse(request)),
    handler: (request) => {
      throw refuse(request);
    },
  });
}
