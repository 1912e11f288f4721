// A lock that dies with its holder: a file with a pid. It is void if that process is gone, or is another program.
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { commandLine, isAlive } from '@whereabouts/infra/local/server-process';

export interface PidLock {
  /** Null once it is ours, else the pid of the holder. */
  heldBy: number | null;
  release(): void;
}

const ATTEMPTS = 5;

/** The holder's pid; null if there is none. */
export function holderOfPidLock(file: string, marker: string): number | null {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    return isAlive(pid) && commandLine(pid)?.includes(marker) ? pid : null;
  } catch {
    return null;
  }
}

/**
 * Of two processes that find the same void lock, the slower one may meet the lock that the faster one has taken since.
 * So the file is moved aside first, and moved back if somebody holds it.
 */
function removeVoid(file: string, marker: string): void {
  const aside = `${file}.${process.pid}.aside`;
  try {
    renameSync(file, aside);
  } catch {
    return; // another process was faster
  }
  try {
    if (holderOfPidLock(aside, marker) !== null) linkSync(aside, file);
  } catch {
    // A third process has taken the name.
  } finally {
    rmSync(aside, { force: true });
  }
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
      const pid = holderOfPidLock(file, marker);
      if (pid !== null) return { heldBy: pid, release: () => {} };
      removeVoid(file, marker);
    } finally {
      rmSync(mine, { force: true });
    }
  }
  throw new Error(`${file} could not be taken`);
}
