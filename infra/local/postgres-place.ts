// The user that Postgres runs as, and the folder of its data.
//
//  Postgres refuses to run as root. Started by root it runs as the user `postgres`, else `nobody`. That user cannot
// reach `dir`, which is ours alone, so its data live in a folder below /var/tmp:
//
//   dir/moved-to     names the folder; only we can write it
//   the folder       has a random name and was made by us; mode 0700, owned by that user
//
//  Every user can create names in /var/tmp. So before each use and before the removal the folder is checked: it must be
// a folder, not a link, accessible to its owner only, and owned by root or by that user. While we write to it or remove
// it, root owns it, so that the user's own processes cannot swap what is inside.
import { execFile } from 'node:child_process';
import { existsSync, lstatSync, type Stats } from 'node:fs';
import { chown, lchown, lstat, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { isAlive } from './server-process.js';
import { readStateFile, writeStateFile } from './state-file.js';

const run = promisify(execFile);

const OUTSIDE = '/var/tmp/whereabouts-';
const OUTSIDE_NAME = /^\/var\/tmp\/whereabouts-[A-Za-z0-9]{6,12}$/;
const ROOT: Account = { uid: 0, gid: 0 };

export interface Account {
  uid: number;
  gid: number;
}

/** The data's folder is not, or is no longer, the one that we made. */
export class PostgresPlaceError extends Error {
  readonly code = 'unsafe_place';
}

async function accountOf(name: string): Promise<Account | null> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return null;
  }
}

/** The user that Postgres runs as; null: ourselves. */
export async function postgresAccount(): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null;
  const account = (await accountOf('postgres')) ?? (await accountOf('nobody'));
  if (account === null)
    throw new Error('Postgres does not run as root, and there is no user postgres or nobody');
  return account;
}

const movedTo = (dir: string) => join(dir, 'moved-to');

/** The folder with the data of `dir`: elsewhere, or `dir` itself. */
export function postgresPlace(dir: string): string {
  return readStateFile(movedTo(dir))?.trim() ?? resolve(dir);
}

/** The process that runs on the data of `dir`, according to its pid file; null: none does. */
export function postgresPid(dir: string): number | null {
  const text = readStateFile(join(postgresPlace(dir), 'data', 'postmaster.pid'));
  const pid = Number(text?.split('\n')[0]);
  return isAlive(pid) ? pid : null;
}

/** Why a folder outside of ours must not be used or removed; null: it is ours, or gone. */
function whyNotOurs(place: string, stats: Stats | null, account: Account): string | null {
  if (!OUTSIDE_NAME.test(place)) return 'its name is not one that we give';
  if (stats === null) return null;
  if (stats.isSymbolicLink()) return 'it is a link';
  if (!stats.isDirectory()) return 'it is no folder';
  if (stats.uid !== 0 && stats.uid !== account.uid) return `it belongs to the user ${stats.uid}`;
  const mode = stats.mode & 0o777;
  return mode === 0o700 ? null : `its mode is 0${mode.toString(8)}, not 0700`;
}

/** The folder that `moved-to` names, after a check that it is ours; null if there is none. */
function outsidePlace(dir: string, account: Account): string | null {
  const text = readStateFile(movedTo(dir));
  if (text === null) return null;
  const place = text.trim();
  const stats = lstatSync(place, { throwIfNoEntry: false }) ?? null;
  const why = whyNotOurs(place, stats, account);
  if (why !== null) {
    throw new PostgresPlaceError(
      `${movedTo(dir)} says that the data of Postgres are in "${place}", but ${why}. npm run clean begins anew.`,
    );
  }
  return stats === null ? null : place;
}

async function makeOutside(dir: string): Promise<string> {
  const place = await mkdtemp(OUTSIDE); // 0700, and always a new name
  // Data that an earlier version kept in `dir` itself.
  const kept = existsSync(join(dir, 'initialized')) ? await readdir(dir) : [];
  if (kept.length > 0) await run('mv', ['--', ...kept.map((name) => join(dir, name)), place]);
  writeStateFile(movedTo(dir), place);
  return place;
}

/** The data's folder, made if need be. */
export async function providePostgresPlace(
  dir: string,
  account: Account | null,
  log: (text: string) => void = () => {},
): Promise<string> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if (account === null) return resolve(dir);
  const place = outsidePlace(dir, account) ?? (await makeOutside(dir));
  log(`Postgres cannot run as root: its data live in ${place}`);
  return place;
}

/** Runs `work` while only root can reach the folder; then gives the folder back to the account. */
export async function withPlaceLocked<T>(
  place: string,
  account: Account | null,
  work: () => Promise<T>,
): Promise<T> {
  if (account === null) return work();
  await chown(place, ROOT.uid, ROOT.gid);
  const result = await work();
  await chown(place, account.uid, account.gid);
  return result;
}

/** Removes the data of `dir`, also if they had to live elsewhere; returns what was removed. */
export async function removePostgresData(
  dir: string,
  say: (text: string) => void = () => {},
): Promise<string[]> {
  const removed: string[] = [];
  const account = await postgresAccount();
  const moved = readStateFile(movedTo(dir))?.trim();
  if (moved !== undefined && account !== null) {
    const stats = await lstat(moved).catch(() => null);
    const why = whyNotOurs(moved, stats, account);
    if (why !== null) say(`"${moved}", which ${movedTo(dir)} names, is left alone: ${why}.`);
    else if (stats !== null) {
      await lchown(moved, ROOT.uid, ROOT.gid);
      await rm(moved, { recursive: true, force: true });
      removed.push(moved);
    }
  }
  if (existsSync(dir)) {
    await rm(dir, { recursive: true, force: true });
    removed.push(resolve(dir));
  }
  return removed;
}
