// How many files a process may have open: each connection is one.
import { readFileSync } from 'node:fs';

/** Null: no limit, or the system does not say. */
export function maxOpenFiles(): number | null {
  let limits: string;
  try {
    limits = readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return null;
  }
  const files = Number(/^Max open files\s+(\S+)/m.exec(limits)?.[1]);
  return Number.isInteger(files) ? files : null;
}
