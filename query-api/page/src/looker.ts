// The page's side of its worker.

import { ApiError } from './api.js';
import type { FromWorker, LookSeen, LookWanted, SeenElsewhere, ToWorker } from './looks.js';

const DEADLINE_MS = 10_000;

interface Waiting {
  resolve(seen: LookSeen): void;
  reject(error: unknown): void;
}

export class Looker {
  readonly #worker = new Worker('/look-worker.js', { type: 'module' });
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.kind === 'seen') waiting?.resolve(data);
      else if (data.status === 0) waiting?.reject(new TypeError(data.detail));
      else waiting?.reject(new ApiError(data.status, data));
    };
  }

  look(wanted: Omit<LookWanted, 'id'>): Promise<LookSeen> {
    const id = ++this.#lastId;
    return new Promise<LookSeen>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      setTimeout(() => {
        if (this.#waiting.delete(id)) reject(new TypeError('the worker gave no answer'));
      }, DEADLINE_MS);
      this.#tell({ look: { ...wanted, id } });
    });
  }

  seen(seen: SeenElsewhere): void {
    this.#tell({ seen });
  }

  #tell(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}
