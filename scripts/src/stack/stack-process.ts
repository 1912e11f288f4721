// One child process of ours (a service, the fleet): started with its log file, started again when it dies, stopped.
//
//   down ──▶ up ──died──▶ waiting ──backoff──▶ up        stop(): from anywhere to stopped, and it stays there
//
// It runs in a session of its own, so that Ctrl-C reaches us alone; when we die, its IPC channel closes and it drains.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
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

export interface SupervisorHooks {
  logsDir: string;
  own: OwnProcesses;
  say(text: string, event: string, details: object): void;
}

const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 15_000;
/** Up for so long, it has earned a quick restart. */
const STEADY_MS = 30_000;
/** EX_CONFIG: starting again cannot help. */
const EXIT_BAD_SETTINGS = 78;

export class Supervisor {
  readonly spec: ChildSpec;
  readonly logFile: string;
  readonly #hooks: SupervisorHooks;
  readonly #attempt: BestEffort;
  #lastPid = 0;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #isFirst = true;
  #failures = 0;
  #upSince = 0;
  #stopping = false;
  #settled = false;
  #lastEnd = '';

  constructor(spec: ChildSpec, hooks: SupervisorHooks) {
    this.spec = spec;
    this.#hooks = hooks;
    this.logFile = join(hooks.logsDir, `${spec.name}.log`);
    this.#attempt = bestEffort((text) => hooks.say(text, 'trouble', { name: spec.name }));
  }

  /** Of a process that is down, the last: 0 would mean the reader's own process group to `kill`. */
  get pid(): number {
    return this.#lastPid;
  }

  /** How it ended last, while it is down. */
  get lastEnd(): string {
    return this.#lastEnd;
  }

  /** From now on it is restarted when it dies; before, a death is a failed start. */
  settle(): void {
    this.#settled = true;
  }

  up(): void {
    const { script, args = [], env } = this.spec;
    const log = this.#openLog();
    const child = spawn(process.execPath, [script, ...args], {
      detached: true,
      stdio: ['ignore', log ?? 'ignore', log ?? 'ignore', 'ipc'],
      env,
    });
    if (log !== null) closeSync(log);
    this.#child = child;
    this.#upSince = performance.now();
    this.#lastEnd = '';
    const { pid } = child;
    if (pid !== undefined) {
      this.#lastPid = pid;
      this.#hooks.own.add({ pid, marker: script, name: this.spec.name, signal: 'SIGTERM' });
    }
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#ended(pid, `could not be started: ${error.message}`, null);
        resolve();
      });
      child.once('exit', (code, signal) => {
        this.#ended(pid, signal ? `was ended by ${signal}` : `ended with status ${code}`, code);
        resolve();
      });
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Asks it to drain; by force after its deadline. Says whether it drained. */
  async stop(): Promise<boolean> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    if (this.#child === undefined) return true;
    let drained = true;
    const timer = setTimeout(() => {
      drained = false;
      this.kill('SIGKILL');
    }, this.spec.stopDeadlineMs);
    this.kill('SIGTERM');
    this.kill('SIGCONT');
    await this.#exited;
    clearTimeout(timer);
    return drained;
  }

  /** The end of its log, for whoever asks why. */
  logTail(lines = 12): string {
    if (!existsSync(this.logFile)) return '';
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
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

  #ended(pid: number | undefined, how: string, code: number | null): void {
    if (pid !== undefined) this.#hooks.own.remove(pid);
    this.#child = undefined;
    this.#lastEnd = how;
    if (this.#stopping || !this.#settled) return;
    const { name, mayEnd } = this.spec;
    if (mayEnd && code === 0) {
      this.#hooks.say(`${name} has finished.`, 'finished', { name });
      return;
    }
    if (code === EXIT_BAD_SETTINGS) {
      this.#hooks.say(`${name} refuses its settings:\n${this.logTail(4)}`, 'failed', { name });
      return;
    }
    if (performance.now() - this.#upSince > STEADY_MS) this.#failures = 0;
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures++, MAX_PAUSE_MS);
    this.#hooks.say(`${name} ${how}; starting it again in ${pauseMs / 1000} s`, 'restarting', { name, how });
    this.#timer = setTimeout(() => this.up(), pauseMs);
  }
}
