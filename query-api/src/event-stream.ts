// One answer as Server-Sent Events, written straight to the connection. What a caller does not read stays in Node's
// buffer, and writers check `isFull` first. So the buffer holds at most what fits it, plus one event.

import type { ServerResponse } from 'node:http';
import { LASTING } from '@whereabouts/infra/service/bounded-sockets';

export const EVENT_STREAM_TYPE = 'text/event-stream';

export class EventStream {
  readonly #response: ServerResponse;
  #bytes = 0;

  constructor(response: ServerResponse, headers: Record<string, string | string[] | number | undefined>) {
    this.#response = response;
    response.writeHead(200, {
      ...headers,
      // For nginx: pass on each event at once.
      'x-accel-buffering': 'no',
      // The connection ends with the stream, so it does not outlive a process that is being replaced.
      connection: 'close',
    });
    response.emit(LASTING);
    // `close` handles a caller that has gone.
    response.on('error', () => {});
    // Events are small, and callers wait for each one.
    response.socket?.setNoDelay(true);
  }

  /** Bytes that were written. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Earlier data is still waiting for the caller to read it. */
  get isFull(): boolean {
    return this.#response.writableNeedDrain;
  }

  /** The caller is gone, perhaps before anything was written. */
  get isClosed(): boolean {
    return this.#response.destroyed;
  }

  onClose(closed: () => void): void {
    this.#response.once('close', closed);
  }

  /** `data` is one line. `retryMs`: how long a caller should wait before it connects again. */
  send(event: string, data: string, { id, retryMs }: { id?: string; retryMs?: number } = {}): void {
    const idLine = id === undefined ? '' : `id: ${id}\n`;
    const retryLine = retryMs === undefined ? '' : `retry: ${retryMs}\n`;
    this.#write(`${retryLine}event: ${event}\n${idLine}data: ${data}\n\n`);
  }

  /** A comment, so that proxies and callers see that the connection is alive. */
  beat(): void {
    this.#write(':\n\n');
  }

  end(): void {
    this.#response.end();
  }

  /** Drops everything that has not been sent yet. */
  destroy(): void {
    this.#response.destroy();
  }

  #write(text: string): void {
    this.#bytes += text.length;
    this.#response.write(text);
  }
}
