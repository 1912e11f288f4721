// How ioredis opens a TLS connection. Its default connector removes its listeners after the first error. A socket whose
// certificate was refused can report a second error when it is closed. Without a listener that error would end the
// process.

import { connect, type TLSSocket } from 'node:tls';
import { AbstractConnector, type RedisOptions } from 'ioredis';

const DISCONNECT_TIMEOUT_MS = 2_000;

export class TlsConnector extends AbstractConnector {
  readonly #options: RedisOptions;

  constructor(options: unknown) {
    super(DISCONNECT_TIMEOUT_MS);
    this.#options = options as RedisOptions;
  }

  override connect(): Promise<TLSSocket> {
    this.connecting = true;
    return new Promise((resolve, reject) => {
      // ioredis may disconnect in the same turn in which it connects.
      process.nextTick(() => {
        if (!this.connecting) {
          reject(new Error('Connection is closed.'));
          return;
        }
        const { host, port, tls } = this.#options;
        const stream = connect({ ...(host && { host }), ...(port && { port }), ...tls });
        stream.on('error', (error) => {
          this.firstError = error;
        });
        this.stream = stream;
        resolve(stream);
      });
    });
  }
}
