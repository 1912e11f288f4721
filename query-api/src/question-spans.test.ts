// Spans of questions, with a real SDK.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import { spans } from '@whereabouts/infra/service/fixtures/traces-in-memory';
import { eventually, type Running, startRunning, whenComplete } from './fixtures/running-service.js';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const PARENT_ID = 'b7ad6b7169203331';

let running: Running;
before(async () => {
  running = await startRunning(evenPartitionMap(8), {});
  await whenComplete(running);
});
after(() => running.stop());
beforeEach(() => spans.reset());

async function spanOf(path: string, headers: Record<string, string> = {}) {
  await running.ask(path, { headers });
  return eventually(async () => {
    const span = spans.getFinishedSpans().at(-1);
    assert.ok(span);
    return span;
  });
}

test("one span for a question, below the caller's", async () => {
  const span = await spanOf('/v1/drivers/nearby?lat=52.5&lon=13.4', {
    traceparent: `00-${TRACE_ID}-${PARENT_ID}-01`,
    'x-request-id': 'mine',
  });
  assert.equal(span.name, 'GET /v1/drivers/nearby');
  assert.deepEqual([span.spanContext().traceId, span.parentSpanContext?.spanId], [TRACE_ID, PARENT_ID]);
  assert.deepEqual(span.attributes, {
    'http.request.method': 'GET',
    'http.route': '/v1/drivers/nearby',
    'whereabouts.request_id': 'mine',
    'http.response.status_code': 200,
  });
  assert.equal(spans.getFinishedSpans().length, 1);
});

test('an id is no part of it, and neither is what was refused by a caller an error', async () => {
  const span = await spanOf('/v1/drivers/somebody');
  assert.equal(span.name, 'GET /v1/drivers/{id}');
  assert.equal(span.parentSpanContext, undefined);
  assert.equal(span.attributes['http.response.status_code'], 404);
  assert.equal(span.status.code, 0);
  assert.doesNotMatch(JSON.stringify(span.attributes), /somebody/);
});

test('who is not sampled leaves nothing', async () => {
  await running.ask('/v1/partitions', { headers: { traceparent: `00-${TRACE_ID}-${PARENT_ID}-00` } });
  await spanOf('/v1/partitions');
  assert.equal(spans.getFinishedSpans().length, 1);
});
