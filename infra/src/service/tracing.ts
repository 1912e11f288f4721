// OpenTelemetry spans, where somebody has loaded an SDK (NODE_OPTIONS="--import ...") before the service starts. The SDK
// samples and exports, by its own OTEL_* variables. Without one there is no tracer, and callers make no span object at all:
// the API's own no-op spans would cost one for each batch.

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

/** Null: no SDK is loaded. Asked once, when a service starts. */
export function tracerOf(service: string): Tracer | null {
  const name = `whereabouts-${service}`;
  const provider = trace.getTracerProvider();
  if (!(provider instanceof ProxyTracerProvider)) return provider.getTracer(name);
  return provider.getDelegateTracer(name) ?? null;
}

/** What a request belongs to: a span of an instrumentation that is under way already, or that of the `traceparent`. */
export function contextOfRequest(headers: Readonly<Record<string, string | string[] | undefined>>): Context {
  const current = context.active();
  return trace.getSpan(current) ? current : propagation.extract(ROOT_CONTEXT, headers);
}

export function contextWithin(span: Span, parent: Context = ROOT_CONTEXT): Context {
  return trace.setSpan(parent, span);
}

/** So that a log or another instrumentation finds the span, as far as the SDK keeps contexts. */
export function runWithin(within: Context, run: () => void): void {
  context.with(within, run);
}

/**
 * A moment of the monotonic clock as a span's start. By the wall clock of now, as the SDK ends such a span by it: the two
 * clocks drift apart while a process runs.
 */
export const spanTime = (monotonicMs: number): number => Date.now() - (performance.now() - monotonicMs);
