// How many files a process has open, and may have: each connection is one.
import { readdirSync, readFileSync, statSync } from 'node:fs';

const FILE_DESCRIPTORS = '/proc/self/fd';

/** null: the system does not tell. Linux 6.2 and newer tell the number as the folder's size, without a listing. */
export function openFiles(): number | null {
  try {
    return statSync(FILE_DESCRIPTORS).size || readdirSync(FILE_DESCRIPTORS).length;
  } catch {
    return null;
  }
}

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
