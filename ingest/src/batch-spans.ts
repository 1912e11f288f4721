// Two spans for each batch, if an SDK is loaded: `ingest batch`, from the receipt of its oldest report until its drivers
// are answered, and within it `FCALL append`, from the call of Redis to its answer. A report has no span: 20,000 a second
// would overload any collector, and the batch has the time that its oldest report waited.

import {
  contextWithin,
  type Span,
  SpanKind,
  SpanStatusCode,
  spanTime,
  type Tracer,
} from '@whereabouts/infra/service/tracing';
import type { Batch } from './batch.js';

export class BatchSpans {
  readonly #tracer: Tracer;
  readonly #nodeOf: (partition: number) => string | null;

  constructor(tracer: Tracer, nodeOf: (partition: number) => string | null) {
    this.#tracer = tracer;
    this.#nodeOf = nodeOf;
  }

  /** When the batch is handed to Redis. Null: it is not sampled. */
  begin(partition: number, batch: Batch): BatchSpan | null {
    const nowMs = performance.now();
    const oldestMs = oldestOf(batch, nowMs);
    const whole = this.#tracer.startSpan('ingest batch', {
      root: true,
      startTime: spanTime(oldestMs),
      attributes: {
        'whereabouts.partition': partition,
        'whereabouts.batch.size': batch.count,
        'whereabouts.batch.oldest_wait_ms': nowMs - oldestMs,
      },
    });
    if (!whole.isRecording()) return null;
    const call = this.#tracer.startSpan(
      'FCALL append',
      {
        kind: SpanKind.CLIENT,
        attributes: {
          'db.system.name': 'redis',
          'db.operation.name': 'FCALL',
          'db.operation.batch.size': batch.count,
          'whereabouts.partition': partition,
          'whereabouts.redis_node': this.#nodeOf(partition) ?? 'no node',
        },
      },
      contextWithin(whole),
    );
    return new BatchSpan(whole, call);
  }
}

export class BatchSpan {
  readonly #whole: Span;
  readonly #call: Span;

  constructor(whole: Span, call: Span) {
    this.#whole = whole;
    this.#call = call;
  }

  answered(): void {
    this.#call.end();
  }

  /** Its reports wait again. */
  failed(code: string, message: string): void {
    for (const span of [this.#call, this.#whole]) {
      span.setAttribute('error.type', code);
      span.setStatus({ code: SpanStatusCode.ERROR, message });
    }
    this.#call.end();
  }

  /** Its drivers were answered, or its reports wait again. */
  end(): void {
    this.#whole.end();
  }
}

/** When the oldest report of the batch began to wait. */
function oldestOf(batch: Batch, nowMs: number): number {
  let oldestMs = nowMs;
  for (let i = 0; i < batch.count; i++) {
    const sinceMs = batch.sinceMs[i] as number;
    if (sinceMs !== 0 && sinceMs < oldestMs) oldestMs = sinceMs;
  }
  return oldestMs;
}
