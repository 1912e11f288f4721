// One span for each HTTP request, from the question to the last byte of its answer, if an SDK is loaded; otherwise no
// hook is registered. A caller's `traceparent` becomes its parent. It has the route, never the address, because the
// address reveals positions.

import {
  contextOfRequest,
  contextWithin,
  runWithin,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
} from '@whereabouts/infra/service/tracing';
import type { FastifyInstance, FastifyRequest } from 'fastify';

/** Before any other hook. `routeOf`: as the metrics name it. */
export function traceQuestions(
  app: FastifyInstance,
  tracer: Tracer,
  routeOf: (request: FastifyRequest) => string,
): void {
  const spans = new WeakMap<FastifyRequest, Span>();
  app.addHook('onRequest', (request, _reply, done) => {
    const parent = contextOfRequest(request.headers);
    const route = routeOf(request);
    const attributes = {
      'http.request.method': request.method,
      'http.route': route,
      'whereabouts.request_id': request.id,
    };
    const name = `${request.method} ${route}`;
    const span = tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent);
    spans.set(request, span);
    runWithin(contextWithin(span, parent), done);
  });
  app.addHook('onResponse', (request, { statusCode }, done) => {
    const span = spans.get(request);
    span?.setAttribute('http.response.status_code', statusCode);
    if (statusCode >= 500) {
      span?.setAttribute('error.type', String(statusCode));
      span?.setStatus({ code: SpanStatusCode.ERROR });
    }
    span?.end();
    done();
  });
  // A caller who hangs up gets no response.
  app.addHook('onRequestAbort', (request, done) => {
    spans.get(request)?.setAttribute('error.type', 'aborted');
    done();
  });
}
