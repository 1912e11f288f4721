// One server (Redis, Postgres) as a child process that neither Ctrl-C nor our own death leaves in a bad state:
// - It runs in its own session, so that Ctrl-C reaches only us, and we stop it at the right moment.
// - A small shell waits beside it on a pipe from us. If we are killed (SIGKILL), the pipe closes and the shell stops the
//   server. This does not help if that shell is killed too.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';

export interface ServerOptions {
  command: string;
  args: string[];
  logFile: string;
  env?: NodeJS.ProcessEnv;
  uid?: number;
  gid?: number;
  /** The signal that asks this server to stop in good order. */
  stopSignal: NodeJS.Signals;
  /** How long it may outlive us when we die without stopping it: time for processes that still write to it. */
  orphanGraceS?: number;
}

export interface ServerProcess {
  readonly pid: number;
  readonly exited: Promise<void>;
  hasExited(): boolean;
  kill(signal: NodeJS.Signals): void;
  stop(deadlineMs: number): Promise<void>;
  /** Releases the server: from now on it lives as long as that process, and we may end. */
  handOver(heirPid: number): void;
}

const ASK_AGAIN_MS = 500;
/** Data, logs and configuration are accessible to their owner only. */
const OWNER_ONLY = { umask: 0o077, mode: 0o600 } as const;

const GUARD = `read -r word; [ "$word" = done ] && exit 0
sleep "$3"; kill -s "$2" "$1" 2>/dev/null || exit 0; kill -s CONT "$1"
i=0; while kill -0 "$1" 2>/dev/null && [ $i -lt 10 ]; do sleep 1; i=$((i+1)); done
kill -s KILL "$1" 2>/dev/null`;

const HEIR = `while kill -0 "$3" 2>/dev/null; do sleep 1; done; kill -s "$2" "$1" 2>/dev/null || exit 0
i=0; while kill -0 "$1" 2>/dev/null && [ $i -lt 15 ]; do sleep 1; i=$((i+1)); done
kill -s KILL "$1" 2>/dev/null`;

/** A shell that reads a line first: EOF when we die, `done` when the returned function dismisses it. */
export function standGuard(script: string, args: readonly string[]): () => void {
  const child = spawn('/bin/sh', ['-c', script, 'guard', ...args], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.on('error', () => {});
  child.stdin?.on('error', () => {});
  child.unref();
  return () => child.stdin?.end('done\n');
}

/** With our umask as it was before: the child inherits it while `spawn` forks, before that returns. */
function spawnPrivately(options: ServerOptions): ChildProcess {
  const log = openSync(options.logFile, 'a', OWNER_ONLY.mode);
  const before = process.umask(OWNER_ONLY.umask);
  try {
    return spawn(options.command, options.args, {
      detached: true,
      stdio: ['ignore', log, log],
      env: options.env ?? process.env,
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
  } finally {
    process.umask(before);
    closeSync(log);
  }
}

export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const child = spawnPrivately(options);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(new Error(`${options.command} could not be started`, { cause })));
  });
  const pid = child.pid as number;
  const stopSignal = options.stopSignal.replace('SIG', '');
  const dismiss = standGuard(GUARD, [String(pid), stopSignal, String(options.orphanGraceS ?? 0)]);
  let gone = false;
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      gone = true;
      dismiss();
      resolve();
    });
  });
  const kill = (signal: NodeJS.Signals) => {
    if (!gone) child.kill(signal);
  };
  const stop = async (deadlineMs: number) => {
    const ask = () => {
      kill(options.stopSignal);
      kill('SIGCONT'); // a frozen process receives the signal only once it runs again
    };
    ask();
    // Redis drops the request while it is writing its first append-only file ("can't exit").
    const again = setInterval(ask, ASK_AGAIN_MS);
    const timer = setTimeout(() => kill('SIGKILL'), deadlineMs);
    await exited;
    clearInterval(again);
    clearTimeout(timer);
  };
  const handOver = (heirPid: number) => {
    const args = ['-c', HEIR, 'heir', String(pid), stopSignal, String(heirPid)];
    spawn('/bin/sh', args, { detached: true, stdio: 'ignore' }).unref();
    dismiss();
    child.unref();
  };
  return { pid, exited, hasExited: () => gone, kill, stop, handOver };
}

const LOG_END_BYTES = 16_384;
const LAST_LINES = 5;

/** The last lines of a log, to show why; '' if it is not there. */
export function logTail(logFile: string, lines: number): string {
  if (!existsSync(logFile)) return '';
  const log = openSync(logFile, 'r');
  try {
    const from = Math.max(0, fstatSync(log).size - LOG_END_BYTES);
    const bytes = Buffer.alloc(LOG_END_BYTES);
    const text = bytes.toString('utf8', 0, readSync(log, bytes, 0, LOG_END_BYTES, from));
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  } finally {
    closeSync(log);
  }
}

/** With what the server said last. */
export function endedAtStart(server: string, logFile: string): Error {
  return new Error(`${server} ended at its start. ${logFile} ends with:\n${logTail(logFile, LAST_LINES)}`);
}

/** A zombie counts as gone: in a container whose first process does not reap, orphans stay zombies for ever. */
function isZombie(pid: number): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat[stat.lastIndexOf(')') + 2] === 'Z';
  } catch {
    return false;
  }
}

export function isAlive(pid: number): boolean {
  if (!(pid > 0)) return false; // 0 and below name process groups
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The command line of a running process, or null. */
export function commandLine(pid: number): string | null {
  try {
    if (process.platform === 'linux') {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    }
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return null;
  }
}

/** The processes that this one started and that still run. */
export function childPids(pid: number): number[] {
  try {
    if (process.platform === 'linux') {
      const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
      return text.split(' ').map(Number).filter(isAlive);
    }
    const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n');
    const pairs = rows.map((row) => row.trim().split(/\s+/).map(Number));
    return pairs.filter(([, parent]) => parent === pid).map(([child]) => child as number);
  } catch {
    return [];
  }
}

/** Polls until `probe` returns something other than undefined; the last error becomes the cause of the deadline's. */
export async function waitFor<T>(
  what: string,
  deadlineMs: number,
  probe: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const until = performance.now() + deadlineMs;
  let cause: unknown;
  for (;;) {
    try {
      const result = await probe();
      if (result !== undefined) return result;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > until) throw new Error(`${what}: not within ${deadlineMs} ms`, { cause });
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Stops a process that is not our child: the given signal, then SIGKILL after the deadline. */
export async function stopStray(pid: number, signal: NodeJS.Signals, deadlineMs: number): Promise<void> {
  const send = (name: NodeJS.Signals) => {
    try {
      process.kill(pid, name);
    } catch {
      // It is already gone.
    }
  };
  send(signal);
  send('SIGCONT');
  const gone = () => (isAlive(pid) ? undefined : true);
  try {
    await waitFor(`process ${pid} stops`, deadlineMs, gone);
  } catch {
    send('SIGKILL');
    await waitFor(`process ${pid} dies`, 5_000, gone);
  }
}
