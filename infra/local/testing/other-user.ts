// Acts as another user of this machine, which root can.
import { spawnSync } from 'node:child_process';

const NOBODY = { uid: 65_534, gid: 65_534 };

/** Why a test cannot act as another user; false: it can. */
export const noOtherUser = process.getuid?.() === 0 ? false : 'only root can be another user';

/** Runs a line of shell as that user; `args` are its $1, $2 ... */
export function asNobody(line: string, ...args: string[]): { status: number | null; stdout: string } {
  const { status, stdout } = spawnSync('/bin/sh', ['-c', line, 'sh', ...args], {
    ...NOBODY,
    cwd: '/',
    encoding: 'utf8',
  });
  return { status, stdout };
}

/** The files below a folder that the user can read. */
export function readableByNobody(dir: string): string[] {
  const { stdout } = asNobody('find "$1" -type f -readable 2>/dev/null', dir);
  return stdout.split('\n').filter((line) => line !== '');
}
