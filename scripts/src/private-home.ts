// The folder of a clone's run-time files is accessible to its owner only: it holds passwords, positions and logs.
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from './usage-error.js';

const OTHERS = 0o077;
const STICKY = 0o1000;

/** Links are skipped: their targets may belong to another user. */
function closeToOthers(path: string): void {
  const stats = lstatSync(path);
  const user = process.getuid?.();
  if (stats.isSymbolicLink() || (user !== 0 && stats.uid !== user)) return;
  if ((stats.mode & OTHERS) !== 0) chmodSync(path, stats.mode & 0o7777 & ~OTHERS);
  if (!stats.isDirectory()) return;
  for (const name of readdirSync(path)) closeToOthers(join(path, name));
}

/** `/tmp` and the like: these must not be closed or removed. */
export function refuseSharedHome(home: string): void {
  if (!existsSync(home) || (statSync(home).mode & STICKY) === 0) return;
  throw new UsageError(`WHEREABOUTS_HOME must be a private folder, but every user may write to ${home}.`);
}

/** Makes the folder, and closes one that an earlier version left open. Everything made from now on is private too. */
export function keepHomePrivate(home: string): void {
  process.umask(OTHERS);
  refuseSharedHome(home);
  mkdirSync(home, { recursive: true, mode: 0o700 });
  if ((statSync(home).mode & OTHERS) !== 0) closeToOthers(realpathSync(home));
}
