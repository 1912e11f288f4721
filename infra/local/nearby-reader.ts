// A caller of `GET /v1/drivers/nearby/stream`, for tests, drills and benches: keeps the sum of the events, and
// reconnects when a stream ends, as EventSource does. (EventSource itself sends no Authorization.)

import { setTimeout as sleep } from 'node:timers/promises';
import { createParser, type EventSourceMessage } from 'eventsource-parser';

export interface NearbyDriver {
  driver_id: string;
  lat: number;
  lon: number;
  distance_m: number;
  status: string;
  recorded_at: string;
}

/** Of a snapshot and of a change. */
interface Told {
  revision: string;
  complete: boolean;
  missing: { from: string; to: string; reason: string }[];
  view_age_ms: number | null;
}

interface Change extends Told {
  entered: NearbyDriver[];
  left: string[];
  moved: NearbyDriver[];
}

export interface NearbyReaderOptions {
  /** With path and parameters; called for each connection. */
  url(): string;
  /** The header: `Bearer ...`. */
  authorization: string;
  /** Sees each event as it arrives. */
  onEvent?(event: string, body: unknown): void;
}

const FIRST_RETRY_MS = 500;

export class NearbyReader {
  readonly drivers = new Map<string, NearbyDriver>();
  /** Null: no stream is open. */
  view: Told | null = null;
  /** Snapshots received: one for each time that a stream was opened. */
  snapshots = 0;
  changes = 0;
  /** Why the last stream ended, if it gave a reason. */
  endReason: string | null = null;
  /** The status of the last answer that was no stream. */
  refusal: { status: number; body: string } | null = null;
  /** Events that contradict the known state: there must be none. */
  readonly misfits: string[] = [];
  readonly #options: NearbyReaderOptions;
  readonly #abort = new AbortController();
  readonly #ended: Promise<void>;
  #lastEventId = '';
  #retryMs = FIRST_RETRY_MS;

  constructor(options: NearbyReaderOptions) {
    this.#options = options;
    this.#ended = this.#run();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#ended;
  }

  /** Nearest first, as they were sent. */
  get ids(): string[] {
    const byDistance = (a: NearbyDriver, b: NearbyDriver) =>
      a.distance_m - b.distance_m || (a.driver_id < b.driver_id ? -1 : 1);
    return [...this.drivers.values()].sort(byDistance).map(({ driver_id }) => driver_id);
  }

  async #run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        await this.#read();
      } catch {
        // Whatever broke it, the next one starts from scratch.
      }
      this.view = null;
      await sleep(this.#retryMs, undefined, { signal: this.#abort.signal }).catch(() => {});
    }
  }

  async #read(): Promise<void> {
    const { url, authorization } = this.#options;
    const headers: Record<string, string> = { authorization, accept: 'text/event-stream' };
    if (this.#lastEventId !== '') headers['last-event-id'] = this.#lastEventId;
    const response = await fetch(url(), { headers, signal: this.#abort.signal });
    if (response.status !== 200 || response.body === null) {
      this.refusal = { status: response.status, body: await response.text() };
      return;
    }
    const parser = createParser({
      onEvent: (message) => this.#take(message),
      onRetry: (ms) => {
        this.#retryMs = ms;
      },
    });
    const decoder = new TextDecoder();
    for await (const chunk of response.body)
      parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }));
  }

  #take({ event = 'message', data, id }: EventSourceMessage): void {
    if (id !== undefined) this.#lastEventId = id;
    const body = JSON.parse(data);
    if (event === 'end') this.endReason = body.reason;
    if (event === 'snapshot') {
      this.snapshots++;
      this.drivers.clear();
      for (const driver of body.drivers) this.drivers.set(driver.driver_id, driver);
    }
    if (event === 'change') this.#apply(body);
    if (event === 'snapshot' || event === 'change') {
      if (body.revision !== id) this.misfits.push(`revision ${body.revision} in event ${id}`);
      this.view = body;
    }
    this.#options.onEvent?.(event, body);
  }

  #apply({ entered, left, moved }: Change): void {
    this.changes++;
    for (const id of left) if (!this.drivers.delete(id)) this.misfits.push(`${id} left, but was not there`);
    for (const driver of entered) {
      if (this.drivers.has(driver.driver_id)) this.misfits.push(`${driver.driver_id} entered twice`);
      this.drivers.set(driver.driver_id, driver);
    }
    for (const driver of moved) {
      if (!this.drivers.has(driver.driver_id))
        this.misfits.push(`${driver.driver_id} moved, but was not there`);
      this.drivers.set(driver.driver_id, driver);
    }
  }
}
