// The life of a service process: start, be ready, drain, stop.
//
//   starting ──▶ ready ──▶ draining ──▶ stopped
//       └─────────────────────▲            ▲
//       a failed start, a second signal, a broken invariant
//
// SIGTERM, SIGINT and the end of the parent process all drain: /readyz turns to 503, then `drain` gets
// `drainDeadlineMs` to finish. Exit codes: 0 drained; 1 not in time, or a second signal; 70 broken invariant
// (an uncaught error leaves unknown state behind, and to continue could acknowledge what is lost).

import { withDeadline } from './deadline.js';
import type { Logger } from './log.js';
import { listenOps, type MetricsSource, type ReadinessReport } from './ops-listener.js';

export type { MetricsSource, ReadinessReport } from './ops-listener.js';

export interface ServiceParts {
  name: string;
  log: Logger;
  opsHost: string;
  /** 0 for any free one; null for a process whose parent answers for it. */
  opsPort: number | null;
  registry: MetricsSource;
  readiness(): ReadinessReport | Promise<ReadinessReport>;
  /** Runs with the ops listener up and not ready. If it rejects, so does `runService`. */
  start?(): Promise<void>;
  /** Called once, also where `start` was not through yet. */
  drain(): Promise<void>;
  drainDeadlineMs: number;
  /** The end of the process, other than in tests that are the process. */
  exit?(code: number): void;
}

export interface RunningService {
  /** 0 if there is no listener. */
  opsPort: number;
  /** As a signal does, so the process ends with it. */
  stop(reason: string): Promise<void>;
}

type ServiceState = 'starting' | 'ready' | 'draining' | 'stopped';

const EXIT_DRAINED = 0;
export const EXIT_FAILED = 1;
const EXIT_BROKEN = 70;

const MAY_FOLLOW: Record<ServiceState, readonly ServiceState[]> = {
  starting: ['ready', 'draining', 'stopped'],
  ready: ['draining', 'stopped'],
  draining: ['stopped'],
  stopped: [],
};

export async function runService(parts: ServiceParts): Promise<RunningService> {
  const life = new ServiceLife(parts);
  await life.start();
  return { opsPort: life.opsPort, stop: (reason) => life.stop(reason) };
}

class ServiceLife {
  readonly #parts: ServiceParts;
  #state: ServiceState = 'starting';
  #ops: { port: number; close(): Promise<void> } | null = null;
  #stopping: Promise<void> | null = null;
  #signals = 0;

  readonly #onSignal = (signal: NodeJS.Signals) => {
    this.#signals++;
    if (this.#signals === 1) {
      void this.stop(signal);
      return;
    }
    this.#parts.log.warn({ signal }, 'a second signal: stopping without draining');
    this.#end(EXIT_FAILED);
  };
  readonly #onParentGone = () => void this.stop('the parent process has gone');
  readonly #onBroken = (error: unknown) => {
    this.#parts.log.fatal({ err: error }, 'an invariant is broken');
    this.#end(EXIT_BROKEN);
  };

  constructor(parts: ServiceParts) {
    this.#parts = parts;
  }

  get opsPort(): number {
    return this.#ops?.port ?? 0;
  }

  async start(): Promise<void> {
    const { name, log, opsHost, opsPort } = this.#parts;
    this.#watchProcess();
    try {
      if (opsPort !== null) {
        const sources = { log, registry: this.#parts.registry, readiness: () => this.#readiness() };
        this.#ops = await listenOps(sources, { host: opsHost, port: opsPort });
      }
      await this.#parts.start?.();
    } catch (error) {
      // A signal in the middle of a start makes it fail as a rule; the drain is under way then and decides.
      if (this.#stopping) return await this.#stopping;
      await this.#close();
      throw error;
    }
    // process.connected is undefined if there never was an IPC channel to a parent.
    if (process.connected === false) this.#onParentGone();
    if (this.#state !== 'starting') return;
    this.#moveTo('ready');
    log.info({ ops_port: this.opsPort }, `${name} is running`);
  }

  stop(reason: string): Promise<void> {
    this.#stopping ??= this.#drainAndExit(reason);
    return this.#stopping;
  }

  async #drainAndExit(reason: string): Promise<void> {
    const { log, drainDeadlineMs } = this.#parts;
    if (this.#state === 'stopped') return;
    this.#moveTo('draining');
    log.info({ reason, deadline_ms: drainDeadlineMs }, 'draining');
    const startedAt = performance.now();
    let code: number = EXIT_DRAINED;
    try {
      await withDeadline(this.#parts.drain(), drainDeadlineMs, () => {
        throw new Error('the drain deadline has passed');
      });
      log.info({ took_ms: Math.round(performance.now() - startedAt) }, 'drained');
    } catch (error) {
      code = EXIT_FAILED;
      log.error({ err: error }, 'could not drain');
    }
    if (this.#isStopped()) return;
    await this.#close();
    this.#exit(code);
  }

  /** Not ready while the service itself says so, nor before and after it is up, whatever it says. */
  async #readiness(): Promise<ReadinessReport> {
    const { ready, checks } = await this.#parts.readiness();
    const up = this.#state === 'ready';
    return { ready: ready && up, checks: [{ name: 'service', ok: up, detail: this.#state }, ...checks] };
  }

  #moveTo(next: ServiceState): void {
    if (!MAY_FOLLOW[this.#state].includes(next)) {
      throw new Error(`a service that is ${this.#state} cannot become ${next}`);
    }
    this.#state = next;
  }

  // Its own function, as the compiler believes that #state is still what it was before an await.
  #isStopped(): boolean {
    return this.#state === 'stopped';
  }

  #end(code: number): void {
    if (!this.#isStopped()) this.#moveTo('stopped');
    this.#exit(code);
  }

  async #close(): Promise<void> {
    this.#moveTo('stopped');
    await this.#ops?.close();
    this.#unwatchProcess();
  }

  #exit(code: number): void {
    if (this.#parts.exit) this.#parts.exit(code);
    else process.exit(code);
  }

  #watchProcess(): void {
    process.on('SIGTERM', this.#onSignal);
    process.on('SIGINT', this.#onSignal);
    process.on('disconnect', this.#onParentGone);
    process.on('unhandledRejection', this.#onBroken);
    process.on('uncaughtException', this.#onBroken);
  }

  #unwatchProcess(): void {
    process.off('SIGTERM', this.#onSignal);
    process.off('SIGINT', this.#onSignal);
    process.off('disconnect', this.#onParentGone);
    process.off('unhandledRejection', this.#onBroken);
    process.off('uncaughtException', this.#onBroken);
  }
}
