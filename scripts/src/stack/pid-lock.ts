// A lock that dies with its holder: a file with a pid. It is void if that process is gone, or is another program.
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { commandLine, isAlive } from '@whereabouts/infra/local/server-process';

export interface PidLock {
  /** Null if it is ours, else the pid of its holder. */
  heldBy: number | null;
  release(): void;
}

const ATTEMPTS = 5;

/** Its pid; null if nobody has it. */
export function holderOfPidLock(file: string, marker: string): number | null {
  const state = stateOf(file, marker);
  return typeof state === 'number' ? state : null;
}

/** The pid of its holder, if it has one. */
function stateOf(file: string, marker: string): number | 'void' | 'absent' {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'absent' : 'void';
  }
  const pid = Number(text);
  return isAlive(pid) && commandLine(pid)?.includes(marker) ? pid : 'void';
}

/**
 * Of the processes that find a void lock, one at a time may remove it, after another look: otherwise a slow one would
 * remove the lock that a fast one has taken since. Nobody else can replace a void lock. `mine` holds our pid. Returns
 * the pid of another process that is removing it and takes it next.
 */
function removeVoid(file: string, marker: string, mine: string): number | null {
  const claim = `${file}.void`;
  try {
    linkSync(mine, claim);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const state = stateOf(claim, marker);
    if (state === 'void') rmSync(claim, { force: true }); // killed while it removed the lock
    return typeof state === 'number' ? state : null;
  }
  if (stateOf(file, marker) === 'void') rmSync(file, { force: true });
  rmSync(claim, { force: true });
  return null;
}

/** `marker` is part of the command line of any possible holder. */
export function takePidLock(file: string, marker: string): PidLock {
  const mine = `${file}.${process.pid}`;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    // A link appears with its content, so no reader sees an empty file and treats it as void.
    writeFileSync(mine, String(process.pid));
    try {
      linkSync(mine, file);
      return { heldBy: null, release: () => rmSync(file, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const pid = holderOfPidLock(file, marker) ?? removeVoid(file, marker, mine);
      if (pid !== null) return { heldBy: pid, release: () => {} };
    } finally {
      rmSync(mine, { force: true });
    }
  }
  throw new Error(`${file} could not be taken`);
}
