// Every open stream of nearby drivers, looked at twice a second, a few at a time.
//
//   queue     streams in the order in which they are due: each look puts a stream at its end, due EVERY_MS later. So no
//             stream gets changes more often, and streams that were opened at once spread out by themselves
//   turn      every TURN_EVERY_MS, the streams that are due, for TURN_MS at most: the rest waits for the next turn
//   held up   a caller that has not read what was written before is skipped until it has; it then gets the state of
//             that time. One that does not read for too long is closed. One whose subject owes for the cost of its
//             questions waits too

import type { Admission } from './admission.js';
import type { EventStream } from './event-stream.js';
import { tooMuch, unavailable } from './problem.js';
import type { StreamEnd, StreamMetrics } from './query-metrics.js';
import { weightOfLooks } from './weight.js';

export interface StreamLimits {
  inAll: number;
  perSubject: number;
}

export interface StreamsParts {
  limits: StreamLimits;
  admission: Admission;
  metrics: StreamMetrics;
  /** Identifies what the index holds now; it changes as soon as anything has been read. */
  revision(): string;
  /** Monotonic. */
  nowMs?(): number;
}

export interface Opened {
  subject: string;
  tokenExpiresAtMs: number;
  events: EventStream;
  /**
   * What to send the caller now, by its revision; null: nothing. The points and cells examined are added to the count.
   */
  change(revision: string, looked: { count: number }): string | null;
}

const EVERY_MS = 500;
const TURN_EVERY_MS = 20;
const TURN_MS = 8;
const HEARTBEAT_MS = 15_000;
/** A caller that reads nothing for this long is gone, or will never catch up. */
const UNREAD_MS = 10_000;
/** How long a caller should wait before it reconnects, spread so that not all come at once. */
const RETRY_MS = { least: 100, most: 900 };

interface Stream extends Opened {
  dueAtMs: number;
  writtenAtMs: number;
  /** Null: what was written has been read. */
  unreadSinceMs: number | null;
}

export class Streams {
  readonly #parts: StreamsParts;
  readonly #nowMs: () => number;
  /** The stream that is due first comes first. */
  readonly #queue = new Set<Stream>();
  readonly #bySubject = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #isDraining = false;

  constructor(parts: StreamsParts) {
    this.#parts = parts;
    this.#nowMs = parts.nowMs ?? (() => performance.now());
  }

  get size(): number {
    return this.#queue.size;
  }

  /** Throws a problem if there is no room for another one. */
  admit(subject: string): void {
    const { limits, metrics } = this.#parts;
    const { inAll, perSubject } = limits;
    if (this.#isDraining) throw unavailable('overloaded', 'this process is being stopped');
    if (this.size >= inAll) {
      metrics.refused('streams');
      throw unavailable('overloaded', `more than ${inAll} streams at once`);
    }
    if ((this.#bySubject.get(subject) ?? 0) >= perSubject) {
      metrics.refused('subject_streams');
      throw tooMuch('too_many_at_once', `more than ${perSubject} streams of yours at once`);
    }
  }

  /** `snapshot`: as the subscription made it under this revision. */
  open(opened: Opened, snapshot: string, revision: string): void {
    const { subject, events } = opened;
    // A caller that left while its token was verified: no further event comes from that connection.
    if (events.isClosed) return;
    const nowMs = this.#nowMs();
    const stream: Stream = {
      ...opened,
      ...{ dueAtMs: nowMs + EVERY_MS, writtenAtMs: nowMs, unreadSinceMs: null },
    };
    this.#queue.add(stream);
    this.#bySubject.set(subject, (this.#bySubject.get(subject) ?? 0) + 1);
    events.onClose(() => this.#remove(stream, 'closed'));
    this.#send(stream, 'snapshot', snapshot, { id: revision, retryMs: retryMs() });
    this.#timer ??= setInterval(() => this.#turn(), TURN_EVERY_MS);
  }

  /** Ends all streams and accepts no more. */
  drain(): void {
    this.#isDraining = true;
    for (const stream of [...this.#queue]) {
      if (stream.events.isFull) this.#drop(stream);
      else this.#end(stream, 'draining');
    }
  }

  #turn(): void {
    const startedAtMs = this.#nowMs();
    const { metrics } = this.#parts;
    let [looks, nowMs] = [0, startedAtMs];
    for (const stream of this.#queue) {
      if (stream.dueAtMs > nowMs || nowMs - startedAtMs > TURN_MS) break;
      if (looks === 0) metrics.late.observe((nowMs - stream.dueAtMs) / 1_000);
      this.#look(stream, nowMs);
      looks++;
      nowMs = this.#nowMs();
    }
    if (looks > 0) metrics.turn.observe((nowMs - startedAtMs) / 1_000);
  }

  #look(stream: Stream, nowMs: number): void {
    const { admission } = this.#parts;
    const { events, subject, tokenExpiresAtMs } = stream;
    stream.dueAtMs = nowMs + EVERY_MS;
    // Moves the stream to the end of the queue.
    this.#queue.delete(stream);
    this.#queue.add(stream);
    if (events.isFull) {
      stream.unreadSinceMs ??= nowMs;
      if (nowMs - stream.unreadSinceMs > UNREAD_MS) this.#drop(stream);
    } else if (Date.now() >= tokenExpiresAtMs) {
      this.#end(stream, 'token_expired');
    } else {
      stream.unreadSinceMs = null;
      if (!admission.owes(subject)) this.#tellChange(stream);
      if (nowMs - stream.writtenAtMs > HEARTBEAT_MS) this.#beat(stream, nowMs);
    }
  }

  #tellChange(stream: Stream): void {
    const { admission, revision } = this.#parts;
    const looked = { count: 0 };
    const now = revision();
    const change = stream.change(now, looked);
    admission.charge(stream.subject, weightOfLooks(looked.count));
    if (change !== null) this.#send(stream, 'change', change, { id: now });
  }

  #beat(stream: Stream, nowMs: number): void {
    stream.writtenAtMs = nowMs;
    stream.events.beat();
  }

  #send(
    stream: Stream,
    event: 'snapshot' | 'change' | 'end',
    data: string,
    more: { id?: string; retryMs?: number },
  ): void {
    const { events } = stream;
    const before = events.bytes;
    stream.writtenAtMs = this.#nowMs();
    events.send(event, data, more);
    const { metrics } = this.#parts;
    metrics.events.inc({ event });
    metrics.bytes.inc(events.bytes - before);
  }

  /** Ends the stream with a reason. */
  #end(stream: Stream, reason: StreamEnd): void {
    this.#remove(stream, reason);
    this.#send(stream, 'end', JSON.stringify({ reason }), { retryMs: retryMs() });
    stream.events.end();
  }

  /** Nobody would read the reason. */
  #drop(stream: Stream): void {
    this.#remove(stream, 'unread');
    stream.events.destroy();
  }

  #remove(stream: Stream, why: StreamEnd): void {
    if (!this.#queue.delete(stream)) return;
    this.#parts.metrics.ended.inc({ reason: why });
    const left = (this.#bySubject.get(stream.subject) ?? 1) - 1;
    if (left > 0) this.#bySubject.set(stream.subject, left);
    else this.#bySubject.delete(stream.subject);
    if (this.#queue.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function retryMs(): number {
  return Math.round(RETRY_MS.least + Math.random() * (RETRY_MS.most - RETRY_MS.least));
}
