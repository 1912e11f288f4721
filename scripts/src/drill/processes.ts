// Processes of a stack on this machine: killed, frozen, and restarted as they were.
//
//  A restarted process is no longer a child of `npm start`, which stops it all the same. A small shell beside it does so
// if `npm start` was killed.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { commandInside, namespaceOf } from '@whereabouts/infra/local/network-namespace';
import { isAlive, waitFor } from '@whereabouts/infra/local/server-process';

/** Everything needed to start a process again. */
export interface Recipe {
  command: string;
  /** The command prefix, if it runs in a network namespace. */
  launchPrefix: string[];
  /** The name it was called by: one binary may be several programs. */
  argv0: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  uid: number;
  gid: number;
  logFile: string;
}

const GONE_DEADLINE_MS = 5_000;

const zeroSeparated = (path: string) =>
  readFileSync(path, 'utf8')
    .split('\0')
    .filter((part) => part !== '');

export function recipeOf(pid: number): Recipe {
  const [argv0 = '', ...args] = zeroSeparated(`/proc/${pid}/cmdline`);
  const pairs = zeroSeparated(`/proc/${pid}/environ`).map((pair) => {
    const at = pair.indexOf('=');
    return [pair.slice(0, at), pair.slice(at + 1)];
  });
  const { uid, gid } = statSync(`/proc/${pid}`);
  const namespace = namespaceOf(pid);
  return {
    command: readlinkSync(`/proc/${pid}/exe`),
    launchPrefix: namespace === null ? [] : commandInside(namespace),
    argv0,
    args,
    env: Object.fromEntries(pairs),
    cwd: readlinkSync(`/proc/${pid}/cwd`),
    uid,
    gid,
    logFile: readlinkSync(`/proc/${pid}/fd/1`),
  };
}

const KEEPER = `while kill -0 "$1" 2>/dev/null && kill -0 "$2" 2>/dev/null; do sleep 1; done; kill -s "$3" "$2" 2>/dev/null || exit 0
i=0; while kill -0 "$2" 2>/dev/null && [ $i -lt 15 ]; do sleep 1; i=$((i+1)); done; kill -s KILL "$2" 2>/dev/null`;

/** Returns its pid. `livesWith`: when that process ends, this one is stopped too. */
export async function startAgain(
  recipe: Recipe,
  stopSignal: 'TERM' | 'INT',
  livesWith: number,
): Promise<number> {
  const log = openSync(recipe.logFile, 'a');
  const { command, launchPrefix, argv0, args, env, cwd, uid, gid } = recipe;
  // `ip` also depends on the name that it is called by, so it gets no other; it starts its command by name.
  const isInside = launchPrefix.length > 0;
  const [first, ...rest] = isInside ? [...launchPrefix, argv0, ...args] : [command, ...args];
  const identity = process.getuid?.() === 0 ? { uid, gid } : {};
  const child = spawn(first as string, rest, {
    detached: true,
    stdio: ['ignore', log, log],
    ...(isInside ? {} : { argv0 }),
    env,
    cwd,
    ...identity,
  });
  closeSync(log);
  const { pid } = child;
  child.on('error', () => {});
  if (pid === undefined) throw new Error(`${command} could not be started again`);
  child.unref();
  const keeper = spawn('/bin/sh', ['-c', KEEPER, 'keeper', String(livesWith), String(pid), stopSignal], {
    detached: true,
    stdio: 'ignore',
  });
  keeper.unref();
  return pid;
}

export async function killNow(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL');
  await waitFor(`process ${pid} is gone`, GONE_DEADLINE_MS, () => !isAlive(pid) || undefined);
}
