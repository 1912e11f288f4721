// One child process of the stack (a service, the fleet), with its log file.
//
//  It runs in its own session, so that Ctrl-C reaches only us; when we die, its IPC channel closes and it drains.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { logTail } from '@whereabouts/infra/local/server-process';
import { type ChildEnd, Supervisor } from '@whereabouts/infra/service/supervisor';
import { type BestEffort, bestEffort } from './best-effort.js';
import type { OwnProcesses } from './own-processes.js';

export interface ChildSpec {
  name: string;
  /** The compiled script, an absolute path. */
  script: string;
  args?: string[];
  env: NodeJS.ProcessEnv;
  stopDeadlineMs: number;
  /** A child that ends by itself with status 0 has done its work. */
  mayEnd?: boolean;
}

export interface StackProcessHooks {
  logsDir: string;
  own: OwnProcesses;
  say(text: string, event: string, details: object): void;
}

const PACE = { firstMs: 500, limitMs: 15_000, steadyMs: 30_000 };
/** EX_CONFIG: starting again cannot help. */
const EXIT_BAD_SETTINGS = 78;

export class StackProcess {
  readonly spec: ChildSpec;
  readonly logFile: string;
  readonly #hooks: StackProcessHooks;
  readonly #attempt: BestEffort;
  readonly #supervisor: Supervisor;
  #lastPid = 0;
  #isFirst = true;
  #settled = false;
  #lastEnd = '';

  constructor(spec: ChildSpec, hooks: StackProcessHooks) {
    this.spec = spec;
    this.#hooks = hooks;
    this.logFile = join(hooks.logsDir, `${spec.name}.log`);
    this.#attempt = bestEffort((text) => hooks.say(text, 'trouble', { name: spec.name }));
    this.#supervisor = new Supervisor({
      spawn: () => this.#spawn(),
      pace: PACE,
      shouldRestart: ({ code }) =>
        this.#settled && code !== EXIT_BAD_SETTINGS && !(spec.mayEnd === true && code === 0),
      onEnd: (end, waitMs) => this.#ended(end, waitMs),
    });
  }

  /** For a process that is down, the last one: 0 would mean the reader's own process group to `kill`. */
  get pid(): number {
    return this.#lastPid;
  }

  /** How it ended last, while it is down. */
  get lastEnd(): string {
    return this.#lastEnd;
  }

  /** From now on it is restarted when it dies; before that, a death is a failed start. */
  settle(): void {
    this.#settled = true;
  }

  up(): void {
    this.#supervisor.up();
  }

  kill(signal: NodeJS.Signals): void {
    this.#supervisor.child?.kill(signal);
  }

  /** Asks it to drain; kills it after its deadline. Returns whether it drained. */
  async stop(): Promise<boolean> {
    let drained = true;
    const timer = setTimeout(() => {
      drained = false;
      this.kill('SIGKILL');
    }, this.spec.stopDeadlineMs);
    await this.#supervisor.stop((child) => {
      child.kill('SIGTERM');
      child.kill('SIGCONT');
    });
    clearTimeout(timer);
    return drained;
  }

  /** The end of its log, to show why. */
  logTail(lines = 12): string {
    return logTail(this.logFile, lines);
  }

  #spawn(): ChildProcess {
    const { script, args = [], env, name } = this.spec;
    const { own } = this.#hooks;
    const log = this.#openLog();
    const child = spawn(process.execPath, [script, ...args], {
      detached: true,
      stdio: ['ignore', log ?? 'ignore', log ?? 'ignore', 'ipc'],
      env,
    });
    if (log !== null) closeSync(log);
    this.#lastEnd = '';
    const { pid } = child;
    if (pid !== undefined) {
      this.#lastPid = pid;
      own.add({ pid, marker: script, name, signal: 'SIGTERM' });
      child.once('exit', () => own.remove(pid));
    }
    return child;
  }

  /** A log begins anew with each `npm start`, and goes on over restarts of the child. Null: it cannot be written. */
  #openLog(): number | null {
    let log: number | null = null;
    this.#attempt(`The log of ${this.spec.name}`, () => {
      log = openSync(this.logFile, this.#isFirst ? 'w' : 'a', 0o600);
      this.#isFirst = false;
    });
    return log;
  }

  #ended(end: ChildEnd, waitMs: number | null): void {
    const { name } = this.spec;
    this.#lastEnd = describeEnd(end);
    if (!this.#settled) return;
    if (waitMs !== null) {
      const text = `${name} ${this.#lastEnd}; starting it again in ${(waitMs / 1000).toFixed(1)} s`;
      this.#hooks.say(text, 'restarting', { name, how: this.#lastEnd });
    } else if (end.code === EXIT_BAD_SETTINGS) {
      this.#hooks.say(`${name} refuses its settings:\n${this.logTail(4)}`, 'failed', { name });
    } else {
      this.#hooks.say(`${name} has finished.`, 'finished', { name });
    }
  }
}

function describeEnd({ error, signal, code }: ChildEnd): string {
  if (error !== undefined) return `could not be started: ${error.message}`;
  return signal === null ? `ended with status ${code}` : `was ended by ${signal}`;
}
