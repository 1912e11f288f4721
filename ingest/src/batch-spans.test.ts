// Spans of batches: from a driver's frame to Redis in a process as it runs, and through an outage.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { spans } from '@whereabouts/infra/service/fixtures/traces-in-memory';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { tracerOf } from '@whereabouts/infra/service/tracing';
import { pino } from 'pino';
import { Recorder } from './recorder.js';
import { until } from './testing/edge-under-test.js';
import { type Ground, IngestProcess, startGround } from './testing/ingest-process.js';
import { TestDriver } from './testing/test-driver.js';
import { LONDON, Told } from './testing/told.js';

const PRINTED = import.meta.resolve('@whereabouts/infra/service/fixtures/traces-to-stderr');

interface Printed {
  span: string;
  attributes: Record<string, unknown>;
  spanId: string;
  parentId: string | null;
  durationMs: number;
}

let ground: Ground;
before(async () => {
  ground = await startGround();
});
after(() => ground.stop());

function printedIn(output: string): Printed[] {
  return output
    .split('\n')
    .flatMap((line) => (line.startsWith('{"span":') ? [JSON.parse(line) as Printed] : []));
}

test('from the receipt of a frame until it is acknowledged, with the call of Redis inside', async () => {
  const ingest = await IngestProcess.start(ground, { NODE_OPTIONS: `--import ${PRINTED}` });
  try {
    const driver = await TestDriver.connect(ingest.url, 'traced', { binary: true });
    driver.report(1, (await driver.next('hello')).server_time_ms);
    await until('it is acknowledged', () => driver.of('ack').length === 1);
    await until('two spans have ended', () => printedIn(ingest.output).length >= 2);
    const [call, whole] = printedIn(ingest.output) as [Printed, Printed];
    assert.deepEqual([call.span, whole.span], ['FCALL append', 'ingest batch']);
    assert.deepEqual([call.parentId, whole.parentId], [whole.spanId, null]);
    const partition = ground.map.partitionOf(52.5, 13.4);
    assert.equal(whole.attributes['whereabouts.partition'], partition);
    assert.equal(whole.attributes['whereabouts.batch.size'], 1);
    assert.equal(call.attributes['whereabouts.redis_node'], ground.store.nodeOf(partition));
    // It has waited for its tick, and the call is a part of it.
    assert.ok(
      whole.durationMs >=
        call.durationMs + (whole.attributes['whereabouts.batch.oldest_wait_ms'] as number) - 1,
    );
    assert.doesNotMatch(
      JSON.stringify(printedIn(ingest.output)),
      /traced|52\.5|13\.4/,
      'nobody and no place',
    );
  } finally {
    ingest.kill();
  }
});

test('a call without an answer is an error; its reports have another span when they are written', async () => {
  const settings = {
    lossBudgetMs: 10_000,
    holdNackAfterMs: 1_000,
    tickMinMs: 10,
    tickMaxMs: 100,
    logMaxBytes: 1 << 23,
  };
  const recorder = new Recorder({
    ...{ store: ground.store, settings, log: pino({ level: 'silent' }), processId: 'one' },
    metrics: createMetrics('ingest', { commit: 'test' }),
    tracer: tracerOf('ingest'),
  });
  recorder.start();
  const port = Number(ground.store.nodeOf(ground.map.partitionOf(LONDON.lat, LONDON.lon))?.split(':')[1]);
  ground.cluster.kill(port, 'SIGSTOP');
  try {
    const driver = new Told(recorder);
    driver.report(1);
    await until('the call has failed', () => spans.getFinishedSpans().length >= 2);
    ground.cluster.kill(port, 'SIGCONT');
    await until('it is written', () => driver.last === 'accepted 1');
    const batches = spans.getFinishedSpans().filter(({ name }) => name === 'ingest batch');
    assert.equal(batches[0]?.attributes['error.type'], 'region_unavailable');
    assert.equal(batches.at(-1)?.attributes['error.type'], undefined);
  } finally {
    ground.cluster.kill(port, 'SIGCONT');
    await recorder.drain(1_000);
  }
});
