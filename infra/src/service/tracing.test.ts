// With an SDK and without one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contextOfRequest, contextWithin, SpanKind, tracerOf } from './tracing.js';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';

test('without an SDK there is no tracer; with one there is, and it takes the caller for the parent', async () => {
  assert.equal(tracerOf('test'), null);
  const { spans } = await import('./fixtures/traces-in-memory.js');
  const tracer = tracerOf('test');
  assert.ok(tracer);
  const parent = contextOfRequest({ traceparent: `00-${TRACE_ID}-b7ad6b7169203331-01` });
  const span = tracer.startSpan('outer', { kind: SpanKind.SERVER }, parent);
  tracer.startSpan('inner', {}, contextWithin(span, parent)).end();
  span.end();
  const [inner, outer] = spans.getFinishedSpans();
  assert.deepEqual([inner?.name, outer?.name], ['inner', 'outer']);
  assert.equal(outer?.spanContext().traceId, TRACE_ID);
  assert.equal(outer?.parentSpanContext?.spanId, 'b7ad6b7169203331');
  assert.equal(inner?.parentSpanContext?.spanId, outer?.spanContext().spanId);
  assert.equal(outer?.instrumentationScope.name, 'whereabouts-test');
});

test('a caller who says that he is not sampled is not', async () => {
  const { spans } = await import('./fixtures/traces-in-memory.js');
  spans.reset();
  const parent = contextOfRequest({ traceparent: `00-${TRACE_ID}-b7ad6b7169203331-00` });
  const span = tracerOf('test')?.startSpan('unsampled', {}, parent);
  assert.equal(span?.isRecording(), false);
  span?.end();
  assert.deepEqual(spans.getFinishedSpans(), []);
});
