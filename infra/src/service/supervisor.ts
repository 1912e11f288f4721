// One child process: started, started again when it ends by itself, stopped.
//
//   down ──up()──▶ up ──ended──▶ waiting ──backoff──▶ up      stop(): from anywhere to stopped, where it stays
//                       └─────▶ down, where it should not restart
import type { ChildProcess } from 'node:child_process';
import { Backoff, type BackoffPace } from './backoff.js';

export interface ChildEnd {
  pid: number | undefined;
  code: number | null;
  signal: NodeJS.Signals | null;
  /** It could not be started at all. */
  error?: Error;
}

export interface Supervised {
  spawn(): ChildProcess;
  pace: BackoffPace & {
    /** A child that lived for so long is started again without a growing wait. */
    steadyMs: number;
  };
  shouldRestart?(end: ChildEnd): boolean;
  /** `waitMs` until the next start; null if there will be none. Never called while it is being stopped. */
  onEnd(end: ChildEnd, waitMs: number | null): void;
}

export class Supervisor {
  readonly #supervised: Supervised;
  readonly #backoff: Backoff;
  #child: ChildProcess | null = null;
  #exited: Promise<ChildEnd> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(supervised: Supervised) {
    this.#supervised = supervised;
    this.#backoff = new Backoff(supervised.pace);
  }

  /** Null while it is down. */
  get child(): ChildProcess | null {
    return this.#child;
  }

  up(): void {
    if (this.#stopping || this.#child !== null) return;
    const startedAtMs = performance.now();
    const child = this.#supervised.spawn();
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      const { pid } = child;
      const end = (how: Omit<ChildEnd, 'pid'>) => {
        if (this.#child !== child) return;
        this.#child = null;
        const end = { pid, ...how };
        this.#ended(end, performance.now() - startedAtMs);
        resolve(end);
      };
      // An error of a child that runs (a message that cannot be sent) is no end.
      child.on('error', (error) => pid === undefined && end({ code: null, signal: null, error }));
      child.once('exit', (code, signal) => end({ code, signal }));
    });
  }

  /** `ask` asks the child to end. Resolves with its end, or with null if there is no child. */
  async stop(ask: (child: ChildProcess) => void): Promise<ChildEnd | null> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    if (this.#child === null) return null;
    ask(this.#child);
    return this.#exited;
  }

  #ended(end: ChildEnd, livedMs: number): void {
    if (this.#stopping) return;
    const { pace, shouldRestart, onEnd } = this.#supervised;
    if (shouldRestart?.(end) === false) {
      onEnd(end, null);
      return;
    }
    if (livedMs >= pace.steadyMs) this.#backoff.succeeded();
    const waitMs = Math.round(this.#backoff.failed(performance.now()));
    onEnd(end, waitMs);
    this.#timer = setTimeout(() => this.up(), waitMs);
  }
}
