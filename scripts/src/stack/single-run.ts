// One stack for each clone: a lock file with our pid. One that names a process which is gone, or which is no
// `npm start` of this clone, counts for nothing.
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandLine, isAlive } from '@whereabouts/infra/dev/server-process';
import { UsageError } from '../cli.js';

const ATTEMPTS = 5;

function holder(file: string, marker: string): number | null {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    return pid > 0 && isAlive(pid) && commandLine(pid)?.includes(marker) ? pid : null;
  } catch {
    return null;
  }
}

/** Returns how to let go. `marker` is part of the command line of whoever may hold it. */
export function takeSingleRun(home: string, marker: string): () => void {
  mkdirSync(home, { recursive: true });
  const file = join(home, 'start.pid');
  const mine = `${file}.${process.pid}`;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      // A link appears with its content, so nobody reads an empty file and takes it for a void one.
      writeFileSync(mine, String(process.pid));
      linkSync(mine, file);
      rmSync(mine, { force: true });
      return () => rmSync(file, { force: true });
    } catch (error) {
      rmSync(mine, { force: true });
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const pid = holder(file, marker);
      if (pid !== null) {
        throw new UsageError(`It is already running in this clone (process ${pid}). Stop that one first.`);
      }
      rmSync(file, { force: true });
    }
  }
  throw new UsageError(`${file} could not be taken; is another start under way?`);
}
