// A lock that dies with its holder: a file with a pid. It is void if that process is gone, or is another program.
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
      rmSync(file, { force: true });
    } finally {
      rmSync(mine, { force: true });
    }
  }
  throw new Error(`${file} could not be taken`);
}
