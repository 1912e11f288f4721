// Small files that must survive a power cut or a full disk: written whole or not at all, accessible to their owner
// only.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

const OWNER_ONLY = 0o600;

/** A file that exists, but does not hold what was written: empty or truncated. */
export class BrokenStateError extends Error {
  readonly code = 'broken_state';

  constructor(
    readonly file: string,
    cause?: unknown,
  ) {
    super(`${file} is empty or damaged, perhaps by a power cut`, { cause });
  }
}

/** Makes the new name survive too. Some file systems refuse this; the content is safe without it. */
function flushFolder(dir: string): void {
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } catch {
    // refused
  } finally {
    closeSync(fd);
  }
}

/** Without the fsync before the rename, a power cut can leave the new name with no content. */
export function writeStateFile(file: string, text: string): void {
  const next = `${file}.new`;
  try {
    rmSync(next, { force: true });
    writeFileSync(next, text, { mode: OWNER_ONLY, flag: 'wx', flush: true });
    renameSync(next, file);
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  }
  flushFolder(dirname(file));
}

/** The text, or null if there is no file. */
export function readStateFile(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Null if there is no file; BrokenStateError if `isWhole` does not accept its content. */
export function readStateJson<T>(file: string, isWhole: (value: unknown) => value is T): T | null {
  const text = readStateFile(file);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new BrokenStateError(file, cause);
  }
  if (!isWhole(value)) throw new BrokenStateError(file);
  return value;
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
