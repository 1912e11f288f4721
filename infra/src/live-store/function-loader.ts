// Loads our functions into a node that lacks them. If that is refused it retries, with growing waits.

import { Backoff } from '../service/backoff.js';
import type { Logger } from '../service/log.js';
import type { NodeConnection } from './node-connection.js';
import { StoreError } from './store-error.js';

const WAIT = { firstMs: 100, limitMs: 2000 };

export class FunctionLoader {
  readonly #text: string;
  readonly #log: Logger;
  /** By node. */
  readonly #waits = new Map<string, Backoff>();

  constructor(text: string, log: Logger) {
    this.#text = text;
    this.#log = log;
  }

  /** Rejects with StoreError. */
  async load(node: NodeConnection): Promise<void> {
    try {
      await node.control('FUNCTION', 'LOAD', this.#text);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      // Not as a cause: ioredis's error carries the whole library.
      if (!why.includes('already exists')) throw new StoreError('not_ready', `functions not loaded: ${why}`);
    }
  }

  /** A call found no function. May be called as often as that happens. */
  missing(node: NodeConnection): void {
    const { address } = node;
    const wait = this.#waits.get(address) ?? new Backoff(WAIT);
    this.#waits.set(address, wait);
    if (!wait.mayTry(performance.now())) return;
    // As long as it is under way, too.
    wait.failed(performance.now());
    this.load(node).then(
      () => {
        wait.succeeded();
        this.#log.info({ node: address }, 'functions loaded');
      },
      (error: StoreError) => this.#log.error({ node: address, why: error.message }, 'functions not loaded'),
    );
  }
}
