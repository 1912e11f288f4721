// OpenTelemetry spans, if an SDK was loaded (NODE_OPTIONS="--import ...") before the service starts. The SDK samples
// and exports, by its own OTEL_* variables. Without one there is no tracer, and callers make no span object at all: the
// API's own no-op spans would cost one for each batch.

import {
  type Context,
  context,
  ProxyTracerProvider,
  propagation,
  ROOT_CONTEXT,
  type Span,
  type Tracer,
  trace,
} from '@opentelemetry/api';

export { type Span, SpanKind, SpanStatusCode, type Tracer } from '@opentelemetry/api';

/** Null: no SDK is loaded. Looked up once, when a service starts. */
export function tracerOf(service: string): Tracer | null {
  const name = `whereabouts-${service}`;
  const provider = trace.getTracerProvider();
  if (!(provider instanceof ProxyTracerProvider)) return provider.getTracer(name);
  return provider.getDelegateTracer(name) ?? null;
}

/**
 * The parent of a request's span: a span of another instrumentation that is already active, or that of the
 * `traceparent`.
 */
export function contextOfRequest(headers: Readonly<Record<string, string | string[] | undefined>>): Context {
  const current = context.active();
  return trace.getSpan(current) ? current : propagation.extract(ROOT_CONTEXT, headers);
}

export function contextWithin(span: Span, parent: Context = ROOT_CONTEXT): Context {
  return trace.setSpan(parent, span);
}

/** Lets a log or another instrumentation find the span, if the SDK keeps contexts. */
export function runWithin(within: Context, run: () => void): void {
  context.with(within, run);
}

/**
 * Converts a moment of the monotonic clock to a span's start. It uses the current wall clock, as the SDK ends such a
 * span by it: the two clocks drift apart while a process runs.
 */
export const spanTime = (monotonicMs: number): number => Date.now() - (performance.now() - monotonicMs);
